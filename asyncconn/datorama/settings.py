"""Datorama's settings, from the environment and ``.env``."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from asyncconn.settings import settings_config

__all__ = ["DatoramaSettings"]


class DatoramaSettings(BaseSettings):
    """``ASYNCCONN_DATORAMA_TOKEN`` is required: one token, or several with commas between them.

    ``..._REGION`` (us, us2, eu, eu2), ``..._BASE_URL`` instead of it, and ``..._QUOTA_FILE``, where the day's count of
    calls outlives the process.
    """

    model_config = settings_config("ASYNCCONN_DATORAMA_")

    token: SecretStr
    region: str = "us"
    base_url: str | None = None
    quota_file: Path | None = None
