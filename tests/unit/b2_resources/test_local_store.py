import os
from pathlib import Path

import duckdb
import pytest

from b2_resources.keys import KeyRefusedError
from b2_resources.local_store import LocalStore
from b2_resources.object_store import (
    ObjectCorruptError,
    ObjectMissingError,
    StoreRefusedError,
    get_bytes,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root)


def names_below(root: Path, folder: str = "") -> set[str]:
    return {p.name for p in (root / folder).rglob("*") if p.is_file()}


def test_a_parquet_is_a_plain_file_that_duckdb_reads(store: LocalStore, tmp_path: Path) -> None:
    made = tmp_path / "made.parquet"
    with duckdb.connect() as duck:
        duck.sql("SELECT 42 AS answer").write_parquet(str(made))
        store.put_file("outreach/wv/x.parquet", made)
        place = store.place_of("outreach/wv/x.parquet")
        assert duck.read_parquet(place).fetchall() == [(42,)]


def test_looking_makes_no_folder(store: LocalStore, root: Path) -> None:
    assert list(store.list_objects()) == []
    store.delete("k")
    with pytest.raises(ObjectMissingError):
        store.head("k")
    assert not root.exists()


@pytest.mark.parametrize("key", ["link/x", "link/sub/x", "file-link"])
def test_a_symbolic_link_does_not_lead_out(
    store: LocalStore, root: Path, tmp_path: Path, key: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "sub").mkdir(parents=True)
    (outside / "sub" / "x").write_text("secret")
    (outside / "x").write_text("secret")
    root.mkdir()
    (root / "link").symlink_to(outside)
    (root / "file-link").symlink_to(outside / "x")
    for attempt in (store.head, store.delete, lambda k: store.put_bytes(k, b"")):
        with pytest.raises(KeyRefusedError):
            attempt(key)
    assert (outside / "x").read_text() == "secret"
    assert list(store.list_objects()) == []


def test_a_file_changed_by_hand_is_taken_as_it_is(store: LocalStore, root: Path) -> None:
    store.put_bytes("k.csv", b"old", metadata={"a": "1"})
    (root / "k.csv").write_bytes(b"by hand")
    head = store.head("k.csv")
    assert (head.size_bytes, head.metadata, head.content_type) == (7, {}, "text/csv")
    assert get_bytes(store, "k.csv") == b"by hand"


def test_a_file_laid_there_by_hand_is_an_object(store: LocalStore, root: Path) -> None:
    (root / "a").mkdir(parents=True)
    (root / "a" / "k.json").write_bytes(b"{}")
    assert [stored.key for stored in store.list_objects()] == ["a/k.json"]
    assert store.head("a/k.json").sha256 is not None


def test_a_flipped_byte_is_never_given_out(store: LocalStore, root: Path, tmp_path: Path) -> None:
    store.put_bytes("k", b"some bytes")
    before = (root / "k").stat()
    (root / "k").write_bytes(b"some bytez")
    os.utime(root / "k", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ObjectCorruptError):
        store.get_file("k", tmp_path / "out")
    with pytest.raises(ObjectCorruptError):
        get_bytes(store, "k")
    assert not (tmp_path / "out").exists()


def test_a_put_that_fails_midway_leaves_the_old_object(store: LocalStore, root: Path) -> None:
    store.put_bytes("k", b"old", metadata={"a": "1"})
    with pytest.raises(ObjectCorruptError):
        store.put_file("k", root / "k", sha256="0" * 64)
    assert (get_bytes(store, "k"), store.head("k").metadata) == (b"old", {"a": "1"})
    assert not [name for name in names_below(root) if name.endswith(".part")]


def test_a_crash_before_the_bytes_have_their_name_leaves_the_old_object(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_bytes("k", b"old", metadata={"a": "1"})
    with monkeypatch.context() as patch:
        patch.setattr("b2_resources.local_store.renamed", _killed)
        with pytest.raises(KeyboardInterrupt):
            store.put_bytes("k", b"new", metadata={"a": "2"})
    assert (get_bytes(store, "k"), store.head("k").metadata) == (b"old", {"a": "1"})


def test_a_crash_right_after_leaves_the_new_object(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_bytes("k", b"old", metadata={"a": "1"})
    with monkeypatch.context() as patch:
        patch.setattr("b2_resources.local_store._stored", _killed)
        with pytest.raises(KeyboardInterrupt):
            store.put_bytes("k", b"new", metadata={"a": "2"})
    assert (get_bytes(store, "k"), store.head("k").metadata) == (b"new", {"a": "2"})


def test_what_is_kept_beside_goes_with_the_object(store: LocalStore, root: Path) -> None:
    for body in (b"1", b"22", b"333"):
        store.put_bytes("k", body)
    assert len(names_below(root, ".outreach-store")) == 1
    store.delete("k")
    assert names_below(root) == set()


def test_torn_notes_beside_an_object_are_made_again(store: LocalStore, root: Path) -> None:
    put = store.put_bytes("k", b"bytes")
    (note,) = (root / ".outreach-store" / "about").iterdir()
    note.write_bytes(b'{"sha256": "12')
    assert store.head("k").sha256 == put.sha256


def test_an_object_beside_a_folder_of_its_name_is_refused(store: LocalStore) -> None:
    store.put_bytes("a/b", b"1")
    with pytest.raises(KeyRefusedError, match="a/b"):
        store.put_bytes("a", b"2")
    with pytest.raises(KeyRefusedError, match="a/b"):
        store.put_bytes("a/b/c", b"2")


def test_a_root_that_cannot_be_made_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreRefusedError, match="file"):
        LocalStore(tmp_path / "file" / "root").put_bytes("k", b"1")


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
