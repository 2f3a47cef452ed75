"""Snapshots that come back from a store, and the workbench that reads them."""

from pathlib import Path

import duckdb
import pytest

from b2_resources import keys
from b2_resources.local_store import LocalStore
from b2_resources.migrate import migrate
from b2_resources.object_store import ObjectCorruptError, ObjectStore, get_bytes
from outreach_assets.steps.manifest import all_manifests
from outreach_assets.steps.snapshots.fetch import FetchDiffersError, borrow, fetch_newest
from outreach_assets.steps.upload import publish, settle_exports
from outreach_assets.steps.workbench import refresh_workbench
from tests.given import a_company, a_person, export_raw

V1, V2 = "20260504030201", "20260505030201"


def published_on_another_machine(store: ObjectStore, home: Path, version: str = V1) -> None:
    companies = [a_company("c1", description=version)]
    people = [a_person("p1"), a_person("p2", title=None)]
    manifests = export_raw(home, companies, people, version=version)
    for outcome in publish(store, home / "exports", list(manifests.values())).values():
        assert not isinstance(outcome, Exception)
        settle_exports(home / "exports", outcome)


def people(home: Path) -> dict[str, int]:
    path = refresh_workbench(home, home / "exports")
    assert path is not None
    with duckdb.connect(str(path), read_only=True) as workbench:
        return {
            view: workbench.execute(f"SELECT count(*) FROM {view}").fetchall()[0][0]
            for view in ("people_good", "people_bad", "companies_good", "companies_bad")
        }


def test_a_state_published_in_a_folder_and_migrated_is_read_from_the_other_store(
    store: ObjectStore, tmp_path: Path
) -> None:
    folder = LocalStore(tmp_path / "folder")
    published_on_another_machine(folder, tmp_path / "there")
    report = migrate(folder, store)
    assert not report.failed
    here = tmp_path / "here"
    assert fetch_newest(store, here / "exports", "PA") is None
    fetched = fetch_newest(store, here / "exports", "WV")
    assert fetched is not None
    assert fetched.files == 4
    assert people(here) == {
        "people_good": 1,
        "people_bad": 1,
        "companies_good": 1,
        "companies_bad": 0,
    }


def test_what_is_here_already_is_not_downloaded_again(store: ObjectStore, tmp_path: Path) -> None:
    published_on_another_machine(store, tmp_path / "there")
    fetch_newest(store, tmp_path / "exports", "WV")
    again = fetch_newest(store, tmp_path / "exports", "WV")
    assert again is not None
    assert again.files == 0


def test_the_receipts_of_older_snapshots_come_along_once(
    store: ObjectStore, tmp_path: Path
) -> None:
    for version in (V1, V2):
        published_on_another_machine(store, tmp_path / "there", version)
    fetched = fetch_newest(store, tmp_path / "exports", "WV")
    assert fetched is not None
    assert (fetched.manifest.version, fetched.receipts) == (V2, 1)
    receipts = sorted((tmp_path / "exports").glob("outreach/wv/manifests/*.json"))
    assert [path.stem for path in receipts] == [V1, V2]
    for path in receipts:
        key = keys.manifest_key("WV", path.stem)
        assert path.read_bytes() == get_bytes(store, key)
    again = fetch_newest(store, tmp_path / "exports", "WV")
    assert again is not None
    assert (again.files, again.receipts) == (0, 0)


def test_an_older_snapshot_is_borrowed_without_touching_exports(
    store: ObjectStore, tmp_path: Path
) -> None:
    for version in (V1, V2):
        published_on_another_machine(store, tmp_path / "there", version)
    exports = tmp_path / "there" / "exports"
    before = sorted(exports.rglob("*"))
    for manifest in all_manifests(store, "WV"):
        files = borrow(store, exports, tmp_path / "borrowed", manifest)
        for file in manifest.files:
            assert files.place(file.key).stat().st_size == file.size_bytes
            is_link = files.place(file.key).stat().st_nlink > 1
            assert is_link is (manifest.version == V2)
    assert sorted(exports.rglob("*")) == before


def test_bytes_that_are_not_the_manifests_are_refused(store: ObjectStore, tmp_path: Path) -> None:
    published_on_another_machine(store, tmp_path / "there")
    [key] = [o.key for o in store.list_objects("outreach/wv/people/bad/people_bad_")]
    store.put_bytes(key, b"something else")
    with pytest.raises((FetchDiffersError, ObjectCorruptError)):
        fetch_newest(store, tmp_path / "exports", "WV")
    assert not (tmp_path / "exports" / key).exists()
    assert not (tmp_path / "exports" / keys.newest_key("WV", "people", "bad")).exists()
