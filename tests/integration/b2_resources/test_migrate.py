import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from b2_resources import keys
from b2_resources.local_store import LocalStore
from b2_resources.migrate import Outcome, migrate
from b2_resources.object_store import ObjectStore, get_bytes
from b2_resources.s3_store import S3Store
from b2_resources.verify import Difference, Expected, How, verify_expected, verify_stores
from tests.servers.fault_proxy import Fault, FaultProxy
from tests.servers.rclone_s3 import RcloneS3

VERSION = "20260101000000"
KEYS = [
    keys.newest_key("WV", "people", "good"),
    keys.snapshot_key("WV", "people", "good", VERSION),
    keys.manifest_key("WV", VERSION),
    "other/ü b.txt",
    "aa/" + "x" * 200,
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneS3]:
    with RcloneS3(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def far(server: RcloneS3, tmp_path: Path) -> S3Store:
    bucket = f"b{abs(hash(tmp_path)):x}"
    server.make_bucket(bucket)
    return S3Store(server.config(bucket))


@pytest.fixture
def near(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "near")
    for key in KEYS:
        store.put_bytes(key, os.urandom(5000), metadata={"of": "ü"}, content_type="text/plain")
    return store


def test_everything_moves_and_is_proven_there_and_back(
    near: LocalStore, far: S3Store, tmp_path: Path
) -> None:
    heard: list[str] = []
    moved = migrate(near, far, workers=1, heard=lambda key, _: heard.append(key))
    assert (moved.moved, moved.moved_bytes, moved.skipped, moved.failed) == (5, 25000, 0, {})
    assert heard[-2:] == [keys.manifest_key("WV", VERSION), keys.newest_key("WV", "people", "good")]
    for how in How:
        assert verify_stores(near, far, how).differences == {}
    head = far.head("other/ü b.txt")
    assert (head.metadata, head.content_type) == ({"of": "ü"}, "text/plain")
    back = LocalStore(tmp_path / "back")
    assert migrate(far, back).moved == 5
    assert verify_stores(near, back, How.BYTES).checked == 5


def test_what_is_there_is_skipped_and_what_differs_is_moved(near: LocalStore, far: S3Store) -> None:
    migrate(near, far)
    far.put_bytes("other/ü b.txt", b"x" * 5000)
    far.delete(keys.manifest_key("WV", VERSION))
    outcomes: list[Outcome] = []
    again = migrate(near, far, heard=lambda _, outcome: outcomes.append(outcome))
    assert (again.moved, again.skipped) == (2, 3)
    assert sorted(outcomes) == ["moved", "moved", "skipped", "skipped", "skipped"]


def test_it_goes_on_after_a_store_was_away(
    near: LocalStore, far: S3Store, server: RcloneS3
) -> None:
    with FaultProxy(server) as proxy:
        config = proxy.config(far.client.config.bucket)
        away = S3Store(type(config)(**{**vars(config), "patience_seconds": 0.1}))
        proxy.script("PUT", "/other", *[Fault.ERROR_500] * 50)
        stopped = migrate(near, away, workers=1)
    assert "other" in stopped.stopped_by
    assert stopped.failed
    assert migrate(near, far).failed == {}
    assert verify_stores(near, far).differences == {}


def test_each_difference_is_named(near: LocalStore, far: S3Store) -> None:
    migrate(near, far)
    far.put_bytes("extra", b"1")
    far.delete("other/ü b.txt")
    far.put_bytes(KEYS[4], b"shorter")
    far.put_bytes(KEYS[0], b"x" * 5000)
    listed = {"extra": Difference.EXTRA, "other/ü b.txt": Difference.MISSING, KEYS[4]: "other size"}
    assert verify_stores(near, far, How.LISTING).differences == listed
    assert verify_stores(near, far).differences == {**listed, KEYS[0]: Difference.BYTES}
    assert verify_stores(near, far, prefix="other/").checked == 1


def flip(store: ObjectStore, key: str) -> None:
    path = Path(store.place_of(key))
    found, body = path.stat(), bytearray(path.read_bytes())
    body[0] ^= 1
    path.write_bytes(body)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_a_flipped_byte_is_found_byte_by_byte(near: LocalStore, far: S3Store) -> None:
    migrate(near, far)
    flip(near, "other/ü b.txt")
    assert verify_stores(near, far).differences == {}
    assert verify_stores(near, far, How.BYTES).differences == {"other/ü b.txt": Difference.BYTES}
    assert "other/ü b.txt" in migrate(near, LocalStore(near.root / "elsewhere")).failed


def test_a_store_is_compared_with_its_manifests(near: LocalStore) -> None:
    sha256 = near.head(KEYS[0]).sha256 or ""
    expected = [
        Expected(key=KEYS[0], size_bytes=5000, sha256=sha256),
        Expected(key=KEYS[1], size_bytes=5000, sha256=sha256),
        Expected(key="no/such", size_bytes=1, sha256=sha256),
    ]
    found = verify_expected(near, expected, How.BYTES)
    assert found.differences == {KEYS[1]: Difference.BYTES, "no/such": Difference.MISSING}
    assert get_bytes(near, KEYS[0])
