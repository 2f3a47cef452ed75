"""Every setting, read from the environment and checked in one place.

Nothing else in the project reads the environment. Names people already have are kept (`NEON_*`,
`B2_*`, `STORAGE_MODE`); our own begin with `OUTREACH_`. `.env` in the project's folder counts too.
What one value must look like is in setting_values.py; what a setting opens is opened elsewhere.
"""

import difflib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from dotenv import load_dotenv
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import NoDecode, SettingsConfigDict

from outreach_core import alert_settings, setting_values
from outreach_core.backup_settings import BackupSettings
from outreach_core.connection_string import parts_of
from outreach_core.errors import SettingsError
from outreach_core.setting_problems import (
    DisagreementError,
    SettingProblem,
    WrongSettingsError,
)

NUMBER_ERRORS = ("int_", "float_", "finite_", "greater_", "less_")
"""How pydantic's errors for what is no number, or out of bounds, begin."""

PROJECT_FOLDER = Path(__file__).resolve().parent.parent
"""Where workspace.yaml and dagster.yaml lie."""

NEON_PARTS = {
    "neon_host": "host",
    "neon_database": "dbname",
    "neon_user": "user",
    "neon_password": "password",
}
"""The settings that together say what NEON_CONNECTION_STRING says, and libpq's names for them."""

B2_PARTS = ("b2_endpoint", "b2_region", "b2_key_id", "b2_application_key", "b2_bucket")
PREFIXES = ("NEON_", "B2_", "OUTREACH_")
READ_ELSEWHERE = {"OUTREACH_MUST_TEST"}
"""Begin like ours and are no mistake: the tests read this one (STYLE 8)."""

ALSO_KNOWN_AS = {
    "B2_APPLICATION_KEY_ID": "B2_KEY_ID",  # what Backblaze's own command line calls it
    "DATABASE_URL": "NEON_CONNECTION_STRING",
    "NEON_DATABASE_URL": "NEON_CONNECTION_STRING",
}


class StorageMode(StrEnum):
    """Where published bytes go."""

    LOCAL = "local"
    S3 = "s3"
    HYBRID = "hybrid"


class RunLogsPlace(StrEnum):
    """Where what runs print is kept."""

    LOCAL = "local"
    BUCKET = "bucket"


def _secret(value: SecretStr, check: str) -> SecretStr:
    getattr(setting_values, check)(value.get_secret_value())
    return value


def _webhook(value: SecretStr) -> SecretStr:
    alert_settings.webhook_url(value.get_secret_value())
    return value


def _word(known: Iterable[str]) -> BeforeValidator:
    return BeforeValidator(
        lambda v: setting_values.one_of(v, tuple(known)) if isinstance(v, str) else v
    )


Schedule = Annotated[str, AfterValidator(setting_values.cron_schedule)]


class Settings(BackupSettings):
    """What the environment says. Field names are the variables' names in lower case."""

    model_config = SettingsConfigDict(
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        frozen=True,
    )

    neon_connection_string: (
        Annotated[SecretStr, AfterValidator(lambda v: _secret(v, "connection_string"))] | None
    ) = None
    neon_host: Annotated[str, AfterValidator(setting_values.host_name)] | None = None
    neon_port: int = Field(default=5432, ge=1, le=65535)
    neon_database: str | None = None
    neon_user: str | None = None
    neon_password: SecretStr | None = None
    neon_sslmode: Annotated[str, _word(setting_values.SSL_MODES)] = "require"

    storage_mode: Annotated[StorageMode, _word(StorageMode)] | None = None
    b2_endpoint: Annotated[str, AfterValidator(setting_values.endpoint)] | None = None
    b2_region: Annotated[str, AfterValidator(setting_values.region_name)] | None = None
    b2_key_id: str | None = None
    b2_application_key: SecretStr | None = None
    b2_bucket: Annotated[str, AfterValidator(setting_values.bucket_name)] | None = None
    b2_validation_failures_prefix: Annotated[str, AfterValidator(setting_values.key_prefix)] = (
        "validation-failures/"
    )

    outreach_home: Path = Path(".outreach")
    outreach_dagster_postgres_url: (
        Annotated[SecretStr, AfterValidator(lambda v: _secret(v, "direct_url"))] | None
    ) = None
    outreach_run_logs: Annotated[RunLogsPlace, _word(RunLogsPlace)] = RunLogsPlace.LOCAL
    outreach_states_per_run: int | None = Field(default=None, ge=1)
    outreach_duckdb_memory_mb: int = Field(default=400, ge=64)
    outreach_duckdb_threads: int | None = Field(default=None, ge=1)
    outreach_duckdb_temp_gb: int = Field(default=50, ge=1)
    outreach_tool_memory_mb: int = Field(default=1024, ge=512)
    outreach_tool_seconds: int = Field(default=600, ge=1)
    outreach_storage_budget_dollars: float = Field(default=10.0, ge=0)
    outreach_keep_snapshots: int = Field(default=30, ge=1)
    outreach_keep_days: int = Field(default=90, ge=0, le=36500)
    outreach_max_bad_share: float = Field(default=0.15, ge=0, le=1, allow_inf_nan=False)
    outreach_max_bad_share_by_state: Annotated[
        Mapping[str, float],
        NoDecode,
        BeforeValidator(setting_values.shares_by_state),
        AfterValidator(setting_values.parts_of_a_whole),
    ] = Field(default_factory=dict)
    outreach_max_row_change: float = Field(default=0.30, ge=0, allow_inf_nan=False)
    outreach_max_row_change_by_state: Annotated[
        Mapping[str, float], NoDecode, BeforeValidator(setting_values.shares_by_state)
    ] = Field(default_factory=dict)
    outreach_company_not_valid: Annotated[str, _word(setting_values.SEVERITIES)] = "warn"
    outreach_allow_master_writes: Annotated[bool, BeforeValidator(setting_values.yes_or_no)] = False
    outreach_schedule_timezone: Annotated[str, AfterValidator(setting_values.time_zone)] = "UTC"
    outreach_nightly_refresh_schedule: Schedule = "15 2 * * *"
    outreach_export_failures_schedule: Schedule = "15 4 * * *"
    outreach_store_usage_schedule: Schedule = "45 4 * * *"
    outreach_audit_export_schedule: Schedule = "30 3 * * *"
    outreach_restore_drill_schedule: Schedule = "15 5 * * sun"
    outreach_verify_snapshots_schedule: Schedule = "15 6 1 * *"
    outreach_retention_schedule: Schedule = "45 5 * * sat"
    outreach_morning_report_schedule: Schedule = "0 7 * * *"
    outreach_task_upkeep_schedule: Schedule = "25 * * * *"
    outreach_backup_database_schedule: Schedule = "15 3 * * *"
    outreach_backup_database_drill_schedule: Schedule = "45 5 * * sun"
    outreach_backup_schedule: Schedule = "15 1 * * *"
    outreach_backup_verify_schedule: Schedule = "45 3 * * sat"
    outreach_backup_drill_schedule: Schedule = "30 5 * * sun"

    outreach_api_url: Annotated[str, AfterValidator(alert_settings.ui_url)] = (
        "http://127.0.0.1:8000"
    )
    outreach_api_token: SecretStr | None = None
    outreach_open_tasks: int = Field(default=100, ge=1)
    outreach_requests_per_minute: int = Field(default=1200, ge=1)
    outreach_inbox_minutes: int | None = Field(default=None, ge=1)
    outreach_b2_event_secret: (
        Annotated[SecretStr, AfterValidator(lambda v: _secret(v, "event_secret"))] | None
    ) = None

    outreach_ui_url: Annotated[str, AfterValidator(alert_settings.ui_url)] = "http://127.0.0.1:3000"
    outreach_alert_webhook_url: Annotated[SecretStr, AfterValidator(_webhook)] | None = None
    outreach_alert_email_to: Annotated[str, AfterValidator(alert_settings.addresses)] | None = None
    outreach_alert_email_from: Annotated[str, AfterValidator(alert_settings.address)] | None = None
    outreach_smtp_host: Annotated[str, AfterValidator(alert_settings.mail_host)] | None = None
    outreach_smtp_port: int | None = Field(default=None, ge=1, le=65535)
    outreach_smtp_user: str | None = None
    outreach_smtp_password: SecretStr | None = None
    outreach_smtp_security: Annotated[str, _word(alert_settings.SMTP_SECURITY)] = "starttls"

    @field_validator("*", mode="before")
    @classmethod
    def _is_not_wrapped(cls, value: object) -> object:
        # Refused and not mended: Dagster reads the same variables by itself (EnvVar).
        return setting_values.without_wrapping(value) if isinstance(value, str) else value

    @field_validator("outreach_home")
    @classmethod
    def _home_is_a_folder(cls, value: Path) -> Path:
        return setting_values.folder(value, below=PROJECT_FOLDER)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        found = [*self._neon_problems(), *self._b2_problems(), *self._alert_problems()]
        if found:
            raise DisagreementError(found)
        return self

    def _neon_problems(self) -> Iterator[SettingProblem]:
        if self.neon_connection_string is None:
            yield from self._incomplete(NEON_PARTS)
            return
        says = parts_of(self.neon_connection_string.get_secret_value())
        given = {n: getattr(self, n) for n in NEON_PARTS}
        plain = {
            n: v.get_secret_value() if isinstance(v, SecretStr) else v for n, v in given.items()
        }
        others = tuple(
            name.upper()
            for name, part in NEON_PARTS.items()
            if plain[name] is not None and plain[name] != says.get(part)
        )
        if others:
            yield SettingProblem(
                variables=("NEON_CONNECTION_STRING", *others),
                found=f"NEON_CONNECTION_STRING says something else than {', '.join(others)}",
                cure="set one or the other",
            )

    def _b2_problems(self) -> Iterator[SettingProblem]:
        incomplete = list(self._incomplete(B2_PARTS))
        yield from incomplete
        wants_bucket = self.storage_mode in (StorageMode.S3, StorageMode.HYBRID)
        if wants_bucket and not incomplete and self.b2_bucket is None:
            names = tuple(name.upper() for name in B2_PARTS)
            yield SettingProblem(
                variables=("STORAGE_MODE", *names),
                found=f"STORAGE_MODE is {self.storage_mode} and needs a bucket",
                cure=f"set {', '.join(names)}, or STORAGE_MODE=local",
            )
        if self.outreach_run_logs is RunLogsPlace.BUCKET and self.b2_bucket is None:
            yield SettingProblem(
                variables=("OUTREACH_RUN_LOGS", "B2_BUCKET"),
                found="OUTREACH_RUN_LOGS is bucket and there is none",
                cure=f"set {', '.join(n.upper() for n in B2_PARTS)}, or OUTREACH_RUN_LOGS=local",
            )
        if self.outreach_b2_event_secret and self.store_mode is StorageMode.LOCAL:
            yield SettingProblem(
                variables=("OUTREACH_B2_EVENT_SECRET",),
                found="OUTREACH_B2_EVENT_SECRET is set, and files go to a folder",
                cure="only a bucket tells of events: remove it, or name the bucket (B2_BUCKET)",
            )
        named = setting_values.endpoint_region(self.b2_endpoint or "")
        if named and self.b2_region and named != self.b2_region:
            yield SettingProblem(
                variables=("B2_REGION", "B2_ENDPOINT"),
                found=f"B2_REGION is {self.b2_region!r} and B2_ENDPOINT is in {named!r}",
                cure="they must be the same, or Backblaze says that the key is not valid",
            )

    def _alert_problems(self) -> Iterator[SettingProblem]:
        names = (*alert_settings.MAIL, *alert_settings.MAIL_DETAILS)
        given = {name: getattr(self, name) for name in names}
        yield from alert_settings.problems(given, self.outreach_smtp_security)

    def _incomplete(self, fields: Collection[str]) -> Iterator[SettingProblem]:
        missing = tuple(name.upper() for name in fields if getattr(self, name) is None)
        if missing and len(missing) < len(fields):
            wanted = ", ".join(name.upper() for name in fields)
            yield SettingProblem(
                variables=missing,
                found=f"{', '.join(missing)} not set or empty",
                cure=f"{wanted} go together",
            )

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
    def inbox_minutes(self) -> int | None:
        """How often inboxes are listed; never where it costs and nobody asked for it."""
        free = 1 if self.store_mode is StorageMode.LOCAL else None
        return self.outreach_inbox_minutes or free

    @property
    def store_mode(self) -> StorageMode:
        """STORAGE_MODE, or what the B2 variables suggest when it is not set."""
        if self.storage_mode is not None:
            return self.storage_mode
        return StorageMode.S3 if self.b2_bucket else StorageMode.LOCAL


def load_settings(*, leaving_out: Collection[str] = ()) -> Settings:
    """Settings of this process, `.env` included.

    `.env` goes into the environment first, so that Dagster's own `EnvVar`s see the same values.
    Variables in `leaving_out` are taken as not set: the doctor goes on without the wrong ones.
    Raises WrongSettingsError naming each wrong variable and the cure.
    """
    try:
        load_dotenv(PROJECT_FOLDER / ".env")
    except (OSError, UnicodeDecodeError) as error:
        says = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"{PROJECT_FOLDER / '.env'} cannot be read: {says}") from None
    left_out = {
        name: field.default
        for name, field in Settings.model_fields.items()
        if name.upper() in leaving_out
    }
    try:
        return Settings(**left_out)
    except ValidationError as error:
        raise WrongSettingsError(p for e in error.errors() for p in _problems(e)) from None


def variable_names() -> list[str]:
    """Every environment variable that is a setting."""
    return [name.upper() for name in Settings.model_fields]


def unknown_variables() -> dict[str, str | None]:
    """Variables of this process that look like ours and are not, each with the one it may mean.

    None where no name of ours is near.
    """
    ours = variable_names()
    found: dict[str, str | None] = {}
    for name in sorted(set(os.environ).difference(ours, READ_ELSEWHERE)):  # noqa: TID251 this is the place
        meant = ALSO_KNOWN_AS.get(name)
        if meant is None:
            likely = 0.75 if name.upper().startswith(PREFIXES) else 0.88
            near = difflib.get_close_matches(name.upper(), ours, n=1, cutoff=likely)
            meant = near[0] if near else None
        if meant or name.upper().startswith(PREFIXES):
            found[name] = meant
    return found


def _problems(error: ErrorDetails) -> list[SettingProblem]:
    raised = error.get("ctx", {}).get("error")
    if isinstance(raised, DisagreementError):
        return raised.problems
    name = str(error["loc"][0])
    value = error["input"]
    hidden = "SecretStr" in str(Settings.model_fields[name].annotation)
    if hidden or setting_values.has_account(str(value)):
        shown = "" if error["type"] != "value_error" else " (not shown)"
    else:
        shown = f" is {value!r}"
    return [
        SettingProblem(
            variables=(name.upper(),), found=f"{name.upper()}{shown}", cure=_expected(error)
        )
    ]


def _expected(error: ErrorDetails) -> str:
    if not error["type"].startswith(NUMBER_ERRORS):
        return error["msg"].removeprefix("Value error, ")
    limits = Settings.model_json_schema()["properties"][str(error["loc"][0])]
    limits = limits if "type" in limits else limits["anyOf"][0]  # `… | None`
    most = f" to {limits['maximum']}" if "maximum" in limits else " or more"
    kind = "a whole number" if limits["type"] == "integer" else "a number such as 0.15"
    return f"expected {kind}, {limits['minimum']}{most}"
