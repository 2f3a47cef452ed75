"""Builders for tests of the database's backup: a run, a restore, and databases to restore into."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from outreach_assets.steps.backups.database.receipt import Receipt
from outreach_assets.steps.backups.database.restore import RestoredDatabase, Restoring
from outreach_assets.steps.backups.database.run import (
    DatabaseBackup,
    DatabaseOutcome,
    opened_shelf,
)
from outreach_assets.steps.backups.rclone import rclone_program
from outreach_assets.steps.private_duckdb import Duck
from outreach_core.audit import command_event
from outreach_core.postgres import Postgres
from outreach_core.settings import load_settings
from tests.backups import Backups
from tests.given import a_duck

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


class DatabaseBackups(Backups):
    """A database, the settings of its destinations, and its backups there."""

    def open_duck(self) -> AbstractContextManager[Duck]:
        return a_duck(self.home)

    def a_database_run(self, now: datetime = NOW) -> DatabaseBackup:
        return DatabaseBackup(
            postgres=self.postgres,
            settings=load_settings(),
            open_duck=self.open_duck,
            now=now,
            run_id="run-1",
            progress=self.progress,
            event=command_event,
        )

    def back_up(
        self, *destinations: str, now: datetime = NOW
    ) -> tuple[Receipt, dict[str, DatabaseOutcome]]:
        receipt, outcomes = self.a_database_run(now).run(destinations)
        return receipt, {outcome.destination: outcome for outcome in outcomes}

    def restore(
        self, to: Postgres, source: str = "local", version: str | None = None
    ) -> RestoredDatabase:
        settings = load_settings()
        with opened_shelf(settings, rclone_program(None), source) as shelf:
            spill = settings.home / "spill"
            restoring = Restoring(shelf=shelf, folder=spill, open_duck=self.open_duck)
            return restoring.into(to, version)

    @property
    def at_home(self) -> Path:
        """Where the local destination keeps the versions."""
        return self.home / "backups" / "neon"

    def versions(self) -> list[str]:
        return sorted(path.name for path in self.at_home.iterdir())


@contextmanager
def a_database(server: Postgres) -> Iterator[Postgres]:
    """An empty one, gone afterwards."""
    name = f"restored_{uuid4().hex[:12]}"
    with server.connect(autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield server.database(name)
    with server.connect(autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def rows_of(postgres: Postgres, query: str) -> list[tuple[object, ...]]:
    with postgres.connect() as connection:
        return connection.execute(query.encode()).fetchall()
