"""Settings from the environment (``ASYNCCONN_...``) and from ``.env``: a class for the hub, and one a connector."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from asyncconn.errors import ConfigError

__all__ = ["AtotiLimitsSettings", "HubSettings", "PanoplySettings", "load", "settings_config"]

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def settings_config(prefix: str) -> SettingsConfigDict:
    """How every class of settings reads: variables that begin with ``prefix``, and ``.env``."""
    # A value that does not fit may be a credential: validation errors must not quote it.
    return SettingsConfigDict(
        env_prefix=prefix,
        env_file=".env",
        env_file_encoding="utf-8-sig",  # with or without the mark that Windows puts in front
        extra="ignore",
        hide_input_in_errors=True,
        frozen=True,
    )


class HubSettings(BaseSettings):
    """The shared session and its end.

    ``max_connections`` in all and ``max_connections_per_host`` (0: no limit), ``dns_cache_seconds``, and the seconds of
    ``shutdown_timeout``, in which everything has to be delivered when the hub closes.

    ``proxy`` is the URL of one for all traffic, instead of ``HTTP_PROXY`` and ``HTTPS_PROXY``; an empty one means none.
    ``no_proxy`` are hosts besides those of ``NO_PROXY``. ``ca_file`` is a PEM file of authorities to trust besides the
    system's, ``client_cert`` one with certificate and key, or both files with a comma between them.
    """

    model_config = settings_config("ASYNCCONN_")

    max_connections: Annotated[int, Field(ge=0)] = 100
    max_connections_per_host: Annotated[int, Field(ge=0)] = 0
    dns_cache_seconds: Annotated[int, Field(ge=0)] = 300
    shutdown_timeout: Seconds = 30.0
    proxy: SecretStr | None = None  # it may hold a password
    no_proxy: str = ""
    ca_file: str | None = None
    client_cert: str | None = None


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


S = TypeVar("S", bound=BaseSettings)


def load(kind: type[S], **given: Any) -> S:
    """Settings of ``kind`` from the environment, ``given`` values first.

    Raises ``ConfigError`` that names the variables which are missing or do not fit, and none of their values.
    """
    try:
        return kind(**{name: value for name, value in given.items() if value is not None})
    except (OSError, UnicodeError) as error:
        what = "is not UTF-8" if isinstance(error, UnicodeError) else f"cannot be read: {error.strerror}"
        problem = f"the file {kind.model_config.get('env_file')} with settings {what}"
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        wrong = [
            f"{prefix}{'_'.join(map(str, e['loc']))}".upper() + f": {e['msg']}"
            for e in error.errors(include_input=False)
        ]
        problem = f"settings do not fit: {'; '.join(wrong)}"
    # Out here it has no context: the originals hold what they read, credentials too.
    raise ConfigError(problem)
