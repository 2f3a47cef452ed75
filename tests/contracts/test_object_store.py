"""What every store promises (b2_resources/object_store.py), each sentence of it as a test."""

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from b2_resources.keys import KeyRefusedError
from b2_resources.object_store import (
    ObjectCorruptError,
    ObjectMissingError,
    ObjectStore,
    Upload,
    get_bytes,
    put_files,
)
from outreach_core.errors import PermanentError

ODD_KEYS = [
    "plain",
    "a b/c d.txt",
    " begins and ends ",
    "ünï/日本/🗺️.csv",
    "p%20q/100%",
    "plus+and&amp=?#x;y,z",
    "tilde~'()*!$\"<>|:@",
    "dots/.hidden/..two/three...",
    "x" * 255,
    "/".join(["y" * 203] * 5) + "/zzzz",
]
HOSTILE_KEYS = [
    "",
    "/absolute",
    "ends/",
    "a//b",
    "../x",
    "a/../../x",
    "a/.",
    "..",
    "a\\b",
    "a\nb",
    "a\x00b",
    "a\x85b",
    "\ud800",
    "x" * 256,
    "a/" * 512 + "b",
    ".outreach-store/about",
]
LARGE = 40 * 1024 * 1024 + 123


def a_file(path: Path, body: bytes = b"some bytes") -> Path:
    path.write_bytes(body)
    return path


def keys_of(store: ObjectStore, prefix: str = "") -> list[str]:
    return [stored.key for stored in store.list_objects(prefix)]


def test_a_put_answers_what_head_answers_afterwards(store: ObjectStore, tmp_path: Path) -> None:
    put = store.put_file("a/b.parquet", a_file(tmp_path / "f"), metadata={"rows": "12"})
    head = store.head("a/b.parquet")
    assert (put.size_bytes, put.sha256) == (10, hashlib.sha256(b"some bytes").hexdigest())
    assert (head.key, head.size_bytes, head.sha256) == (put.key, put.size_bytes, put.sha256)
    assert head.metadata == put.metadata == {"rows": "12"}
    assert head.content_type == put.content_type == "application/vnd.apache.parquet"


def test_the_time_of_an_object_is_now_and_in_utc(store: ObjectStore) -> None:
    put = store.put_bytes("k", b"1")
    for seen in (put, store.head("k"), *store.list_objects()):
        assert seen.modified_at.utcoffset() == timedelta(0)
        assert abs(seen.modified_at - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_given_content_type_is_kept(store: ObjectStore) -> None:
    store.put_bytes("k.json", b"{}", content_type="application/ld+json")
    assert store.head("k.json").content_type == "application/ld+json"


def test_a_put_replaces_everything(store: ObjectStore) -> None:
    store.put_bytes("k", b"first", metadata={"a": "1"}, content_type="text/plain")
    store.put_bytes("k", b"second!", metadata={"b": "2"})
    head = store.head("k")
    assert get_bytes(store, "k") == b"second!"
    assert (head.metadata, head.content_type) == ({"b": "2"}, "application/octet-stream")


def test_the_same_put_twice_is_harmless(store: ObjectStore) -> None:
    first = store.put_bytes("k", b"same", metadata={"a": "1"})
    again = store.put_bytes("k", b"same", metadata={"a": "1"})
    assert (first.sha256, first.metadata) == (again.sha256, store.head("k").metadata)


def test_an_empty_object_is_an_object(store: ObjectStore, tmp_path: Path) -> None:
    store.put_bytes("empty", b"")
    assert get_bytes(store, "empty") == b""
    assert store.get_file("empty", tmp_path / "out").size_bytes == 0
    assert (tmp_path / "out").read_bytes() == b""


def test_a_large_file_comes_back_as_it_was(store: ObjectStore, tmp_path: Path) -> None:
    body = os.urandom(LARGE)
    put = store.put_file("large", a_file(tmp_path / "in", body), metadata={"n": "1"})
    got = store.get_file("large", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == body
    assert put.sha256 == got.sha256 == hashlib.sha256(body).hexdigest()
    assert got.metadata == {"n": "1"}


@pytest.mark.parametrize("size", [10, LARGE])
def test_a_file_that_is_not_what_was_said_is_not_stored(
    store: ObjectStore, tmp_path: Path, size: int
) -> None:
    with pytest.raises(ObjectCorruptError):
        store.put_file("k", a_file(tmp_path / "f", bytes(size)), sha256="0" * 64)
    assert keys_of(store) == []


@pytest.mark.parametrize("size", [10, LARGE])
def test_a_known_sha256_is_taken(store: ObjectStore, tmp_path: Path, size: int) -> None:
    sha256 = hashlib.sha256(bytes(size)).hexdigest()
    put = store.put_file("k", a_file(tmp_path / "f", bytes(size)), sha256=sha256)
    assert put.sha256 == store.head("k").sha256 == sha256


def test_putting_a_file_that_is_not_there_names_it(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"no-such\.file"):
        store.put_file("k", tmp_path / "no-such.file")
    assert keys_of(store) == []


def test_reading_a_missing_key_says_so(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("before")
    with pytest.raises(ObjectMissingError, match="no/such"):
        store.get_file("no/such", tmp_path / "out")
    with pytest.raises(ObjectMissingError, match="no/such"):
        store.head("no/such")
    with pytest.raises(ObjectMissingError, match="no/such"):
        get_bytes(store, "no/such")
    with pytest.raises(ObjectMissingError, match="no/such"):
        store.copy("no/such", "other")
    assert (tmp_path / "out").read_text() == "before"


def test_a_folder_of_objects_is_no_object(store: ObjectStore, tmp_path: Path) -> None:
    store.put_bytes("a/b", b"1")
    with pytest.raises(ObjectMissingError):
        store.head("a")
    with pytest.raises(ObjectMissingError):
        store.get_file("a", tmp_path / "out")


def test_below_an_object_there_is_nothing(store: ObjectStore) -> None:
    store.put_bytes("a", b"1")
    with pytest.raises(ObjectMissingError):
        store.head("a/b")
    store.delete("a/b")
    assert keys_of(store, "a/") == []


def test_a_file_is_written_where_no_folder_is_yet(store: ObjectStore, tmp_path: Path) -> None:
    store.put_bytes("k", b"1")
    store.get_file("k", tmp_path / "new" / "folder" / "out")
    assert [p.name for p in (tmp_path / "new" / "folder").iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 3, b"012"),
        (2, 5, b"234"),
        (7, None, b"789"),
        (7, 100, b"789"),
        (3, 3, b""),
        (5, 3, b""),
        (10, None, b""),
        (10, 12, b""),
        (50, None, b""),
        (0, None, b"0123456789"),
    ],
)
def test_a_range_is_cut_as_python_would(
    store: ObjectStore, start: int, end: int | None, expected: bytes
) -> None:
    store.put_bytes("k", b"0123456789")
    assert b"".join(store.stream("k", start=start, end=end)) == expected


def test_a_large_object_streams_in_blocks(store: ObjectStore, tmp_path: Path) -> None:
    store.put_file("k", a_file(tmp_path / "f", bytes(LARGE)))
    sizes = [len(block) for block in store.stream("k")]
    assert sum(sizes) == LARGE
    assert max(sizes) < LARGE // 4


def test_a_listing_holds_what_begins_with_the_prefix(store: ObjectStore) -> None:
    for key in ("a/b/1", "a/b/2", "a/bc", "a/c/3", "b", "aa"):
        store.put_bytes(key, b"x")
    assert keys_of(store) == ["a/b/1", "a/b/2", "a/bc", "a/c/3", "aa", "b"]
    assert keys_of(store, "a/") == ["a/b/1", "a/b/2", "a/bc", "a/c/3"]
    assert keys_of(store, "a/b") == ["a/b/1", "a/b/2", "a/bc"]
    assert keys_of(store, "a/b/") == ["a/b/1", "a/b/2"]
    assert keys_of(store, "a/b/1") == ["a/b/1"]
    assert keys_of(store, "a") == ["a/b/1", "a/b/2", "a/bc", "a/c/3", "aa"]


def test_a_prefix_of_nothing_lists_nothing(store: ObjectStore) -> None:
    assert keys_of(store, "no/such/") == []
    store.put_bytes("k", b"1")
    assert keys_of(store, "no/such/") == keys_of(store, "k/") == keys_of(store, "l") == []


def test_a_listing_is_in_the_order_of_bytes(store: ObjectStore) -> None:
    keys = ["B", "a", "b-c", "b/a", "b/é", "b0", "z", "é", "日"]
    for key in reversed(keys):
        store.put_bytes(key, b"1")
    assert keys_of(store) == keys == sorted(keys, key=str.encode)


def test_a_listing_says_sizes(store: ObjectStore) -> None:
    store.put_bytes("k", b"12345", metadata={"a": "b"})
    (listed,) = store.list_objects("k")
    assert (listed.size_bytes, listed.sha256, dict(listed.metadata)) == (5, None, {})


def test_a_deleted_object_is_gone(store: ObjectStore) -> None:
    store.put_bytes("a/b/c", b"1")
    store.delete("a/b/c")
    store.delete("a/b/c")
    store.delete("never/there")
    assert keys_of(store) == []
    with pytest.raises(ObjectMissingError):
        store.head("a/b/c")


def test_where_a_folder_was_an_object_may_be(store: ObjectStore) -> None:
    store.put_bytes("a/b/c", b"1")
    store.delete("a/b/c")
    store.put_bytes("a", b"2")
    assert keys_of(store) == ["a"]


def test_a_copy_is_the_same_object_twice(store: ObjectStore) -> None:
    store.put_bytes("from", b"body", content_type="text/csv", metadata={"a": "ü"})
    store.copy("from", "to/there")
    store.copy("to/there", "to/there")
    copied = store.head("to/there")
    assert get_bytes(store, "to/there") == get_bytes(store, "from") == b"body"
    assert (copied.content_type, copied.metadata) == ("text/csv", {"a": "ü"})
    assert copied.sha256 == store.head("from").sha256


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_keys(store: ObjectStore, tmp_path: Path, key: str) -> None:
    store.put_bytes(key, key.encode())
    assert keys_of(store) == [key]
    assert keys_of(store, key[: len(key) // 2].rstrip("/")) == [key]
    assert get_bytes(store, key) == key.encode()
    store.copy(key, "copy")
    store.get_file("copy", tmp_path / "out")
    store.delete(key)
    assert keys_of(store) == ["copy"]


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_hostile_keys_are_refused(store: ObjectStore, tmp_path: Path, key: str) -> None:
    source = a_file(tmp_path / "f")
    store.put_bytes("good", b"1")
    attempts = [
        lambda: store.put_bytes(key, b"1"),
        lambda: store.put_file(key, source),
        lambda: store.get_file(key, tmp_path / "out"),
        lambda: get_bytes(store, key),
        lambda: list(store.stream(key, start=1, end=2)),
        lambda: store.head(key),
        lambda: store.delete(key),
        lambda: store.copy(key, "good"),
        lambda: store.copy("good", key),
        lambda: store.place_of(key),
    ]
    for attempt in attempts:
        with pytest.raises(KeyRefusedError):
            attempt()
    assert keys_of(store) == ["good"]


@pytest.mark.parametrize("prefix", ["/", "a//", "../", "a/../b", "a\nb", "a\\"])
def test_hostile_prefixes_are_refused(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(KeyRefusedError):
        keys_of(store, prefix)


@pytest.mark.parametrize(
    "value",
    ["", " ", "  two  spaces ", "ü日🗺️", "100% %41", 'a"b;c,d=e', "line\nbreak\r\0", "x" * 1000],
)
def test_metadata_comes_back_as_it_was(store: ObjectStore, value: str) -> None:
    store.put_bytes("k", b"1", metadata={"some-name": value})
    assert store.head("k").metadata == {"some-name": value}


@pytest.mark.parametrize(
    "metadata",
    [
        {"Upper": "x"},
        {"under_score": "x"},
        {"": "x"},
        {"sha256": "x"},
        {"ü": "x"},
        {"k": "x" * 1100},
        {"k": "\ud800"},
        {f"k{n}": "x" for n in range(9)},
    ],
)
def test_metadata_no_store_could_keep_is_refused(
    store: ObjectStore, metadata: dict[str, str]
) -> None:
    with pytest.raises(PermanentError, match="metadata"):
        store.put_bytes("k", b"1", metadata=metadata)
    assert keys_of(store) == []


def test_the_place_of_a_key_names_it(store: ObjectStore) -> None:
    place = store.place_of("a/b c.txt")
    assert place.endswith("/a/b c.txt")
    assert place.startswith(("/", "s3://"))


def test_many_files_are_put_at_once(store: ObjectStore, tmp_path: Path) -> None:
    uploads = [
        Upload(key=f"many/{n:03}", path=a_file(tmp_path / str(n), str(n).encode()))
        for n in range(60)
    ]
    stored = put_files(store, uploads, workers=8)
    assert [s.key for s in stored] == [u.key for u in uploads] == keys_of(store)
    assert get_bytes(store, "many/042") == b"42"


def test_the_first_failure_of_many_is_raised(store: ObjectStore, tmp_path: Path) -> None:
    good = Upload(key="good", path=a_file(tmp_path / "good"))
    bad = Upload(key="bad", path=tmp_path / "missing")
    rest = [Upload(key=f"rest/{n}", path=tmp_path / "good") for n in range(2000)]
    with pytest.raises(PermanentError, match="missing"):
        put_files(store, [good, bad, *rest], workers=2)
    assert len(keys_of(store)) < 1500


texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="/\\"),
    min_size=1,
    max_size=20,
)


def check_any_key(store: ObjectStore, parts: list[str], body: bytes, value: str) -> None:
    key = "/".join(["any", *parts])
    store.put_bytes(key, body, metadata={"v": value})
    assert (get_bytes(store, key), store.head(key).metadata) == (body, {"v": value})
    assert keys_of(store, key) == [key]
    store.delete(key)


RELAXED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
ANY = {
    "parts": st.lists(texts.filter(lambda t: t not in (".", "..")), min_size=1, max_size=4),
    "body": st.binary(max_size=50),
    "value": st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
}


@settings(max_examples=60, deadline=None, suppress_health_check=RELAXED)
@given(**ANY)
def test_any_key_comes_back(store: ObjectStore, parts: list[str], body: bytes, value: str) -> None:
    check_any_key(store, parts, body, value)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@settings(max_examples=2_500, deadline=None, suppress_health_check=RELAXED)
@given(**ANY)
def test_ten_thousand_keys_come_back_from_four_stores(
    store: ObjectStore, parts: list[str], body: bytes, value: str
) -> None:
    check_any_key(store, parts, body, value)
