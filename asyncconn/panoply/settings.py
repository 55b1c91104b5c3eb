"""Panoply's settings, from the environment and ``.env``."""

from __future__ import annotations

from typing import Literal

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from asyncconn.settings import settings_config

__all__ = ["PanoplySettings"]


class PanoplySettings(BaseSettings):
    """``ASYNCCONN_PANOPLY_API_KEY`` and ``..._API_SECRET`` are required.

    ``..._ENDPOINT_URL`` replaces the address derived from them: a sandbox, a proxy, another SQS. ``..._SPOOL`` is the
    path of the file that keeps records until they have arrived.
    """

    model_config = settings_config("ASYNCCONN_PANOPLY_")

    api_key: SecretStr
    api_secret: SecretStr
    endpoint_url: str | None = None
    sender: Literal["form", "sqs"] = "form"
    spool: str | None = None
