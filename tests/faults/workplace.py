"""A place where the real `outreach` command runs: its folder, its databases, its bucket.

The command runs as a process of its own, as a person starts it. What must hold of what it leaves
behind is in invariants.py.
"""

import json
import os
import signal
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from b2_resources.keys import manifest_place, snapshot_place
from b2_resources.local_store import LocalStore
from b2_resources.object_store import ObjectStore
from b2_resources.s3_store import S3Store
from outreach_core.postgres import Postgres
from outreach_core.states import ALL_STATES
from tests.servers.rclone_s3 import BUCKET, RcloneS3

OUTREACH = str(Path(sysconfig.get_path("scripts")) / "outreach")
STATES = ALL_STATES[:12]
"""Neighbours, so that one command is one Dagster run."""

PATIENCE_SECONDS = 120


class MissedError(Exception):
    """The command was done before the moment that was waited for."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A command that has ended, by itself or not."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err

    @cached_property
    def result(self) -> Any:
        """What `--json` printed."""
        return json.loads(self.out)

    @property
    def statuses(self) -> dict[str, str]:
        return {state: ending["status"] for state, ending in self.result["states"].items()}


@dataclass(kw_only=True)
class Workplace:
    """One OUTREACH_HOME; the databases lie in a server that outlives the command."""

    home: Path
    postgres: Postgres | None = None
    """The database with the rows; None for the embedded one."""

    dagster: Postgres | None = None
    s3: RcloneS3 | None = None
    settings: dict[str, str] = field(default_factory=dict)
    """Beside what follows from the fields above."""

    def environment(self) -> dict[str, str]:
        """Nothing of the tester's own settings, a folder of its own, these databases."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        named = {"OUTREACH_HOME": str(self.home), "COLUMNS": "250"}
        if self.postgres is not None:
            named["NEON_CONNECTION_STRING"] = self.postgres.url
        if self.dagster is not None:
            named["OUTREACH_DAGSTER_POSTGRES_URL"] = self.dagster.url
        if self.s3 is not None:
            named |= {
                "B2_ENDPOINT": self.s3.endpoint,
                "B2_REGION": self.s3.config().region,
                "B2_KEY_ID": self.s3.key_id,
                "B2_APPLICATION_KEY": self.s3.application_key,
                "B2_BUCKET": BUCKET,
            }
        return kept | named | self.settings

    @property
    def store(self) -> ObjectStore:
        return LocalStore(self.home / "store") if self.s3 is None else S3Store(self.s3.config())

    @property
    def store_folder(self) -> Path:
        """Where the store's bytes lie on this disk, whichever store it is."""
        return self.home / "store" if self.s3 is None else self.s3.folder / BUCKET

    @contextmanager
    def started(
        self, *words: str, program: Sequence[str] = (OUTREACH,)
    ) -> Iterator["subprocess.Popen[str]"]:
        """The command at work; killed with the block when it is still there."""
        descriptor, name = tempfile.mkstemp(suffix=".err")
        log = Path(name)
        with (
            os.fdopen(descriptor, "w") as err,
            subprocess.Popen(
                [*program, *words],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                start_new_session=True,
            ) as process,
        ):
            process.log = log  # type: ignore[attr-defined]
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait(timeout=PATIENCE_SECONDS)
                log.unlink()

    def run(self, *words: str, program: Sequence[str] = (OUTREACH,)) -> Finished:
        """The command, once it has ended by itself."""
        with self.started(*words, program=program) as process:
            return ended(process)

    def refresh(self, states: Sequence[str] = STATES) -> Finished:
        """`outreach run` over the states, with `--json`."""
        return self.run(*run_words(states), "--json")

    def touch(self, states: Sequence[str] = STATES) -> None:
        """Change a company of each state, so that the next run has something to publish."""
        self.sql(
            "UPDATE marketing.company_master SET updated_at = clock_timestamp() "
            "WHERE company_unique_id IN (SELECT min(company_unique_id) "
            "FROM marketing.company_master WHERE address_state = ANY(%s) GROUP BY address_state)",
            list(states),
        )

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What the database with the rows answers."""
        assert self.postgres is not None
        return answers(self.postgres, statement, *values)

    def dagster_sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What Dagster's own database answers."""
        assert self.dagster is not None
        return answers(self.dagster, statement, *values)

    def dagster_statuses(self) -> dict[str, str]:
        return dict(self.dagster_sql("SELECT run_id, status FROM runs"))

    def open_runs(self) -> set[tuple[str, str]]:
        """(run id, state) of what has begun and not ended."""
        return {(r, s) for r, s in self.sql("SELECT run_id, state FROM shq.open_runs")}

    def keys(self) -> set[str]:
        """What lies in the store, seen on the disk and not through our own code."""
        root = self.store_folder
        return {
            str(path.relative_to(root)) for path in root.glob("outreach/*/**/*") if path.is_file()
        }

    def versions(self) -> set[str]:
        """The versioned files in the store."""
        return {k for k in self.keys() if (place := snapshot_place(k)) and place.version}

    def manifests(self) -> set[str]:
        """The manifests' keys in the store."""
        return {key for key in self.keys() if manifest_place(key)}


def answers(postgres: Postgres, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with postgres.connect() as connection:
        cursor = connection.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


def run_words(states: Sequence[str]) -> list[str]:
    return ["run", *(word for state in states for word in ("--state", state))]


def ended(process: "subprocess.Popen[str]") -> Finished:
    """Wait for the end of a command and hear what it said."""
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return Finished(code=process.returncode, out=out, err=stderr_of(process))


def stderr_of(process: "subprocess.Popen[str]") -> str:
    """What it has said on standard error so far."""
    log: Path = process.log  # type: ignore[attr-defined]
    return log.read_text()


def wait_until(
    process: "subprocess.Popen[str]", is_true: Callable[[], object], *, pause: float = 0.001
) -> None:
    """Wait for a moment in the command's life. Raises MissedError when it ended before."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_true():
        if process.poll() is not None:
            raise MissedError(stderr_of(process))
        assert time.monotonic() < until, "waited in vain"
        time.sleep(pause)


def step_ended(process: "subprocess.Popen[str]", step: str) -> Callable[[], bool]:
    """Whether the progress display has said that a step is done."""
    return lambda: f"{step} " in stderr_of(process)


def eventually(is_true: Callable[[], object], *, seconds: float = PATIENCE_SECONDS) -> None:
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def kill(process: "subprocess.Popen[str]", number: int = signal.SIGKILL) -> Finished:
    """Send the signal and wait for the end."""
    process.send_signal(number)
    return ended(process)


def without(environment: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in names}
