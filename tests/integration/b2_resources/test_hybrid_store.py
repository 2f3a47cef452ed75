"""The far side goes away and comes back, and is written by others: what HybridStore makes of it."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from b2_resources.hybrid_journal import Deed, Journal
from b2_resources.hybrid_store import HybridStore
from b2_resources.local_store import LocalStore
from b2_resources.object_store import (
    ObjectMissingError,
    StoreRefusedError,
    StoreUnreachableError,
    get_bytes,
)
from b2_resources.resource import B2Resource
from b2_resources.s3_store import S3Store
from outreach_assets.resources import NeonResource
from outreach_core.audit import STORE_RECONCILED, EventFilter, latest_events
from outreach_core.postgres import Postgres
from sensors.owed_objects import owed_objects_sensor
from tests.servers.fault_proxy import Fault, FaultProxy
from tests.servers.rclone_s3 import RcloneS3

S3_FIELDS = ["endpoint", "region", "key_id", "application_key", "bucket"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneS3]:
    with RcloneS3(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def proxy(server: RcloneS3, tmp_path: Path) -> Iterator[FaultProxy]:
    server.make_bucket(bucket_of(tmp_path))
    with FaultProxy(server) as running:
        yield running


@pytest.fixture
def far(server: RcloneS3, tmp_path: Path, proxy: FaultProxy) -> S3Store:
    """The bucket as others see it, who have no trouble."""
    return S3Store(server.config(bucket_of(tmp_path)))


@pytest.fixture
def store(proxy: FaultProxy, tmp_path: Path) -> HybridStore:
    return reopened(proxy, tmp_path)


def reopened(proxy: FaultProxy, folder: Path) -> HybridStore:
    config = replace(proxy.config(bucket_of(folder)), patience_seconds=0.1)
    return HybridStore(near=LocalStore(folder / "near"), far=S3Store(config), outage_seconds=0)


def bucket_of(folder: Path) -> str:
    return f"b{abs(hash(folder)):x}"


def outage(proxy: FaultProxy) -> None:
    proxy.rates = {Fault.RESET: 1}


def its_end(proxy: FaultProxy) -> None:
    proxy.rates = {}


def test_a_put_is_on_both_sides(store: HybridStore, far: S3Store) -> None:
    store.put_bytes("k", b"1", metadata={"a": "b"})
    assert get_bytes(far, "k") == get_bytes(store.near, "k") == b"1"
    assert store.head("k").metadata == {"a": "b"}
    assert store.owed() == []


def test_an_outage_is_bridged_and_caught_up_with(
    store: HybridStore, proxy: FaultProxy, far: S3Store, tmp_path: Path
) -> None:
    store.put_bytes("before", b"1")
    store.put_bytes("goes", b"1")
    outage(proxy)
    store.put_bytes("during", b"2", metadata={"n": "2"})
    store.put_bytes("before", b"3")
    store.delete("goes")
    store.copy("during", "copied")
    assert get_bytes(store, "before") == b"3"
    assert store.head("during").metadata == {"n": "2"}
    with pytest.raises(ObjectMissingError):
        store.head("goes")
    assert [o.key for o in store.list_objects()] == ["before", "copied", "during"]
    again = reopened(proxy, tmp_path)
    assert again.reconcile().left == 4
    its_end(proxy)
    done = again.reconcile()
    assert (done.put, done.deleted, done.left, dict(done.failed)) == (3, 1, 0, {})
    assert [o.key for o in far.list_objects()] == ["before", "copied", "during"]
    assert get_bytes(far, "before") == b"3"
    assert far.head("copied").metadata["n"] == "2"


def test_what_is_owed_is_read_and_listed_before_it_is_reconciled(
    store: HybridStore, proxy: FaultProxy, far: S3Store
) -> None:
    for key in ("a", "c"):
        store.put_bytes(key, b"old")
    outage(proxy)
    store.put_bytes("a", b"new")
    store.put_bytes("b", b"new")
    store.delete("c")
    its_end(proxy)
    assert get_bytes(store, "a") == get_bytes(store, "b") == b"new"
    assert [o.key for o in store.list_objects()] == ["a", "b"]
    with pytest.raises(ObjectMissingError):
        get_bytes(store, "c")
    assert [o.key for o in far.list_objects()] == ["a", "c"]


def test_what_others_put_later_is_not_overwritten(
    store: HybridStore, proxy: FaultProxy, far: S3Store
) -> None:
    outage(proxy)
    store.put_bytes("k", b"ours, owed")
    store.delete("d")
    far.put_bytes("k", b"theirs", metadata={"outreach-generation": str(10**19)})
    far.put_bytes("d", b"theirs", metadata={"outreach-generation": str(10**19)})
    its_end(proxy)
    assert get_bytes(store, "k") == get_bytes(store, "d") == b"theirs"
    assert store.reconcile().superseded == 2
    assert get_bytes(far, "k") == get_bytes(far, "d") == b"theirs"


def test_an_older_copy_is_not_served_in_an_outage(
    store: HybridStore, proxy: FaultProxy, far: S3Store, tmp_path: Path
) -> None:
    for key in ("headed", "got"):
        store.put_bytes(key, b"ours")
        far.put_bytes(key, b"theirs")
    store.head("headed")
    store.get_file("got", tmp_path / "out")
    outage(proxy)
    with pytest.raises(StoreUnreachableError):
        get_bytes(store, "headed")
    assert get_bytes(store, "got") == b"theirs"


def test_what_cannot_be_known_is_not_missing(store: HybridStore, proxy: FaultProxy) -> None:
    outage(proxy)
    with pytest.raises(StoreUnreachableError):
        store.head("never/seen")


def test_a_no_is_not_an_outage(store: HybridStore, proxy: FaultProxy, far: S3Store) -> None:
    store.put_bytes("k", b"1")
    far.delete("k")
    with pytest.raises(ObjectMissingError):
        store.head("k")
    wrong = replace(proxy.config("no-such-bucket"), patience_seconds=0.1)
    refused = HybridStore(near=store.near, far=S3Store(wrong), outage_seconds=0)
    with pytest.raises(StoreRefusedError):
        refused.put_bytes("l", b"1")
    with pytest.raises(StoreRefusedError):
        get_bytes(refused, "k")
    assert refused.owed() == []
    with pytest.raises(ObjectMissingError):
        store.near.head("l")


def test_a_crash_between_the_sides_leaves_a_note(
    store: HybridStore, proxy: FaultProxy, far: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_bytes("k", b"old")
    with monkeypatch.context() as crash:
        crash.setattr(LocalStore, "put_bytes", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.put_bytes("k", b"new")
    assert [(owed.key, owed.deed) for owed in store.owed()] == [("k", Deed.PUT)]
    assert get_bytes(store, "k") == b"new"
    outage(proxy)
    with pytest.raises(StoreUnreachableError):
        get_bytes(store, "k")
    its_end(proxy)
    assert store.reconcile().superseded == 1
    assert get_bytes(store, "k") == b"new"


def test_a_stopped_server_is_an_outage_too(tmp_path: Path) -> None:
    with RcloneS3(tmp_path / "s3") as server:
        config = replace(server.config(), patience_seconds=0.1)
        far = S3Store(config)
        store = HybridStore(near=LocalStore(tmp_path / "near"), far=far, outage_seconds=0)
        store.put_bytes("k", b"1")
        port = int(server.endpoint.rpartition(":")[2])
        server.stop()
        store.put_bytes("k", b"2")
        assert get_bytes(store, "k") == b"2"
        server.start(port)
        assert store.reconcile().put == 1
        assert get_bytes(far, "k") == b"2"


def test_the_sensor_brings_what_is_owed_and_tells_it(
    proxy: FaultProxy, far: S3Store, postgres: Postgres, tmp_path: Path
) -> None:
    store = reopened(proxy, tmp_path)
    outage(proxy)
    store.put_bytes("k", b"1")
    its_end(proxy)
    config = far.client.config
    resource = B2Resource(
        storage_mode="hybrid",
        local_root=str(tmp_path / "near"),
        **{name: getattr(config, name) for name in S3_FIELDS},
    )
    resources = {"b2": resource, "neon": NeonResource(connection_string=postgres.conninfo)}
    for said in ("put 1", "nothing is owed"):
        with dg.build_sensor_context(resources=resources) as context:
            skip = owed_objects_sensor(context)
        assert isinstance(skip, dg.SkipReason)
        assert said in (skip.skip_message or "")
    assert get_bytes(far, "k") == b"1"
    with postgres.connect() as connection:
        told = latest_events(connection, EventFilter(event_type=STORE_RECONCILED), limit=9)
    assert [event.details and event.details["put"] for event in told] == [1]


def test_two_processes_do_not_settle_a_key_at_once(tmp_path: Path) -> None:
    journals = Journal(tmp_path), Journal(tmp_path)
    held, came = threading.Event(), threading.Event()

    def second() -> None:
        held.wait(10)
        with journals[1].locked("k"):
            came.set()

    thread = threading.Thread(target=second)
    thread.start()
    with journals[0].locked("k"):
        held.set()
        assert not came.wait(0.2)
    assert came.wait(10)
    thread.join()
