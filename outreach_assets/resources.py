"""What assets and sensors open: Neon, the run's private DuckDB and its folder, alert channels.

The object store's resource is in b2_resources/resource.py.
"""

from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg
from pydantic import Field

from outreach_assets.steps.alerts.build_channels import mail_server, open_channels
from outreach_assets.steps.alerts.channels import Channel
from outreach_assets.steps.export import EXPORTS_FOLDER
from outreach_assets.steps.private_duckdb import Duck, Limits, private_duckdb
from outreach_core.connection_string import parts_of
from outreach_core.neon import open_embedded
from outreach_core.postgres import Postgres


class NeonResource(dg.ConfigurableResource[Postgres]):
    """The database with companies and people: a connection string, or an address, or embedded.

    Give secrets as `dg.EnvVar`, so that Dagster shows the variable's name.
    """

    connection_string: str = Field(default="", description="NEON_CONNECTION_STRING.")
    host: str = Field(default="", description="NEON_HOST; a -pooler host is fine.")
    port: int = Field(default=5432, description="NEON_PORT.")
    database: str = Field(default="", description="NEON_DATABASE.")
    user: str = Field(default="", description="NEON_USER.")
    password: str = Field(default="", description="NEON_PASSWORD.")
    sslmode: str = Field(default="require", description="NEON_SSLMODE.")
    home: str = Field(
        default="",
        description="OUTREACH_HOME: where the embedded server lives when none is named above.",
    )

    def open(self) -> Postgres:
        """The database; the embedded server is started when no other is named."""
        if self.connection_string:
            return Postgres(conninfo=self.connection_string, name="NEON_CONNECTION_STRING")
        if self.host:
            return Postgres.at(
                host=self.host,
                port=self.port,
                database=self.database,
                user=self.user,
                password=self.password,
                sslmode=self.sslmode,
            )
        return open_embedded(Path(self.home))

    def secrets(self) -> list[str]:
        """What no message may hold."""
        if not self.connection_string:
            return [self.password]
        return [self.connection_string, parts_of(self.connection_string).get("password", "")]


class AlertsResource(dg.ConfigurableResource[None]):
    """Where alerts go: a webhook, mail, both or nowhere."""

    webhook_url: str = Field(default="", description="OUTREACH_ALERT_WEBHOOK_URL.")
    email_to: str = Field(default="", description="OUTREACH_ALERT_EMAIL_TO, with commas.")
    email_from: str = Field(default="", description="OUTREACH_ALERT_EMAIL_FROM.")
    smtp_host: str = Field(default="", description="OUTREACH_SMTP_HOST.")
    smtp_port: int | None = Field(default=None, description="OUTREACH_SMTP_PORT; by security.")
    smtp_user: str = Field(default="", description="OUTREACH_SMTP_USER.")
    smtp_password: str = Field(default="", description="OUTREACH_SMTP_PASSWORD.")
    smtp_security: str = Field(default="starttls", description="OUTREACH_SMTP_SECURITY.")
    ui_url: str = Field(default="http://127.0.0.1:3000", description="OUTREACH_UI_URL.")

    def channels(self) -> list[Channel]:
        """Every channel that the settings name; mail is one for each address."""
        return open_channels(
            webhook_url=self.webhook_url,
            email_to=self.email_to,
            email_from=self.email_from,
            server=mail_server(
                host=self.smtp_host,
                port=self.smtp_port,
                security=self.smtp_security,
                user=self.smtp_user,
                password=self.smtp_password,
            ),
        )

    def secrets(self) -> list[str]:
        """What no message may hold."""
        return [self.webhook_url, self.smtp_password]


class PrivateDuckDBResource(dg.ConfigurableResource[Duck]):
    """The run's own DuckDB and the folder for what it leaves on this machine."""

    home: str = Field(description="OUTREACH_HOME, absolute.")
    memory_mb: int = Field(default=400, description="OUTREACH_DUCKDB_MEMORY_MB.")
    temp_gb: int = Field(default=50, description="OUTREACH_DUCKDB_TEMP_GB: room to spill.")
    threads: int | None = Field(default=None, description="OUTREACH_DUCKDB_THREADS; all cores.")

    @property
    def folder(self) -> Path:
        """OUTREACH_HOME."""
        return Path(self.home)

    @property
    def exports(self) -> Path:
        """Where exported files lie, keyed as in the store."""
        return self.folder / EXPORTS_FOLDER

    @property
    def spill(self) -> Path:
        """Where what lies on the disk for the length of a run lies."""
        return self.folder / "spill"

    def open(self) -> AbstractContextManager[Duck]:
        """A database in memory, closed and its spill folder removed when the block ends."""
        return private_duckdb(
            Limits(
                memory_mb=self.memory_mb,
                temp_gb=self.temp_gb,
                threads=self.threads,
                folder=self.spill,
            )
        )
