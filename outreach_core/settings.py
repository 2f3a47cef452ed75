"""Every setting, read from the environment and checked in one place.

Nothing else in the project reads the environment. Names people already have are kept (`NEON_*`,
`B2_*`, `STORAGE_MODE`); our own begin with `OUTREACH_`. `.env` in the project's folder counts too.
What a setting opens (a database, a store) is opened elsewhere.
"""

from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Self

from dotenv import load_dotenv
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from outreach_core.errors import SettingsError

PROJECT_FOLDER = Path(__file__).resolve().parent.parent
"""Where workspace.yaml and dagster.yaml lie."""


class StorageMode(StrEnum):
    """Where published bytes go."""

    LOCAL = "local"
    S3 = "s3"
    HYBRID = "hybrid"


class Settings(BaseSettings):
    """What the environment says. Field names are the variables' names in lower case."""

    model_config = SettingsConfigDict(
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        frozen=True,
    )

    neon_connection_string: SecretStr | None = None
    neon_host: str | None = None
    neon_port: int = Field(default=5432, ge=1, le=65535)
    neon_database: str | None = None
    neon_user: str | None = None
    neon_password: SecretStr | None = None
    neon_sslmode: str = "require"

    storage_mode: StorageMode | None = None
    b2_endpoint: str | None = None
    b2_region: str | None = None
    b2_key_id: str | None = None
    b2_application_key: SecretStr | None = None
    b2_bucket: str | None = None
    b2_validation_failures_prefix: str = "validation-failures/"

    outreach_home: Path = Path(".outreach")
    outreach_dagster_postgres_url: SecretStr | None = None
    outreach_states_per_run: int | None = Field(default=None, ge=1)
    outreach_duckdb_memory_mb: int = Field(default=400, ge=64)
    outreach_duckdb_threads: int | None = Field(default=None, ge=1)
    outreach_duckdb_temp_gb: int = Field(default=50, ge=1)

    @field_validator("neon_sslmode")
    @classmethod
    def _known_sslmode(cls, value: str) -> str:
        modes = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
        if value not in modes:
            raise ValueError(f"expected one of {', '.join(modes)}")
        return value

    @field_validator("b2_endpoint")
    @classmethod
    def _endpoint_has_scheme(cls, value: str | None) -> str | None:
        if value and not value.startswith(("https://", "http://")):
            raise ValueError("expected https://s3.<region>.backblazeb2.com")
        return value

    @model_validator(mode="after")
    def _whole_or_absent(self) -> Self:
        if self.neon_connection_string is None:
            self._all_or_none("neon_host", "neon_database", "neon_user", "neon_password")
        self._all_or_none(
            "b2_endpoint", "b2_region", "b2_key_id", "b2_application_key", "b2_bucket"
        )
        if self.storage_mode in (StorageMode.S3, StorageMode.HYBRID) and not self.b2_bucket:
            raise ValueError(
                f"STORAGE_MODE is {self.storage_mode} but B2_ENDPOINT, B2_REGION, B2_KEY_ID, "
                "B2_APPLICATION_KEY and B2_BUCKET are not set"
            )
        return self

    def _all_or_none(self, *fields: str) -> None:
        missing = [name.upper() for name in fields if getattr(self, name) is None]
        if missing and len(missing) < len(fields):
            wanted = ", ".join(name.upper() for name in fields)
            raise ValueError(f"{', '.join(missing)} not set: {wanted} go together")

    @cached_property
    def home(self) -> Path:
        """The folder everything the program writes lies under, absolute.

        A relative OUTREACH_HOME is taken from the project's folder, so that every process agrees.
        """
        return (PROJECT_FOLDER / self.outreach_home.expanduser()).resolve()

    @property
    def uses_embedded_postgres(self) -> bool:
        """True when no real database is named."""
        return self.neon_connection_string is None and self.neon_host is None

    @property
    def store_mode(self) -> StorageMode:
        """STORAGE_MODE, or what the B2 variables suggest when it is not set."""
        if self.storage_mode is not None:
            return self.storage_mode
        return StorageMode.S3 if self.b2_bucket else StorageMode.LOCAL


def load_settings() -> Settings:
    """Settings of this process, `.env` included.

    `.env` goes into the environment first, so that Dagster's own `EnvVar`s see the same values.
    Raises SettingsError naming each wrong variable and the cure.
    """
    load_dotenv(PROJECT_FOLDER / ".env")
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(e) for e in error.errors())) from None


def _sentence(error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return message
    field = str(error["loc"][0])
    annotation = str(Settings.model_fields[field].annotation)
    shown = "" if "SecretStr" in annotation or "input" not in error else f" is {error['input']!r}"
    return f"{field.upper()}{shown}: {message}"
