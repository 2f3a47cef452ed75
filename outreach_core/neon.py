"""Which database is "Neon": the one the settings name, or the embedded one on this machine."""

from functools import cache
from pathlib import Path

from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from outreach_core.settings import Settings

POSTGRES_FOLDER = "postgres"
"""Below OUTREACH_HOME: the embedded server's."""

DAGSTER_DATABASE = "dagster"
"""The embedded server's database for Dagster's own storage."""


def open_neon(settings: Settings) -> Postgres:
    """The database with companies and people. Starts the embedded one when no other is named."""
    return named_neon(settings) or open_embedded(settings.home)


def named_neon(settings: Settings) -> Postgres | None:
    """The database that NEON_* names; None when they name none."""
    if settings.neon_connection_string is not None:
        return Postgres(
            conninfo=settings.neon_connection_string.get_secret_value(),
            name="NEON_CONNECTION_STRING",
        )
    if settings.neon_host and settings.neon_database and settings.neon_user:
        password = settings.neon_password
        return Postgres.at(
            host=settings.neon_host,
            port=settings.neon_port,
            database=settings.neon_database,
            user=settings.neon_user,
            password=password.get_secret_value() if password else "",
            sslmode=settings.neon_sslmode,
        )
    return None


def open_dagster_storage(settings: Settings) -> Postgres:
    """Where Dagster keeps its own tables; starts the embedded server when no other is named."""
    if settings.outreach_dagster_postgres_url is None:
        return embedded_server(settings.home).ensure_running().database(DAGSTER_DATABASE)
    url = settings.outreach_dagster_postgres_url.get_secret_value()
    return Postgres(
        conninfo="postgresql://" + url.split("://", 1)[1],  # without SQLAlchemy's driver
        name="OUTREACH_DAGSTER_POSTGRES_URL",
    )


def open_embedded(home: Path) -> Postgres:
    """The embedded server's database, running until this process ends, its tables made."""
    postgres = embedded_server(home).ensure_running()
    _migrated(postgres)
    return postgres


@cache
def embedded_server(home: Path) -> EmbeddedPostgres:
    """The hold of this process on the embedded server, one per folder."""
    return EmbeddedPostgres(home / POSTGRES_FOLDER)


@cache
def _migrated(postgres: Postgres) -> None:
    migrate(postgres)
