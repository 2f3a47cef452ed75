"""Which checks there are, and how they are run: side by side, each for so long and no longer.

The checks are beside what they check: environment_checks.py and database_checks.py in
outreach_core, b2_resources/probe.py, steps/duckdb_check.py, steps/alerts/check.py. How the report
looks is in doctor.py.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from outreach_core.environment_checks import (
    ReadSettings,
    check_endpoint,
    check_home,
    check_neon_settings,
    check_versions,
    read_settings,
)
from outreach_core.errors import OutreachError
from outreach_core.findings import Finding, Result
from outreach_core.settings import Settings, StorageMode

SECONDS = 60
EMBEDDED_SECONDS = 150  # making the data folder on a busy machine, or recovery after a crash
HOME = "OUTREACH_HOME"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Some checks that are done one after the other."""

    name: str
    rests_on: Collection[str]
    """Settings without which there is nothing to check."""

    seconds: float
    checks: Callable[[], Iterable[Finding]]


def diagnose() -> list[Finding]:
    """Every check's finding, in the order of the journey. Raises SettingsError for `.env` alone."""
    read = read_settings()
    home = check_home(read.settings) if HOME not in read.wrong else None
    no_home = frozenset({HOME} if home is None or home.is_setting else ())
    findings = [*read.findings, *([home] if home else [])]
    running = [Running(s, read.wrong | no_home) for s in _subjects(read)]
    for subject in running:
        findings += subject.findings()
    return findings


def _subjects(read: ReadSettings) -> list[Subject]:
    settings = read.settings
    embedded = settings.uses_embedded_postgres
    dagster_embedded = settings.outreach_dagster_postgres_url is None
    is_local = settings.store_mode is StorageMode.LOCAL
    return [
        Subject(
            name="database",
            rests_on={"NEON_HOST", *({HOME} if embedded else ())},
            seconds=EMBEDDED_SECONDS if embedded else SECONDS,
            checks=lambda: _check_neon(settings),
        ),
        Subject(
            name="Dagster's storage",
            rests_on={"OUTREACH_DAGSTER_POSTGRES_URL", *({HOME} if dagster_embedded else ())},
            seconds=EMBEDDED_SECONDS if dagster_embedded else SECONDS,
            checks=lambda: _check_dagster(settings),
        ),
        Subject(
            name="DuckDB",
            rests_on={HOME},
            seconds=SECONDS,
            checks=lambda: _check_duckdb(settings),
        ),
        Subject(
            name="store",
            rests_on={"B2_BUCKET", *({HOME} if is_local else ())},
            seconds=SECONDS,
            checks=lambda: _check_store(settings),
        ),
        Subject(
            name="alerts",
            rests_on={"OUTREACH_ALERT_WEBHOOK_URL", "OUTREACH_SMTP_HOST"},
            seconds=SECONDS,
            checks=lambda: _check_alerts(settings),
        ),
        Subject(name="versions", rests_on=(), seconds=SECONDS, checks=check_versions),
    ]


class Running:
    """A subject's checks in a thread of their own, which nobody waits for beyond their time."""

    def __init__(self, subject: Subject, unusable: frozenset[str]) -> None:
        self._subject = subject
        self._found: list[Finding] = []
        self._error: BaseException | None = None
        self._blocked = not unusable.isdisjoint(subject.rests_on)
        # A daemon: looking up a name, or a server that takes a connection and says nothing, may
        # last longer than this process should.
        self._thread = threading.Thread(target=self._run, name=subject.name, daemon=True)
        self._deadline = time.monotonic() + subject.seconds
        if not self._blocked:
            self._thread.start()

    def findings(self) -> list[Finding]:
        """What was found; waits for it until the time is up."""
        name = self._subject.name
        if self._blocked:
            cure = "mend the settings above first"
            return [Finding(check=name, result=Result.WARN, found="not checked", cure=cure)]
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        found_so_far = list(self._found)
        if self._thread.is_alive():
            late = Finding(
                check=name,
                result=Result.PROBLEM,
                found=f"no answer in {self._subject.seconds} s",
                cure="check the host or endpoint in its settings, and the network between",
            )
            return [*found_so_far, late]
        if self._error is not None:
            raise self._error
        return found_so_far

    def _run(self) -> None:
        from outreach_core.database_checks import broken  # noqa: PLC0415 imports psycopg

        try:
            for finding in self._subject.checks():
                self._found.append(finding)
        except OutreachError as error:
            self._found.append(broken(self._subject.name, error))
        except ImportError as error:
            self._found.append(
                Finding(
                    check=self._subject.name,
                    result=Result.PROBLEM,
                    found=f"a package is missing: {error}",
                    cure="run `uv sync`",
                )
            )
        except BaseException as error:  # noqa: BLE001 raised again by findings()
            self._error = error


def _check_neon(settings: Settings) -> Iterator[Finding]:
    from outreach_assets.tables.catalogue import TABLES  # noqa: PLC0415
    from outreach_core.connection_string import parts_of  # noqa: PLC0415
    from outreach_core.database_checks import check_database  # noqa: PLC0415
    from outreach_core.neon import named_neon, open_embedded  # noqa: PLC0415

    neon = named_neon(settings)
    if neon is not None:
        parts = parts_of(neon.conninfo)
        host, sslmode = parts.get("host", ""), parts.get("sslmode", "prefer")
        yield from check_neon_settings(settings, host, sslmode)
    tables = {table.source: table.needed_columns for table in TABLES}
    yield from check_database(neon or open_embedded(settings.home), tables)


def _check_dagster(settings: Settings) -> Iterator[Finding]:
    from outreach_core.database_checks import check_dagster_database  # noqa: PLC0415
    from outreach_core.neon import open_dagster_storage  # noqa: PLC0415

    yield check_dagster_database(open_dagster_storage(settings))


def _check_duckdb(settings: Settings) -> Iterator[Finding]:
    from outreach_assets.steps.duckdb_check import check_duckdb  # noqa: PLC0415
    from outreach_assets.steps.private_duckdb import Limits  # noqa: PLC0415

    limits = Limits(
        memory_mb=settings.outreach_duckdb_memory_mb,
        temp_gb=settings.outreach_duckdb_temp_gb,
        threads=settings.outreach_duckdb_threads,
        folder=settings.home / "spill",
    )
    yield check_duckdb(limits)


def _check_store(settings: Settings) -> Iterator[Finding]:
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from b2_resources.probe import probe_store  # noqa: PLC0415

    uses_bucket = settings.store_mode is not StorageMode.LOCAL
    unreachable = check_endpoint(settings.b2_endpoint or "") if uses_bucket else None
    if unreachable is not None:
        yield unreachable
        return
    yield from probe_store(build_store(settings))


def _check_alerts(settings: Settings) -> Iterator[Finding]:
    from outreach_assets.steps.alerts.build_channels import build_channels  # noqa: PLC0415
    from outreach_assets.steps.alerts.check import check_channels  # noqa: PLC0415

    yield from check_channels(build_channels(settings))
