"""What must hold of a store and the databases, whatever happened to a run.

Bytes are read and hashed here; nothing rests on what a store says of them.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb

from b2_resources.keys import manifest_place, snapshot_place
from b2_resources.object_store import ObjectStore, get_bytes
from outreach_assets.steps.manifest import Manifest, read_manifest
from tests.faults.workplace import STATES, Finished, Workplace

UNFINISHED = {"NOT_STARTED", "STARTING", "STARTED", "QUEUED", "CANCELING"}


def half_published(store: ObjectStore) -> list[str]:
    """What readers could trip over at this moment; empty when nothing is half published."""
    keys = [found.key for found in store.list_objects("outreach/")]
    manifests = manifests_of(store, keys)
    problems = []
    known: dict[str, set[str]] = {}
    for manifest in manifests:
        for file in manifest.files:
            known.setdefault(_newest_of(file.key), set()).add(file.sha256)
            if file.key not in keys:
                problems.append(f"{manifest.key} names {file.key}, which is not there")
                continue
            body = get_bytes(store, file.key)
            if (hashlib.sha256(body).hexdigest(), len(body)) != (file.sha256, file.size_bytes):
                problems.append(f"{file.key} has not the bytes that {manifest.key} names")
    for key in keys:
        place = snapshot_place(key)
        if place is None or place.version is not None:
            continue
        if hashlib.sha256(get_bytes(store, key)).hexdigest() not in known.get(key, set()):
            problems.append(f"{key} belongs to no manifest")
    return problems


def orphans(store: ObjectStore) -> list[str]:
    """Versioned files that no manifest names."""
    keys = {found.key for found in store.list_objects("outreach/")}
    named = {file.key for manifest in manifests_of(store, keys) for file in manifest.files}
    return sorted({k for k in keys if (p := snapshot_place(k)) and p.version} - named)


def manifests_of(store: ObjectStore, keys: Iterable[str]) -> list[Manifest]:
    """Every manifest of the store, oldest first within a state."""
    return [
        read_manifest(get_bytes(store, key), key) for key in sorted(keys) if manifest_place(key)
    ]


def assert_settled(workplace: Workplace, states: Sequence[str] = STATES) -> None:
    """All that must hold when a run has gone well after whatever came before it."""
    store = workplace.store
    assert half_published(store) == []
    keys = {found.key for found in store.list_objects("outreach/")}
    manifests = manifests_of(store, keys)
    assert orphans(store) == []
    _assert_chained(store, manifests)
    last = {manifest.state: manifest for manifest in manifests}
    for state in states:
        for file in last[state].files:
            newest = get_bytes(store, _newest_of(file.key))
            assert hashlib.sha256(newest).hexdigest() == file.sha256, file.key
    _assert_counts(workplace, {state: last[state] for state in states})
    assert_tidy(workplace.home)
    assert workplace.open_runs() == set()
    assert_one_ending_each(workplace)
    unfinished = UNFINISHED.intersection(workplace.dagster_statuses().values())
    assert not unfinished, workplace.dagster_statuses()
    _assert_workbench(workplace, {state: last[state] for state in states})


def assert_one_ending_each(
    workplace: Workplace, began: Iterable[tuple[str, str]] = ()
) -> dict[tuple[str, str], str]:
    """One audit row for each (run, state), those that `began` among them; how each ended."""
    rows = workplace.sql(
        "SELECT details ->> 'run_id', details ->> 'state', details ->> 'status' "
        "FROM shq.audit_log WHERE event_type = 'outreach_validation_run'"
    )
    endings = {(run, state): status for run, state, status in rows}
    assert len(endings) == len(rows), "a second ending"
    assert set(began) <= set(endings)
    return endings


def assert_tidy(home: Path) -> None:
    """No half-written file and no spill folder is left on this machine."""
    left = [p for folder in ("exports", "duck") for p in (home / folder).rglob("*.part")]
    left += [p for p in (home / "spill").glob("*") if p.is_dir()]
    assert left == [], [str(p.relative_to(home)) for p in left[:5]]


def assert_tells_nobody(workplace: Workplace, finished: Finished) -> None:
    """No traceback, no secret, no person's data in what was said and in Dagster's event log."""
    assert "Traceback" not in finished.said
    events = workplace.dagster_sql("SELECT event FROM event_logs")
    text = finished.said + "".join(event for (event,) in events)
    assert workplace.dagster is not None
    password = workplace.dagster.url.split(":")[2].partition("@")[0]
    assert password not in text
    words = set(re.findall(r"[^\s\"'<>,;|()]+@[^\s\"'<>,;|()]+|\+\d{7,}", text))
    people = workplace.sql(
        "SELECT email, work_phone_e164, personal_phone_e164, full_name FROM marketing.people_master"
    )
    told = words & {value for person in people for value in person[:3]}
    where = {word: text[max(0, text.find(word) - 60) : text.find(word) + 60] for word in told}
    assert not told, where
    assert not [name for *_, name in people if name and " " in name and name in finished.said]


def _assert_chained(store: ObjectStore, manifests: Sequence[Manifest]) -> None:
    """Each manifest names the one before it by the hash of its bytes."""
    before: dict[str, Manifest] = {}
    for manifest in manifests:
        previous = before.get(manifest.state)
        if previous is None:
            assert manifest.previous is None
        else:
            assert manifest.previous is not None
            body = get_bytes(store, previous.key)
            assert manifest.previous.sha256 == hashlib.sha256(body).hexdigest()
        before[manifest.state] = manifest


def _assert_counts(workplace: Workplace, last: dict[str, Manifest]) -> None:
    """The last manifests count what Postgres holds now."""
    rows = workplace.sql(
        "SELECT c.address_state, count(DISTINCT c.company_unique_id), count(p.unique_id) "
        "FROM marketing.company_master c LEFT JOIN marketing.people_master p "
        "ON p.company_unique_id = c.company_unique_id GROUP BY 1"
    )
    there = {state: (companies, people) for state, companies, people in rows}
    for state, manifest in last.items():
        counted = tuple(
            sum(manifest.rows(table, verdict) for verdict in ("good", "bad"))
            for table in ("companies", "people")
        )
        assert counted == there[state], state


def _assert_workbench(workplace: Workplace, last: dict[str, Manifest]) -> None:
    """The analysts' file opens and shows what the last manifests count, and no other snapshot."""
    with duckdb.connect(
        str(workplace.home / "duck" / "outreach_workbench.duckdb"), read_only=True
    ) as duck:
        for table in ("companies", "people"):
            for verdict in ("good", "bad"):
                found = dict(
                    duck.execute(
                        f"SELECT outreach_state, count(*) FROM {table}_{verdict} GROUP BY 1"
                    ).fetchall()
                )
                for state, manifest in last.items():
                    assert found.get(state, 0) == manifest.rows(table, verdict), state
        shown = duck.execute("SELECT DISTINCT outreach_state, version FROM snapshots").fetchall()
    keys = [found.key for found in workplace.store.list_objects("outreach/")]
    assert set(shown) <= {(m.state, m.version) for m in manifests_of(workplace.store, keys)}


def _newest_of(key: str) -> str:
    """The newest key beside a versioned one."""
    return key.rpartition("_")[0] + ".parquet"
