"""Old snapshots go, and nothing that anybody still needs: whole, killed half-way, hidden bytes."""

import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from b2_resources import keys
from b2_resources.bucket_setup import usage
from b2_resources.hybrid_store import HybridStore
from b2_resources.local_store import LocalStore
from b2_resources.object_store import ObjectStore, get_bytes
from b2_resources.s3_config import S3Config
from b2_resources.s3_store import S3Store
from outreach_assets.steps.manifest import Manifest, manifest_versions
from outreach_assets.steps.published import repair
from outreach_assets.steps.record import ClaimLostError, StateBusyError, claimed, locked
from outreach_assets.steps.snapshots.manifest_chain import chain_problems, read_chain
from outreach_assets.steps.snapshots.retention import (
    Keep,
    StatePruned,
    StrangeManifestError,
    kept_versions,
    plan_state,
    prune,
)
from outreach_assets.steps.upload import differing_objects
from outreach_core.audit import SNAPSHOT_REMOVED
from outreach_core.postgres import Postgres
from tests.given import given_history, given_sql
from tests.servers.fault_proxy import FaultProxy
from tests.servers.rclone_s3 import RcloneS3

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
DAYS = [f"202605{day:02}020000" for day in range(1, 5)]
NEWEST_ALONE = Keep(snapshots=1, days=0)

PRUNING = f"""
import sys
from datetime import UTC, datetime
from pathlib import Path
from b2_resources.local_store import LocalStore
from outreach_assets.steps.snapshots.retention import Keep, prune
from outreach_core.postgres import Postgres
postgres = Postgres(conninfo=sys.stdin.readline().strip(), name="the test's")
keep = Keep(snapshots=1, days=0)
list(prune(LocalStore(Path(sys.argv[1])), postgres, ["WV"], keep, now={NOW!r}, by={{}}))
""".replace("datetime.datetime(", "datetime(").replace("tzinfo=datetime.timezone.utc", "tzinfo=UTC")

moments = st.integers(0, 400).map(
    lambda days: (NOW - timedelta(days=days)).strftime("%Y%m%d%H%M%S")
)


class KilledError(BaseException):
    """The process is gone: nothing else happens."""


class DyingStore(LocalStore):
    """A folder whose process dies before its n-th write."""

    def __init__(self, root: Path, writes: int) -> None:
        super().__init__(root)
        self.left = writes

    def _write(self) -> None:
        if self.left == 0:
            raise KilledError
        self.left -= 1

    def put_bytes(self, key: str, body: bytes, **options: object):
        self._write()
        return super().put_bytes(key, body, **options)

    def delete(self, key: str) -> None:
        self._write()
        super().delete(key)


def pruned(
    store: ObjectStore, postgres: Postgres, keep: Keep = NEWEST_ALONE, now: datetime = NOW
) -> StatePruned:
    [done] = prune(store, postgres, ["WV"], keep, now=now, by={"who": "a test"})
    return done


def removed_in(postgres: Postgres) -> list[str]:
    """The versions that the audit log says were removed, in its order."""
    with postgres.connect() as connection:
        found = connection.execute(
            "SELECT details ->> 'version' FROM shq.audit_log WHERE event_type = %s ORDER BY id",
            (SNAPSHOT_REMOVED,),
        )
        return [version for (version,) in found]


def empty_audit_log(postgres: Postgres) -> None:
    """For the next example; nobody may do so outside of tests."""
    trigger = "TRIGGER USER"
    given_sql(
        postgres,
        f"ALTER TABLE shq.audit_log DISABLE {trigger}",
        "TRUNCATE shq.audit_log",
        f"ALTER TABLE shq.audit_log ENABLE {trigger}",
    )


def file_keys(store: ObjectStore) -> set[str]:
    found = (keys.snapshot_place(o.key) for o in store.list_objects("outreach/wv/"))
    return {place.version for place in found if place and place.version}


def assert_whole(store: ObjectStore, manifests: dict[str, Manifest]) -> None:
    """Every manifest has its files, the chain holds, and readers see the newest."""
    existing = [manifests[version] for version in manifest_versions(store, "WV")]
    assert differing_objects(store, existing) == {}
    assert chain_problems(store, read_chain(store, "WV")) == []
    newest = max(manifests)
    for file in manifests[newest].files:
        assert get_bytes(store, keys.newest_key("WV", file.table, file.verdict)) == (
            file.key.encode()
        )


@given(
    published=st.sets(moments, min_size=1),
    held=st.sets(moments),
    keep=st.builds(Keep, snapshots=st.integers(1, 9), days=st.integers(0, 300)),
)
def test_what_may_go_is_old_superseded_and_followed_by_nothing_held(
    published: set[str], held: set[str], keep: Keep
) -> None:
    kept = kept_versions(published, held, keep, NOW)
    cut = (NOW - timedelta(days=keep.days)).strftime("%Y%m%d%H%M%S")
    assert set(kept) <= published
    assert max(published) in kept
    for version in published.difference(kept):
        assert sum(later > version for later in published) >= keep.snapshots
        assert version < cut
        assert not any(max((v for v in published if v < h), default="") == version for h in held)


@pytest.mark.slow
@given(
    published=st.sets(moments, min_size=1, max_size=5),
    held=st.sets(moments, max_size=2),
    keeps=st.lists(
        st.builds(Keep, snapshots=st.integers(1, 3), days=st.integers(0, 300)),
        min_size=1,
        max_size=3,
    ),
    kills=st.lists(st.integers(0, 40), max_size=3),
)
@hypothesis_settings(
    max_examples=25,
    # Not reset between examples: so the audit log is emptied here.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_the_history_and_the_kills_what_is_left_is_whole_and_chained(
    postgres: Postgres,
    published: set[str],
    held: set[str],
    keeps: Sequence[Keep],
    kills: Sequence[int],
) -> None:
    empty_audit_log(postgres)
    with tempfile.TemporaryDirectory() as folder:
        store = LocalStore(Path(folder))
        manifests = given_history(store, sorted(published), sorted(held))
        for writes in kills:
            with suppress(KilledError):
                pruned(DyingStore(Path(folder), writes), postgres, keeps[0])
            assert_whole(store, manifests)
        expected = published
        for keep in keeps:
            expected = set(kept_versions(expected, held, keep, NOW))
            assert pruned(store, postgres, keep).failure is None
            assert_whole(store, manifests)
        left = set(manifest_versions(store, "WV"))
        assert file_keys(store) == left == expected
        assert sorted(removed_in(postgres)) == sorted(published - left)


@pytest.mark.slow
def test_killed_before_any_write_the_next_pruning_leaves_nothing_behind(
    postgres: Postgres, tmp_path: Path
) -> None:
    for writes in range(30):
        root = tmp_path / str(writes)
        store = LocalStore(root)
        manifests = given_history(store, DAYS[:3])
        dying = DyingStore(root, writes)
        try:
            pruned(dying, postgres)
        except KilledError:
            assert_whole(store, manifests)
        else:
            break
        assert pruned(store, postgres).failure is None
        assert file_keys(store) == set(manifest_versions(store, "WV")) == {DAYS[2]}
        assert removed_in(postgres) == DAYS[:2]
        empty_audit_log(postgres)
    assert dying.left == 0  # the last one just sufficed: every write was once the fatal one
    assert writes > 10


@pytest.mark.slow
def test_a_process_killed_while_it_prunes_leaves_what_the_next_one_finishes(
    postgres: Postgres, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path)
    history = [f"20260101{number:06}" for number in range(120)]
    manifests = given_history(store, history)
    manifests_there = tmp_path / keys.manifests_prefix("WV")
    dice, hit = random.Random(5), 0  # noqa: S311 dice
    for left in (100, 60, 30, 1):
        wait_until_free(postgres)
        with subprocess.Popen(
            [sys.executable, "-c", PRUNING, str(tmp_path)], stdin=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin
            process.stdin.write(f"{postgres.conninfo}\n")
            process.stdin.flush()
            while process.poll() is None and len(list(manifests_there.iterdir())) > left:
                time.sleep(0.001)
            time.sleep(dice.uniform(0, 0.02))  # where it is hit is up to the dice
            process.kill()
        hit += file_keys(store) != set(manifest_versions(store, "WV"))
        assert_whole(store, manifests)
    wait_until_free(postgres)
    assert pruned(store, postgres).failure is None
    assert file_keys(store) == {history[-1]}
    assert sorted(removed_in(postgres)) == history[:-1]
    assert hit >= 3


def wait_until_free(postgres: Postgres) -> None:
    """Until Postgres has noticed that the last process is dead."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with locked(postgres, "WV"):
                return
        except StateBusyError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_run_cleans_the_files_of_a_pruning_that_was_killed(
    postgres: Postgres, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path)
    given_history(store, DAYS[:2])
    with pytest.raises(KilledError):
        pruned(DyingStore(tmp_path, 3), postgres)
    repair(store, "WV")
    assert file_keys(store) == {DAYS[1]}


def test_pruning_leaves_receipts_and_events_and_says_what_it_did(
    store: ObjectStore, postgres: Postgres
) -> None:
    manifests = given_history(store, DAYS)
    plan = plan_state(store, "WV", Keep(snapshots=2, days=0), NOW)
    assert list(plan.doomed) == DAYS[:2]
    assert list(plan.kept) == [DAYS[3], DAYS[2]]
    done = pruned(store, postgres, Keep(snapshots=2, days=0))
    assert [one.version for one in done.removed] == DAYS[:2]
    assert [one.size_bytes for one in done.removed] == list(plan.doomed.values())
    assert removed_in(postgres) == DAYS[:2]
    for version in DAYS[:2]:
        receipt = get_bytes(store, keys.pruned_key("WV", version))
        assert receipt == manifests[version].body
    assert_whole(store, manifests)
    assert pruned(store, postgres, Keep(snapshots=2, days=0)) == StatePruned(state="WV")


def test_days_keep_what_the_number_would_not(store: ObjectStore, postgres: Postgres) -> None:
    given_history(store, DAYS)
    done = pruned(store, postgres, Keep(snapshots=1, days=2))
    assert [one.version for one in done.removed] == DAYS[:2]


class LockLosingStore(LocalStore):
    """A folder during whose first write the database drops every connection."""

    def __init__(self, root: Path, postgres: Postgres) -> None:
        super().__init__(root)
        self.postgres = postgres

    def put_bytes(self, key: str, body: bytes, **options: object):
        with self.postgres.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        return super().put_bytes(key, body, **options)


def test_without_its_lock_pruning_deletes_nothing_more(postgres: Postgres, tmp_path: Path) -> None:
    manifests = given_history(LocalStore(tmp_path), DAYS)
    failure = pruned(LockLosingStore(tmp_path, postgres), postgres).failure
    assert isinstance(failure, ClaimLostError)
    store = LocalStore(tmp_path)
    assert file_keys(store) == set(DAYS)
    assert_whole(store, manifests)
    assert len(pruned(store, postgres).removed) == 3
    assert file_keys(store) == {DAYS[3]}


def test_the_last_good_one_stays_while_what_is_newer_was_held_and_released(
    postgres: Postgres, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path)
    manifests = given_history(store, DAYS)
    for version in DAYS[2:]:
        released = manifests[version].model_copy(update={"held": ("too many are bad",)})
        store.put_bytes(released.key, released.body)
    done = pruned(store, postgres)
    assert [one.version for one in done.removed] == [DAYS[0], DAYS[2]]
    assert file_keys(store) == {DAYS[1], DAYS[3]}


def test_a_state_with_a_run_in_it_is_left_alone(postgres: Postgres, tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    given_history(store, DAYS)
    with claimed(
        postgres, ["WV"], run_id="r", version=DAYS[3], abandoned=lambda _run: None
    ) as claim:
        assert isinstance(pruned(store, postgres).failure, StateBusyError)
        claim.close({})
    assert file_keys(store) == set(DAYS)


def test_nothing_is_deleted_on_the_word_of_a_manifest_that_names_what_is_not_its_own(
    store: ObjectStore, postgres: Postgres
) -> None:
    manifests = given_history(store, DAYS)
    theirs = manifests[DAYS[1]].model_copy(update={"files": manifests[DAYS[3]].files})
    store.put_bytes(theirs.key, theirs.body)
    done = pruned(store, postgres)
    assert isinstance(done.failure, StrangeManifestError)
    assert file_keys(store) == set(DAYS) == set(manifest_versions(store, "WV"))


@pytest.fixture(scope="module")
def b2_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    folder = tmp_path_factory.mktemp("b2")
    with RcloneS3(folder) as server, FaultProxy(server) as proxy:
        yield proxy


@pytest.fixture
def b2(b2_server: FaultProxy) -> S3Config:
    """A fresh bucket that keeps versions."""
    bucket = f"b{secrets.token_hex(6)}"
    b2_server.server.make_bucket(bucket)
    b2_server.personality.versions.clear()
    return b2_server.config(bucket)


def test_what_a_bucket_hides_of_pruned_snapshots_is_gone_too(
    b2: S3Config, postgres: Postgres
) -> None:
    store = S3Store(b2)
    manifests = given_history(store, DAYS)
    store.delete(manifests[DAYS[0]].files[0].key)  # hidden before: the bytes are billed still
    aside = keys.held_manifest_key("WV", DAYS[1])
    store.put_bytes(aside, b"{}")
    store.delete(aside)
    assert usage(store).hidden_versions
    done = pruned(store, postgres)
    assert done.failure is None
    assert done.purged.hidden_bytes > 0
    found = usage(store)
    assert (found.hidden_versions, found.hidden_bytes) == (1, 0)  # the marker of what was held
    assert found.objects == 4 + 4 + 1 + 3  # versioned and newest files, manifest, receipts
    assert_whole(store, manifests)


def test_a_hybrid_store_keeps_pruned_snapshots_on_neither_side(
    b2: S3Config, postgres: Postgres, tmp_path: Path
) -> None:
    near, far = LocalStore(tmp_path), S3Store(b2)
    manifests = given_history(HybridStore(near=near, far=far), DAYS[:2])
    store = HybridStore(near=near, far=far)
    assert pruned(store, postgres).failure is None
    assert store.owed() == []
    for side in (near, far, store):
        assert file_keys(side) == {DAYS[1]}
        assert_whole(side, manifests)
    assert usage(far).hidden_versions == 0


def test_killed_among_hidden_versions_the_next_pruning_removes_the_rest(
    b2: S3Config, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = S3Store(b2)
    manifests = given_history(store, DAYS[:2])
    dying, left = S3Store(b2), [9]
    asked = dying.client.ask

    def ask(request, **options: object):
        left[0] -= request.method in ("PUT", "DELETE")
        if left[0] < 0:
            raise KilledError
        return asked(request, **options)

    monkeypatch.setattr(dying.client, "ask", ask)
    with pytest.raises(KilledError):
        pruned(dying, postgres)
    assert usage(store).hidden_versions
    assert_whole(store, manifests)
    assert pruned(store, postgres).failure is None
    assert usage(store).hidden_versions == 0
    assert removed_in(postgres) == DAYS[:1]
