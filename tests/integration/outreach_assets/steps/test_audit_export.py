"""Days of the audit log in the store: what an object holds, and what its closing hash proves."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from b2_resources.keys import audit_key
from b2_resources.object_store import ObjectStore
from outreach_assets.steps.audit_export import (
    AuditExportError,
    Closing,
    export_day,
    export_owed,
    verify,
)
from outreach_assets.steps.private_duckdb import Duck
from outreach_core.audit import AUDIT_EXPORTED, EventFilter, latest_events
from outreach_core.audit_chain import Break
from outreach_core.postgres import Postgres
from tests.given import a_duck
from tests.tampering import given_days, given_events, rehash, tamper

FIRST, SECOND = date(2026, 1, 1), date(2026, 1, 2)
ALTER = "UPDATE shq.audit_log SET details = '{\"number\": 0}' WHERE chain_position = 4"


@pytest.fixture
def duck(tmp_path: Path) -> Iterator[Duck]:
    with a_duck(tmp_path) as duck:
        yield duck


@pytest.fixture
def log(postgres: Postgres) -> Postgres:
    """Positions 1 to 5 were yesterday's yesterday, 6 to 9 of the day after it, 10 to 12 are new."""
    given_events(postgres, 10)
    given_days(postgres, [5, 4])
    return postgres


@pytest.fixture
def exported(log: Postgres, store: ObjectStore, duck: Duck, tmp_path: Path) -> list[Closing]:
    return export_owed(log, store, duck, tmp_path / "home", who="anna@laptop")


def kinds(log: Postgres, store: ObjectStore) -> list[tuple[str, int | None]]:
    return [(link.kind, link.position) for link in verify(log, store).breaks]


def test_every_finished_day_is_exported_once(
    log: Postgres, store: ObjectStore, duck: Duck, tmp_path: Path, exported: list[Closing]
) -> None:
    assert [(c.key, c.first, c.position, c.rows, c.is_new) for c in exported] == [
        ("audit/2026/01/audit_20260101.parquet", 1, 5, 5, True),
        ("audit/2026/01/audit_20260102.parquet", 6, 9, 4, True),
    ]
    before = list(store.list_objects())
    assert export_owed(log, store, duck, tmp_path, who="x") == []
    again = export_day(log, store, duck, tmp_path, SECOND, who="x")
    assert (again.hash, again.is_new) == (exported[1].hash, False)
    assert list(store.list_objects()) == before
    assert kinds(log, store) == []
    with log.connect() as connection:
        told = latest_events(connection, EventFilter(event_type=AUDIT_EXPORTED), limit=9)
    assert [event.details and event.details["day"] for event in told] == [
        "2026-01-02",
        "2026-01-01",
    ]
    assert list((tmp_path / "home").iterdir()) == []


def test_an_object_proves_its_rows_without_a_database(
    store: ObjectStore, duck: Duck, tmp_path: Path, exported: list[Closing]
) -> None:
    path = tmp_path / "day.parquet"
    metadata = store.get_file(exported[1].key, path).metadata
    rows = duck.execute(
        f"SELECT chain_position, previous_hash, row_hash, hashed_row, details, created_at, "
        f"event_type FROM '{path}'"
    ).fetchall()
    before = exported[0].hash
    for number, (position, previous, row_hash, hashed_row, details, created_at, _) in enumerate(
        rows
    ):
        assert (position, previous) == (6 + number, before)
        assert row_hash == hashlib.sha256(hashed_row.encode()).hexdigest()
        assert details == f'{{"number": {4 + number}}}'
        assert created_at is not None
        before = row_hash
    assert (
        before
        == exported[1].hash
        == metadata["closing-hash"]
        == store.head(exported[1].key).metadata["closing-hash"]
    )


def test_a_chain_hashed_anew_is_found_by_what_was_exported(
    log: Postgres, store: ObjectStore, duck: Duck, tmp_path: Path, exported: list[Closing]
) -> None:
    tamper(log, ALTER, rehash(4))
    [link] = verify(log, store).breaks
    assert (link.kind, link.position) == (Break.REWRITTEN, 5)
    assert audit_key(FIRST) in link.says
    with pytest.raises(AuditExportError, match="nothing is written over it"):
        export_day(log, store, duck, tmp_path, FIRST, who="x")


def test_a_tail_cut_with_its_head_is_found_by_what_was_exported(
    log: Postgres, store: ObjectStore, exported: list[Closing]
) -> None:
    tamper(log, "DELETE FROM shq.audit_log WHERE chain_position > 7", rehash(8))
    assert kinds(log, store) == [(Break.CUT, 9)]


def test_an_export_that_is_gone_is_found_by_the_one_after_it(
    log: Postgres, store: ObjectStore, exported: list[Closing]
) -> None:
    store.delete(exported[0].key)
    assert kinds(log, store) == [(Break.UNPROVEN, 1)]


def test_an_object_put_in_its_place_is_found(
    log: Postgres, store: ObjectStore, exported: list[Closing]
) -> None:
    store.put_bytes(exported[0].key, b"something else")
    with pytest.raises(AuditExportError, match="does not say what its day closed with"):
        verify(log, store)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (ALTER, "position 4"),
        ("DELETE FROM shq.audit_log WHERE chain_position = 3", "position 3 was removed"),
    ],
)
def test_what_was_tampered_with_is_not_exported(
    log: Postgres, store: ObjectStore, duck: Duck, tmp_path: Path, statement: str, says: str
) -> None:
    tamper(log, statement)
    with pytest.raises(AuditExportError, match=says):
        export_owed(log, store, duck, tmp_path, who="x")
    assert list(store.list_objects()) == []


def test_a_day_that_is_not_over_or_has_no_events_is_refused(
    log: Postgres, store: ObjectStore, duck: Duck, tmp_path: Path
) -> None:
    with pytest.raises(AuditExportError, match="not over yet"):
        export_day(log, store, duck, tmp_path, datetime.now(UTC).date(), who="x")
    with pytest.raises(AuditExportError, match=r"no event of 2026-01-03"):
        export_day(log, store, duck, tmp_path, date(2026, 1, 3), who="x")
