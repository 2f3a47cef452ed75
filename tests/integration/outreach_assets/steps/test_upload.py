"""A snapshot into a store, whole or not at all: on a folder and on a real S3 server."""

import hashlib
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from b2_resources import keys
from b2_resources.object_store import (
    ObjectCorruptError,
    ObjectMissingError,
    ObjectStore,
    StoredObject,
    StoreRefusedError,
    get_bytes,
)
from outreach_assets.steps.manifest import (
    Manifest,
    all_manifests,
    exported_manifest,
    latest_manifest,
    manifest_versions,
)
from outreach_assets.steps.published import repair
from outreach_assets.steps.upload import (
    ClockBehindError,
    NothingExportedError,
    Outcome,
    Published,
    differing_objects,
    exported_snapshots,
    publish,
    settle_exports,
)
from outreach_core.errors import OutreachError
from tests.given import a_company, a_person, export_raw

V1, V2, V3 = "20260504030201", "20260504030202", "20260504030203"
FILES = [("companies", "good"), ("companies", "bad"), ("people", "good"), ("people", "bad")]


class Recording:
    """A real store that tells what was written to it, in order, and may refuse some of it."""

    def __init__(self, store: ObjectStore, refuse: str = "nothing") -> None:
        self._store, self._refuse, self._lock = store, refuse, threading.Lock()
        self.writes: list[str] = []
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def _wrote(self, key: str) -> None:
        with self._lock:
            self.asked.append(key)
        if self._refuse in key:
            raise StoreRefusedError(f"{key}: no")

    def put_file(self, key: str, path: Path, **options: object) -> StoredObject:
        self._wrote(key)
        stored = self._store.put_file(key, path, **options)
        self.writes.append(key)
        return stored

    def put_bytes(self, key: str, body: bytes, **options: object) -> StoredObject:
        self._wrote(key)
        stored = self._store.put_bytes(key, body, **options)
        self.writes.append(key)
        return stored

    def copy(self, source: str, destination: str) -> None:
        self._wrote(destination)
        self._store.copy(source, destination)
        self.writes.append(destination)


def exported(home: Path, name: str = "Acme", *, version: str = V1, states: tuple = ("WV",)):
    """Snapshots whose one company has this name."""
    manifests = export_raw(
        home,
        [a_company(company_name=name)],
        [a_person()],
        states=states,
        version=version,
        run_id=f"run-{version}",
    )
    return list(manifests.values())


def publish_one(
    store: ObjectStore, home: Path, manifest: Manifest, run_id: str = "another"
) -> Published:
    [outcome] = publish(store, home / "exports", [manifest], run_id=run_id).values()
    if isinstance(outcome, OutreachError):
        raise outcome
    return outcome


def newest_sha256(store: ObjectStore) -> list[str | None]:
    return [store.head(keys.newest_key("WV", *file)).sha256 for file in FILES]


def files_sha256(manifest: Manifest) -> list[str]:
    return [manifest.file(*file).sha256 for file in FILES]


def test_files_come_before_the_manifest_and_the_newest_after_it(
    store: ObjectStore, tmp_path: Path
) -> None:
    [manifest] = exported(tmp_path)
    recording = Recording(store)
    publish_one(recording, tmp_path, manifest)
    assert set(recording.writes[:4]) == {file.key for file in manifest.files}
    assert recording.writes[4] == manifest.key
    assert recording.writes[5:] == [keys.newest_key("WV", *file) for file in FILES]


def test_published_bytes_are_the_exported_ones(store: ObjectStore, tmp_path: Path) -> None:
    [manifest] = exported(tmp_path)
    published = publish_one(store, tmp_path, manifest)
    assert published.outcome is Outcome.PUBLISHED
    for file in manifest.files:
        body = (tmp_path / "exports" / file.key).read_bytes()
        assert get_bytes(store, file.key) == body
        assert hashlib.sha256(body).hexdigest() == file.sha256
    assert newest_sha256(store) == files_sha256(manifest)
    assert differing_objects(store, [manifest]) == {}


def test_what_is_unchanged_publishes_nothing(store: ObjectStore, tmp_path: Path) -> None:
    publish_one(store, tmp_path, exported(tmp_path)[0])
    recording = Recording(store)
    again = publish_one(recording, tmp_path, exported(tmp_path, version=V2)[0])
    assert (again.outcome, again.manifest.version) == (Outcome.UNCHANGED, V1)
    assert recording.writes == []


@pytest.mark.parametrize(
    "change",
    [
        {"rules": "0123456789abcdef"},
        {"duckdb": "9.9.9"},
        {"sources": ()},
    ],
    ids=str,
)
def test_other_rules_rows_or_engine_publish_again(
    store: ObjectStore, tmp_path: Path, change: dict[str, object]
) -> None:
    publish_one(store, tmp_path, exported(tmp_path)[0])
    [second] = exported(tmp_path, version=V2)
    again = publish_one(store, tmp_path, second.model_copy(update=change))
    assert again.outcome is Outcome.PUBLISHED
    assert list(manifest_versions(store, "WV")) == [V1, V2]


@pytest.mark.parametrize(
    ("before", "after"), [(None, []), ([], [None]), ([None], None), (["a"], ["a", None])]
)
def test_arrays_that_are_empty_null_or_hold_null_differ(
    tmp_path: Path, before: object, after: object
) -> None:
    first, second = (
        export_raw(tmp_path / version, [a_company(keywords=keywords)], version=version)["WV"]
        for version, keywords in ((V1, before), (V2, after))
    )
    assert not first.says_the_same_as(second)


def test_each_manifest_names_the_one_before_by_sha256(store: ObjectStore, tmp_path: Path) -> None:
    for version, name in ((V1, "One"), (V2, "Two"), (V3, "Three")):
        publish_one(store, tmp_path, exported(tmp_path, name, version=version)[0])
    chain = list(all_manifests(store, "WV"))
    assert [manifest.version for manifest in chain] == [V1, V2, V3]
    assert chain[0].previous is None
    for before, after in pairwise(chain):
        body = get_bytes(store, before.key)
        assert after.previous is not None
        assert after.previous.version == before.version
        assert after.previous.sha256 == hashlib.sha256(body).hexdigest()
    assert newest_sha256(store) == files_sha256(chain[-1])


@pytest.mark.parametrize("version", [V1, V2])
def test_newest_files_that_differ_are_repaired(
    store: ObjectStore, tmp_path: Path, version: str
) -> None:
    [manifest] = exported(tmp_path)
    publish_one(store, tmp_path, manifest)
    store.put_bytes(keys.newest_key("WV", "people", "bad"), b"something else")
    store.delete(keys.newest_key("WV", "people", "good"))
    publish_one(store, tmp_path, exported(tmp_path, version=version)[0])
    assert newest_sha256(store) == files_sha256(manifest)


def test_a_snapshot_without_its_manifest_is_taken_back(store: ObjectStore, tmp_path: Path) -> None:
    [first] = exported(tmp_path)
    publish_one(store, tmp_path, first)
    [second] = exported(tmp_path, "Other", version=V2)
    for file in second.files:  # as a run does that is killed before its manifest
        store.put_file(file.key, tmp_path / "exports" / file.key)
    assert {store.head(file.key).sha256 for file in second.files} == {*files_sha256(second)}
    repair(store, "WV")
    for file in second.files:
        with pytest.raises(ObjectMissingError):
            store.head(file.key)
    assert differing_objects(store, [first]) == {}
    assert newest_sha256(store) == files_sha256(first)


def test_a_run_killed_after_its_manifest_is_finished_by_repair(
    store: ObjectStore, tmp_path: Path
) -> None:
    publish_one(store, tmp_path, exported(tmp_path)[0])
    [second] = exported(tmp_path, "Other", version=V2)
    with pytest.raises(StoreRefusedError):
        publish_one(
            Recording(store, refuse="companies/good/companies_good.parquet"), tmp_path, second
        )
    repair(store, "WV")
    assert newest_sha256(store) == files_sha256(second)
    assert latest_manifest(store, "WV")[0].version == V2


def test_repairing_where_nothing_was_published_is_fine(store: ObjectStore) -> None:
    repair(store, "WV")
    assert list(store.list_objects()) == []


def test_one_state_that_fails_does_not_stop_the_others(store: ObjectStore, tmp_path: Path) -> None:
    manifests = exported(tmp_path, states=("OH", "PA", "WV"))
    (tmp_path / "exports" / manifests[1].files[0].key).write_bytes(b"tampered")
    outcomes = publish(store, tmp_path / "exports", manifests)
    assert isinstance(outcomes["OH"], Published)
    assert isinstance(outcomes["PA"], ObjectCorruptError)
    assert isinstance(outcomes["WV"], Published)
    assert list(manifest_versions(store, "PA")) == []


def test_nothing_more_is_tried_once_the_store_has_refused(
    store: ObjectStore, tmp_path: Path
) -> None:
    states = ("AK", "AL", "AR", "AS", "AZ", "CA", "CO", "CT", "DC", "DE", "FL", "GA", "GU", "HI")
    manifests = exported(tmp_path, states=states)
    recording = Recording(store, refuse="outreach/")
    outcomes = publish(recording, tmp_path / "exports", manifests)
    assert {type(outcome) for outcome in outcomes.values()} == {StoreRefusedError}
    assert list(outcomes) == list(states)
    assert len(recording.asked) < 4 * len(states)
    assert list(store.list_objects()) == []


@pytest.mark.parametrize("version", [V1, V2])
def test_a_clock_that_is_behind_publishes_nothing(
    store: ObjectStore, tmp_path: Path, version: str
) -> None:
    publish_one(store, tmp_path, exported(tmp_path, version=V2)[0])
    [late] = exported(tmp_path, "Other", version=version)
    with pytest.raises(ClockBehindError, match="clock"):
        publish_one(store, tmp_path, late.model_copy(update={"run_id": "another"}))
    assert list(manifest_versions(store, "WV")) == [V2]


def test_a_second_attempt_of_a_run_that_had_published_says_published(
    store: ObjectStore, tmp_path: Path
) -> None:
    [manifest] = exported(tmp_path)
    publish_one(store, tmp_path, manifest, manifest.run_id)
    again = publish_one(store, tmp_path, manifest, manifest.run_id)
    assert again.outcome is Outcome.PUBLISHED


def test_a_later_run_that_uploads_the_same_export_says_unchanged(
    store: ObjectStore, tmp_path: Path
) -> None:
    [manifest] = exported(tmp_path)
    publish_one(store, tmp_path, manifest, manifest.run_id)
    assert publish_one(store, tmp_path, manifest).outcome is Outcome.UNCHANGED


def parquet_under(exports: Path) -> set[str]:
    return {str(path.relative_to(exports)) for path in exports.rglob("*.p*")}


def test_settled_exports_show_what_the_store_holds(store: ObjectStore, tmp_path: Path) -> None:
    exports = tmp_path / "exports"
    settle_exports(exports, publish_one(store, tmp_path, exported(tmp_path)[0]))
    published = publish_one(store, tmp_path, exported(tmp_path, "Other", version=V2)[0])
    settle_exports(exports, published)
    assert parquet_under(exports) == {
        *(file.key for file in published.manifest.files),
        *(keys.newest_key("WV", *file) for file in FILES),
    }
    for file in published.manifest.files:
        newest = exports / keys.newest_key("WV", file.table, file.verdict)
        assert newest.samefile(exports / file.key)
        assert hashlib.sha256(newest.read_bytes()).hexdigest() == file.sha256
    assert exported_manifest(exports, "WV") == published.manifest


def test_settling_an_unchanged_state_goes_back_to_what_is_published(
    store: ObjectStore, tmp_path: Path
) -> None:
    exports = tmp_path / "exports"
    first = publish_one(store, tmp_path, exported(tmp_path)[0])
    settle_exports(exports, first)
    again = exported(tmp_path, version=V2)[0]
    left = exports / keys.state_prefix("WV") / "people/good/.people_good_1.parquet.part"
    left.write_bytes(b"half")
    settle_exports(exports, publish_one(store, tmp_path, again))
    assert exported_manifest(exports, "WV") == first.manifest
    for file in first.manifest.files:
        assert (exports / keys.newest_key("WV", file.table, file.verdict)).samefile(
            exports / file.key
        )
    assert not left.exists()
    assert len(parquet_under(exports)) == 8


def test_an_unchanged_state_of_another_machine_has_newest_files_here(
    store: ObjectStore, tmp_path: Path
) -> None:
    publish_one(store, tmp_path / "there", exported(tmp_path / "there")[0])
    here = tmp_path / "here"
    settle_exports(here / "exports", publish_one(store, here, exported(here, version=V2)[0]))
    newest = {keys.newest_key("WV", *file) for file in FILES}
    assert parquet_under(here / "exports") == newest


def test_uploading_what_was_never_exported_names_the_state(tmp_path: Path) -> None:
    with pytest.raises(NothingExportedError, match="PA"):
        exported_snapshots(tmp_path / "exports", ["PA"])


def test_missing_and_other_bytes_in_the_store_are_told_apart(
    store: ObjectStore, tmp_path: Path
) -> None:
    [manifest] = exported(tmp_path)
    publish_one(store, tmp_path, manifest)
    store.delete(manifest.files[0].key)
    store.put_bytes(manifest.files[1].key, b"else")
    assert differing_objects(store, [manifest]) == {
        manifest.files[0].key: "is missing",
        manifest.files[1].key: "has other bytes",
    }
