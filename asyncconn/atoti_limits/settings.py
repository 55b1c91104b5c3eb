"""The settings of Atoti Limits, from the environment and ``.env``."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from asyncconn.settings import settings_config

__all__ = ["AtotiLimitsSettings"]


class AtotiLimitsSettings(BaseSettings):
    """``ATOTI_BASE_URL`` is the session's address, as the vendor calls it; ``ATOTI_LIMITS_URL`` the Limits server's.

    ``ASYNCCONN_ATOTI_LIMITS_USER`` and ``..._PASSWORD``, or ``..._TOKEN``, are the credential for both.
    """

    model_config = settings_config("ASYNCCONN_ATOTI_LIMITS_")

    session_url: str | None = Field(None, validation_alias="ATOTI_BASE_URL")
    limits_url: str | None = Field(None, validation_alias="ATOTI_LIMITS_URL")
    user: str | None = None
    password: SecretStr | None = None
    token: SecretStr | None = None
