"""TCUP's settings, from the environment and ``.env``. Contract: tcup section 10."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from asyncconn.settings import settings_config

__all__ = ["TcupSettings"]


class TcupSettings(BaseSettings):
    """``ASYNCCONN_TCUP_URL`` and ``ASYNCCONN_TCUP_API_KEY``, and the other options of the file by the same prefix.

    An empty one is as good as none.
    """

    model_config = {**settings_config("ASYNCCONN_TCUP_"), "env_ignore_empty": True}

    url: str | None = None
    api_key: SecretStr | None = None
    dls_key: SecretStr | None = None
    app_key: SecretStr | None = None
    auth_mode: str | None = None
    symmetric_key: SecretStr | None = None
    symmetric_key_encoding: str | None = None
    default_timezone: str | None = None
    timeout: float | None = None
    verify_tls: bool | None = None
    ca_file: str | None = None
    routing_key: str | None = None
    direct_exchange: str | None = None
    sos_path: str | None = None
    mr_path: str | None = None
    dls_path: str | None = None
    ws_path: str | None = None
    sse_path: str | None = None
    task_path: str | None = None
    workflow_path: str | None = None
    mqtt_host: str | None = None
    mqtt_port: int | None = None
    mqtt_tls: bool | None = None
    mqtt_username: str | None = None
    mqtt_password: SecretStr | None = None
    mqtt_topic: str | None = None
    mqtt_ca_file: str | None = None
    mqtt_tls_minimum: str | None = None
    mqtt_keepalive: int | None = None
