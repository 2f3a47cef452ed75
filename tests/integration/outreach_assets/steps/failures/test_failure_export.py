"""The export of failures against a real Postgres: what arrives, under which name, exactly once."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from b2_resources.local_store import LocalStore
from b2_resources.object_store import (
    ObjectCorruptError,
    ObjectStore,
    StoredObject,
    StoreUnreachableError,
    get_bytes,
)
from outreach_assets.steps.failures.claims import claim_batches
from outreach_assets.steps.failures.export import (
    ExportedBatch,
    ExportOrder,
    FailureFormat,
    FailureType,
    export_failures,
    failure_batches,
    waiting_failures,
)
from outreach_assets.steps.record import NotMigratedError
from outreach_core.postgres import Postgres
from tests.given import LOG, a_failure, given_failures, given_many_failures, given_sql
from tests.servers.pgbouncer import pgbouncer

NOON = datetime(2025, 11, 18, 12, tzinfo=UTC)
ORDER = ExportOrder(prefix="validation-failures/")
FOLDER = "validation-failures/2025-11-18/"
COMPANY_KEY = f"{FOLDER}company_failures_WV-VALIDATION-20251118.json"


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def export(
    postgres: Postgres,
    store: ObjectStore,
    tmp_path: Path,
    order: ExportOrder = ORDER,
    now: datetime = NOON,
) -> list[ExportedBatch]:
    done = export_failures(postgres, store, order, folder=tmp_path / "work", now=now)
    assert not list((tmp_path / "work").iterdir())
    return done


def ids_in(store: ObjectStore) -> list[str]:
    """The companies of every JSON file in the store, in the order of the keys."""
    return [
        row["company_id"]
        for found in store.list_objects()
        for row in json.loads(get_bytes(store, found.key))
    ]


def keys_in(store: ObjectStore) -> list[str]:
    return [found.key for found in store.list_objects()]


def log(postgres: Postgres, columns: str) -> list[tuple[object, ...]]:
    with postgres.connect() as connection:
        return connection.execute(f"SELECT {columns} FROM {LOG} ORDER BY id".encode()).fetchall()


class MeddlingStore(LocalStore):
    """A store during whose puts something else happens."""

    def __init__(self, root: Path, *meddling: object) -> None:
        super().__init__(root)
        self.meddling = [*meddling]

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        sha256: str | None = None,
    ) -> StoredObject:
        stored = super().put_file(
            key, path, content_type=content_type, metadata=metadata, sha256=sha256
        )
        if self.meddling:
            happens = self.meddling.pop(0)
            if isinstance(happens, Exception):
                raise happens
            if callable(happens):
                happens(key)
        return stored


def test_what_arrives_is_what_peoples_readers_know(
    postgres: Postgres, store: ObjectStore, tmp_path: Path
) -> None:
    person = {"company_id": None, "company_name": None, "failure_type": "person", "state": "PA"}
    given_failures(
        postgres,
        a_failure(validation_timestamp="2025-11-18 05:00:00.25-05", exported_to_b2=None),
        a_failure("c2", company_name=None, state=None, validation_timestamp="infinity"),
        a_failure("c3", exported_to_b2=True),
        a_failure(**person, person_id="p1", person_name="Jo Doe", pipeline_id="PA-1"),
    )
    company, of_person = export(postgres, store, tmp_path)
    assert json.loads(get_bytes(store, COMPANY_KEY)) == [
        {
            "company_id": "c1",
            "company_name": "Acme",
            "fail_reason": "Missing website",
            "state": "WV",
            "validation_timestamp": "2025-11-18T10:00:00.25Z",
            "pipeline_id": "WV-VALIDATION-20251118",
        },
        {
            "company_id": "c2",
            "company_name": None,
            "fail_reason": "Missing website",
            "state": None,
            "validation_timestamp": "infinity",
            "pipeline_id": "WV-VALIDATION-20251118",
        },
    ]
    (row,) = json.loads(get_bytes(store, f"{FOLDER}person_failures_PA-1.json"))
    assert list(row) == [*FailureType.PERSON.columns]
    assert (row["person_id"], row["person_name"]) == ("p1", "Jo Doe")
    head = store.head(COMPANY_KEY)
    assert head.content_type == "application/json"
    assert head.metadata == {
        "batch-id": str(company.batch_id),
        "pipeline-id": "WV-VALIDATION-20251118",
        "failure-type": "company",
        "record-count": "2",
        "state": "several",
        "upload-timestamp": "2025-11-18T12:00:00+00:00",
    }
    assert (company.key, company.rows, company.sha256) == (COMPANY_KEY, 2, head.sha256)
    assert (company.size_bytes, company.taken_up) == (head.size_bytes, False)
    assert (of_person.state, of_person.failure_type) == ("PA", FailureType.PERSON)
    at = NOON.replace(tzinfo=None)
    marks = [(True, at), (True, at), (True, None), (True, at)]
    assert log(postgres, "exported_to_b2, exported_to_b2_at") == marks
    assert export(postgres, store, tmp_path) == []


def test_rows_are_chosen_by_type_and_state(
    postgres: Postgres, local: LocalStore, tmp_path: Path
) -> None:
    given_failures(
        postgres,
        a_failure("wv"),
        a_failure("pa", state="PA"),
        a_failure("none", state=None),
        a_failure("odd", state="??"),
        a_failure(None, person_id="p", failure_type="person"),
    )
    companies = replace(ORDER, types=(FailureType.COMPANY,))
    for state, expected in (("PA", ["pa"]), ("unassigned", ["none", "odd"]), (None, ["wv"])):
        (waiting,) = waiting_failures(postgres, companies.types, state or "WV")
        (done,) = export(postgres, local, tmp_path, replace(companies, state=state))
        assert done.rows == waiting.rows == len(expected)
        assert (done.state, waiting.state) == (state or "WV", state or "WV")
        assert [r["company_id"] for r in json.loads(get_bytes(local, done.key))] == expected
    (left,) = waiting_failures(postgres, tuple(FailureType), None)
    assert (left.failure_type, left.rows) == (FailureType.PERSON, 1)
    assert left.oldest is not None


def test_numbered_batches_hold_every_row_once_behind_a_pooler(
    postgres: Postgres, local: LocalStore, tmp_path: Path
) -> None:
    given_many_failures(postgres, 250, pipelines=2)
    with pgbouncer(postgres, tmp_path) as pooled:
        done = export(pooled, local, tmp_path, replace(ORDER, batch_size=50))
    assert [batch.rows for batch in done] == [50, 50, 25, 50, 50, 25]
    assert keys_in(local) == [
        f"{FOLDER}company_failures_WV-VALIDATION-2025110{day}-BATCH-00{number}.json"
        for day in (1, 2)
        for number in (1, 2, 3)
    ]
    assert ids_in(local) == [f"c{number}" for number in range(1, 251)]


def test_a_claim_keeps_its_day_its_format_and_its_name_whoever_finishes_it(
    postgres: Postgres, local: LocalStore, tmp_path: Path
) -> None:
    given_many_failures(postgres, 3)
    evening = datetime(2025, 11, 18, 18, 59, tzinfo=timezone(timedelta(hours=-5)))
    order = replace(ORDER, file_format=FailureFormat.CSV, batch_size=2)
    with postgres.connect() as connection:
        claim_batches(connection, order, now=evening)
    given_failures(postgres, a_failure("new"))
    after_midnight = evening + timedelta(minutes=2)
    first, second, new = export(postgres, local, tmp_path, now=after_midnight)
    assert (first.taken_up, second.taken_up, new.taken_up) == (True, True, False)
    name = "company_failures_WV-VALIDATION-20251101-BATCH"
    assert [first.key, second.key] == [f"{FOLDER}{name}-001.csv", f"{FOLDER}{name}-002.csv"]
    assert new.key.startswith("validation-failures/2025-11-19/")
    assert get_bytes(local, first.key).count(b"\r\n") == 3
    marked = {at for (at,) in log(postgres, "exported_to_b2_at")}
    assert marked == {after_midnight.astimezone(UTC).replace(tzinfo=None)}


def test_a_later_export_of_the_same_name_says_so_in_its_own(
    postgres: Postgres, local: LocalStore, tmp_path: Path
) -> None:
    local.put_bytes(COMPANY_KEY, b"[]\n", metadata={"batch-id": "not ours"})
    local.put_bytes(COMPANY_KEY.replace(".json", "-2.json"), b"[1]\n")
    for number, later in ((1, "-3"), (2, "-4"), (3, "-5")):
        given_failures(postgres, a_failure(f"c{number}"))
        (done,) = export(postgres, local, tmp_path)
        assert done.key == COMPANY_KEY.replace(".json", f"{later}.json")
    assert get_bytes(local, COMPANY_KEY) == b"[]\n"
    for later in ("", "-2"):
        given_failures(postgres, *[a_failure(f"{later}{number}") for number in range(2)])
        done_batches = export(postgres, local, tmp_path, replace(ORDER, batch_size=1))
        name = COMPANY_KEY.replace(".json", "-BATCH-00")
        assert [b.key for b in done_batches] == [f"{name}{n}{later}.json" for n in (1, 2)]


def test_a_later_name_that_is_another_pipelines_first_is_left_to_it(
    postgres: Postgres, local: LocalStore, tmp_path: Path
) -> None:
    given_failures(postgres, a_failure("c1", pipeline_id="X"))
    export(postgres, local, tmp_path)
    given_failures(
        postgres, *[a_failure("c2", pipeline_id=name) for name in ("X", "X-2", "X-3", "X-2-2")]
    )
    done = export(postgres, local, tmp_path)
    names = {b.key.partition("failures_")[2]: b.pipeline_id for b in done}
    assert names == {"X-2.json": "X-2", "X-3.json": "X-3", "X-4.json": "X", "X-2-2.json": "X-2-2"}


def test_names_no_key_can_hold_are_exported_all_the_same(
    postgres: Postgres, local: LocalStore, tmp_path: Path
) -> None:
    names = ["../x", "a/b", "", "%2F", "a\\b\n", "é" * 300, "x" * 300, "x" * 299 + "y"]
    given_failures(postgres, *[a_failure(str(i), pipeline_id=n) for i, n in enumerate(names)])
    assert len(export(postgres, local, tmp_path)) == len(names)
    assert sorted(ids_in(local)) == [str(i) for i in range(len(names))]


def test_two_exports_at_once_share_the_work(
    postgres: Postgres, local: LocalStore, tmp_path: Path
) -> None:
    given_many_failures(postgres, 400)
    order = replace(ORDER, batch_size=20)
    with ThreadPoolExecutor(2) as pool:
        both = pool.map(
            lambda number: export_failures(
                postgres, local, order, folder=tmp_path / f"work-{number}", now=NOON
            ),
            range(2),
        )
        done = [batch for one in both for batch in one]
    assert len(done) == len({batch.key for batch in done}) == 20
    assert ids_in(local) == [f"c{number}" for number in range(1, 401)]


def test_a_row_that_changes_while_it_is_exported_arrives_as_it_is_marked(
    postgres: Postgres, tmp_path: Path
) -> None:
    given_many_failures(postgres, 3)
    change = f"UPDATE {LOG} SET fail_reason = 'changed' WHERE company_id = 'c2'"
    store = MeddlingStore(tmp_path / "store", lambda _key: given_sql(postgres, change))
    (done,) = export(postgres, store, tmp_path)
    reasons = [row["fail_reason"] for row in json.loads(get_bytes(store, done.key))]
    assert reasons[1] == "changed"
    assert [key.partition("_")[0] for key in keys_in(store)] == [f"{FOLDER}company"]


def test_a_row_that_goes_away_after_its_claim_is_not_missed(
    postgres: Postgres, local: LocalStore, tmp_path: Path
) -> None:
    given_many_failures(postgres, 3)
    with postgres.connect() as connection:
        claim_batches(connection, ORDER, now=NOON)
    given_sql(postgres, f"DELETE FROM {LOG} WHERE company_id = 'c2'")
    (done,) = export(postgres, local, tmp_path)
    assert (done.rows, ids_in(local)) == (2, ["c1", "c3"])


def test_a_row_somebody_holds_makes_the_export_wait_and_not_him(
    postgres: Postgres, tmp_path: Path
) -> None:
    given_many_failures(postgres, 3)

    held = ExitStack()
    somebody = held.enter_context(postgres.connect())
    somebody.execute(f"SELECT FROM {LOG} WHERE company_id = 'c2' FOR UPDATE".encode())
    let_go = [held.close]

    class LettingGo(LocalStore):
        def head(self, key: str) -> StoredObject:
            found = super().head(key)  # the second time: the first finds nothing
            if let_go:
                let_go.pop()()
            return found

    (done,) = export(postgres, LettingGo(tmp_path / "store"), tmp_path)
    assert done.rows == 3
    assert not let_go


def test_a_row_that_says_again_that_it_is_not_exported_is_exported_again(
    postgres: Postgres, local: LocalStore, tmp_path: Path
) -> None:
    given_many_failures(postgres, 3)
    export(postgres, local, tmp_path)
    given_sql(postgres, f"UPDATE {LOG} SET exported_to_b2 = false WHERE company_id = 'c2'")
    (again,) = export(postgres, local, tmp_path)
    assert again.key.endswith("-2.json")
    assert [r["company_id"] for r in json.loads(get_bytes(local, again.key))] == ["c2"]


def test_one_batchs_error_does_not_stop_the_others(postgres: Postgres, tmp_path: Path) -> None:
    given_many_failures(postgres, 30)
    store = MeddlingStore(tmp_path / "store", None, ObjectCorruptError("the second"))
    heard: list[ExportedBatch] = []
    with pytest.raises(ObjectCorruptError, match="the second"):
        export_failures(
            postgres,
            store,
            replace(ORDER, batch_size=10),
            folder=tmp_path / "work",
            now=NOON,
            exported=heard.append,
        )
    assert [batch.key[-8:-5] for batch in heard] == ["001", "003"]
    (left,) = export(postgres, store, tmp_path)
    assert (left.key[-8:-5], left.taken_up) == ("002", True)
    assert ids_in(store) == [f"c{number}" for number in range(1, 31)]


def test_a_store_that_is_away_leaves_the_batch_for_later(
    postgres: Postgres, tmp_path: Path
) -> None:
    given_many_failures(postgres, 30)
    store = MeddlingStore(tmp_path / "store", None, StoreUnreachableError("no answer"))
    with pytest.raises(StoreUnreachableError):
        export(postgres, store, tmp_path, replace(ORDER, batch_size=10))
    statuses = [batch.status for batch in failure_batches(postgres, limit=10)]
    assert statuses == ["claimed", "claimed", "exported"]
    assert len(export(postgres, store, tmp_path)) == 2
    assert ids_in(store) == [f"c{number}" for number in range(1, 31)]


def test_other_bytes_than_were_put_are_noticed(postgres: Postgres, tmp_path: Path) -> None:
    given_many_failures(postgres, 3)
    root = tmp_path / "store"

    def flip(key: str) -> None:
        (root / key).write_bytes((root / key).read_bytes().replace(b"c2", b"c9"))

    store = MeddlingStore(root, flip)
    with pytest.raises(ObjectCorruptError, match="is not the file that was put"):
        export(postgres, store, tmp_path)
    assert {done for (done,) in log(postgres, "exported_to_b2")} == {False}


def test_a_database_without_our_tables_says_what_to_do(
    empty_postgres: Postgres, local: LocalStore, tmp_path: Path
) -> None:
    with pytest.raises(NotMigratedError, match="outreach db migrate"):
        export_failures(empty_postgres, local, ORDER, folder=tmp_path, now=NOON)


def test_whoever_updates_the_same_rows_in_another_order_is_not_aborted(
    postgres: Postgres, local: LocalStore, tmp_path: Path
) -> None:
    given_many_failures(postgres, 3000)
    backwards = f"""
        UPDATE {LOG} AS f SET last_seen_at = clock_timestamp()
        FROM (SELECT id FROM {LOG} ORDER BY id DESC FOR UPDATE) AS held WHERE f.id = held.id"""

    def record() -> None:
        for _ in range(8):
            given_sql(postgres, backwards)

    with ThreadPoolExecutor(1) as pool:
        recording = pool.submit(record)
        done = export(postgres, local, tmp_path, replace(ORDER, batch_size=300))
        recording.result()
    assert [batch.rows for batch in done] == [300] * 10
    assert ids_in(local) == [f"c{number}" for number in range(1, 3001)]
