"""Which states a run is due for, and what their last run was made from.

Neither runs anything: the sensor, the schedule and the command line do, and a run that has ended
says here what it was made from.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import duckdb

from b2_resources.object_store import ObjectStore
from outreach_assets.steps.kill_switches import KillSwitches
from outreach_assets.steps.manifest import manifest_versions
from outreach_assets.steps.published import WORKERS
from outreach_assets.steps.record import Ending, Status, migrated
from outreach_assets.steps.source import Snapshot, held_snapshot
from outreach_assets.steps.source_versions import source_versions
from outreach_assets.tables.table import Table, fingerprint
from outreach_core.errors import OutreachError
from outreach_core.postgres import Postgres
from outreach_core.states import ALL_STATES

RULES, ENGINE, FIRST = "rules", "engine", "first run"
SWITCHES, STORE = "kill switches", "store"
"""What else than a table can have changed."""

SETTLED = {Status.PUBLISHED, Status.UNCHANGED, Status.HELD}
"""Ends after which a run of the same rows would come to the same again."""

RECORD = """
    INSERT INTO shq.source_versions
        (store, state, table_name, version, rules, duckdb, switches, status, run_id)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (store, state, table_name) DO UPDATE SET
        version = EXCLUDED.version, rules = EXCLUDED.rules, duckdb = EXCLUDED.duckdb,
        switches = EXCLUDED.switches, status = EXCLUDED.status, run_id = EXCLUDED.run_id,
        recorded_at = now()"""

RECORDED = """
    SELECT state, table_name, version, rules, duckdb, switches, status, run_id
    FROM shq.source_versions WHERE store = %s"""


@dataclass(frozen=True, kw_only=True)
class MadeFrom:
    """What a state's snapshot is made from."""

    versions: Mapping[str, str]
    """By table name."""

    rules: str
    duckdb: str
    switches: str | None
    """The state's thresholds; None for a run that did not record them."""

    status: str = ""
    run_id: str = ""
    """The run that was, and how it ended; empty for rows that none has seen yet."""

    def since(self, last: "MadeFrom | None") -> tuple[str, ...]:
        """What has changed since: names of tables, RULES, ENGINE, SWITCHES or FIRST; or nothing.

        SWITCHES only when they have held the last run: what was published is published.
        """
        if last is None:
            return (FIRST,)
        tables = [t for t, version in self.versions.items() if last.versions.get(t) != version]
        rules = [RULES] if self.rules != last.rules else []
        engine = [ENGINE] if self.duckdb != last.duckdb else []
        was_held = last.status == Status.HELD and last.switches is not None
        switches = [SWITCHES] if was_held and self.switches != last.switches else []
        return (*tables, *rules, *engine, *switches)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a run over a state would be made from, beside what its last run was."""

    now: MadeFrom
    last_run_id: str
    """Empty for a state that no run has brought to its end."""

    what: Sequence[str]
    """What has changed, as `MadeFrom.since`, or STORE; empty when nothing has."""

    is_published: bool
    """True when its last run left a snapshot in the store."""

    @property
    def changed_versions(self) -> dict[str, str]:
        """The versions that are new, by table name."""
        return {t: v for t, v in self.now.versions.items() if t in self.what or FIRST in self.what}

    @property
    def token(self) -> str:
        """Twelve hex digits: the same only for the same change since the same run.

        Rows that go back and forth between two contents are a new change each time.
        """
        versions = sorted(self.now.versions.items())
        now = self.now
        said = repr((versions, now.rules, now.duckdb, now.switches, self.last_run_id))
        return hashlib.sha256(said.encode()).hexdigest()[:12]


def place_published_to(store: ObjectStore) -> str:
    """What tells one store from another: a folder, or `s3://bucket/…`."""
    return store.place_of("outreach")


def changed_states(
    postgres: Postgres, tables: Sequence[Table], switches: KillSwitches, store: str
) -> dict[str, Comparison]:
    """The states, in order, whose rows, rules or engine are not those of their last run.

    A state whose last run failed or was cancelled is among them; one that was held is not, until
    something changes, its thresholds included. Raises what `compared` raises.
    """
    found = _compared_all(postgres, tables, switches, store)
    return {state: comparison for state, comparison in found.items() if comparison.what}


def due_states(
    postgres: Postgres, tables: Sequence[Table], switches: KillSwitches, store: ObjectStore
) -> dict[str, Comparison]:
    """Those, and the states whose snapshots somebody has removed from the store.

    A listing for each state that has not changed. Raises what `compared` raises; a store that
    cannot be asked has lost nothing.
    """
    found = _compared_all(postgres, tables, switches, place_published_to(store))
    settled = [state for state, one in found.items() if one.is_published and not one.what]
    gone = {state: replace(found[state], what=(STORE,)) for state in _gone(store, settled)}
    return {state: one for state, one in {**found, **gone}.items() if one.what}


def _gone(store: ObjectStore, states: Sequence[str]) -> list[str]:
    """The states that the store has no snapshot of."""

    def is_gone(state: str) -> bool:
        return next(manifest_versions(store, state), None) is None

    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            asked = list(pool.map(is_gone, states))
    except OutreachError:  # whoever publishes meets it, and says it
        return []
    return [state for state, gone in zip(states, asked, strict=True) if gone]


def _compared_all(
    postgres: Postgres, tables: Sequence[Table], switches: KillSwitches, store: str
) -> dict[str, Comparison]:
    with held_snapshot(postgres) as snapshot:
        return compared(snapshot, tables, switches, ALL_STATES, store)


def compared(
    snapshot: Snapshot,
    tables: Sequence[Table],
    switches: KillSwitches,
    states: Sequence[str],
    store: str,
) -> dict[str, Comparison]:
    """Each of these states, as the snapshot holds it, beside its last run.

    `store` is the place published to: what was published elsewhere does not count. Raises
    NotMigratedError, SourceTableMissingError or SourceColumnMissingError.
    """
    # From the same snapshot: a run that ends meanwhile must not be compared with older rows.
    last = _recorded(snapshot, store)
    rules = fingerprint(tables)
    now = {
        state: MadeFrom(
            versions=versions,
            rules=rules,
            duckdb=duckdb.__version__,
            switches=switches.fingerprint(state),
        )
        for state, versions in source_versions(snapshot, tables, states).items()
    }
    return {state: _comparison(made, last.get(state)) for state, made in now.items()}


def _comparison(now: MadeFrom, last: MadeFrom | None) -> Comparison:
    return Comparison(
        now=now,
        last_run_id=last.run_id if last else "",
        what=now.since(last),
        is_published=last is not None and last.status in (Status.PUBLISHED, Status.UNCHANGED),
    )


def record_versions(
    postgres: Postgres,
    store: str,
    compared_states: Mapping[str, Comparison],
    endings: Mapping[str, Ending],
    *,
    run_id: str,
) -> None:
    """Keep what the states that have ended were made from; to be called once that is true."""
    rows = [
        (
            *(store, state, table, version, now.rules, now.duckdb, now.switches),
            *(endings[state].status, run_id),
        )
        for state, now in ((s, c.now) for s, c in compared_states.items())
        if state in endings and endings[state].status in SETTLED
        for table, version in now.versions.items()
    ]
    with postgres.connect() as connection, connection.cursor() as cursor:
        cursor.executemany(RECORD, rows)


def _recorded(snapshot: Snapshot, store: str) -> dict[str, MadeFrom]:
    with migrated(snapshot.postgres):
        rows = snapshot.connection.execute(RECORDED, (store,)).fetchall()
    versions: dict[str, dict[str, str]] = {}
    for state, table, version, *_ in rows:
        versions.setdefault(state, {})[table] = version
    return {
        state: MadeFrom(
            versions=versions[state],
            rules=rules,
            duckdb=engine,
            switches=switches,
            status=status,
            run_id=run_id,
        )
        for state, _, _, rules, engine, switches, status, run_id in rows
    }
