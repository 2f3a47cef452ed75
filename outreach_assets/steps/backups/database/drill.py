"""A drill: each destination's newest backup into a PostgreSQL of its own, compared and timed."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from outreach_assets.steps.backups.database.restore import Restoring
from outreach_assets.steps.backups.database.run import opened_shelf, set_up
from outreach_assets.steps.backups.database.shelf import NoSuchBackupError
from outreach_assets.steps.backups.every_place import Tell
from outreach_assets.steps.backups.rclone import rclone_program
from outreach_assets.steps.private_duckdb import Duck, own_folder
from outreach_core.audit import write_event
from outreach_core.drill_table import DrillResult, note_drill
from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.errors import OutreachError
from outreach_core.policies import NEON
from outreach_core.postgres import Postgres
from outreach_core.settings import Settings

DATABASE_DRILL = "outreach_database_drill"
"""How a drill went at a destination."""

STOP_SECONDS = 30.0
LOOK_EVERY_SECONDS = 0.1


@dataclass(kw_only=True)
class DatabaseDrilled:
    """How it went at one destination."""

    destination: str
    version: str = ""
    tables: int = 0
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    """From the first byte asked for to the last row compared."""

    problem: str = ""
    """Why it cannot be restored, or what is not as it was; empty when all is well."""

    is_empty: bool = False
    """True when nothing was ever backed up there: nothing to restore is no failure."""


@dataclass(frozen=True, kw_only=True)
class DatabaseDrill:
    """What a drill works with; the database is asked for nothing but to note how it went."""

    postgres: Postgres
    settings: Settings
    open_duck: Callable[[], AbstractContextManager[Duck]]
    drill_id: str
    now: datetime
    event: Tell

    def run(self, destinations: Sequence[str] = ()) -> Iterator[DatabaseDrilled]:
        """Each of these, or all that are set up, as soon as it is done.

        Raises RcloneMissingError, and what starting a server or noting raises.
        """
        program = rclone_program(self.settings.outreach_rclone)
        with own_folder(self.settings.home / "spill") as folder, ExitStack() as stack:
            server = cache(lambda: stack.enter_context(_a_server(folder)))
            for name in destinations or set_up(self.settings):
                done = DatabaseDrilled(destination=name)
                try:
                    self._one(program, done, server)
                except NoSuchBackupError as error:
                    done.problem, done.is_empty = str(error), True
                except OutreachError as error:
                    done.problem = str(error)
                self._note(done)
                yield done

    def _one(
        self, program: str, done: DatabaseDrilled, server: Callable[[], EmbeddedPostgres]
    ) -> None:
        with opened_shelf(self.settings, program, done.destination) as shelf:
            shelf.path_of()  # where there is none, no server is started for it
            empty = server().database(f"drill_{done.destination}")
            restoring = Restoring(
                shelf=shelf, folder=self.settings.home / "spill", open_duck=self.open_duck
            )
            began = time.monotonic()
            try:
                found = restoring.into(empty)
            finally:
                done.seconds = round(time.monotonic() - began, 2)
        done.version, done.tables = found.version, found.tables
        done.rows, done.bytes = found.rows, found.size_bytes
        done.problem = "; ".join(found.breaks)

    def _note(self, done: DatabaseDrilled) -> None:
        """Into the history that drills of folders are in; a file there is a table here."""
        restored = 0 if done.problem else done.tables
        result = DrillResult(
            drill_id=self.drill_id,
            folder_id=NEON,
            destination=done.destination,
            drilled_at=self.now,
            seed=done.version,
            files=done.tables,
            bytes=done.bytes,
            restored=restored,
            restored_bytes=done.bytes if restored else 0,
            same_as_source=0,
            seconds=done.seconds,
            is_passed=not done.problem,
            error=done.problem or None,
        )
        with self.postgres.connect() as connection:
            if not done.is_empty:
                note_drill(connection, result)
            write_event(connection, self.event(DATABASE_DRILL, vars(done)))


@contextmanager
def _a_server(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that has gone, with its files, when the block ends."""
    with EmbeddedPostgres(folder / "postgres") as server:
        yield server
    until = time.monotonic() + STOP_SECONDS
    while server.status().running and time.monotonic() < until:
        time.sleep(LOOK_EVERY_SECONDS)
