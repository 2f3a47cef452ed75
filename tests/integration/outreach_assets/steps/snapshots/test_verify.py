"""Whatever is changed among published snapshots is found, and the sentence names it."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from b2_resources import keys
from b2_resources.local_store import LocalStore
from b2_resources.migrate import migrate
from b2_resources.object_store import ObjectStore, get_bytes
from outreach_assets.steps.hold import set_aside
from outreach_assets.steps.manifest import Manifest, all_manifests
from outreach_assets.steps.snapshots.verify import StateVerified, Verifier, Which, verify_states
from outreach_assets.steps.upload import publish
from outreach_assets.tables.catalogue import tables_for
from tests.given import a_company, a_duck, a_person, export_raw

VERSIONS = V1, V2, V3 = "20260504030201", "20260504030202", "20260504030203"
HELD = "20260504030204"
Change = Callable[[ObjectStore], str]
"""Does something to a store; what must be named."""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """Three snapshots of WV and one of PA, good and bad rows in each. Nobody writes to it."""
    folder = tmp_path_factory.mktemp("history")
    store = LocalStore(folder / "store")
    for number, version in enumerate(VERSIONS):
        manifests = export_raw(
            folder / version,
            [a_company("c1", company_name=f"Acme {number}"), a_company("c2", website_url="x")],
            [a_person("p1", skills=[]), a_person("p2", title=None, email=None)],
            states=("WV", "PA") if version == V1 else ("WV",),
            version=version,
        )
        publish(store, folder / version / "exports", list(manifests.values()))
    return store


@pytest.fixture
def published(history: LocalStore, store: ObjectStore) -> ObjectStore:
    """The same in a store of the test's own."""
    assert not migrate(history, store).failed
    return store


def verified(
    store: ObjectStore, tmp_path: Path, which: Which = Which.ALL, *states: str
) -> list[StateVerified]:
    verifier = Verifier(
        store=store,
        folder=tmp_path / "verify",
        open_duck=lambda: a_duck(tmp_path),
        which=which,
    )
    found = list(verify_states(verifier, states or ("PA", "WV")))
    assert list((tmp_path / "verify").iterdir()) == []
    return found


def problems(store: ObjectStore, tmp_path: Path, which: Which = Which.ALL) -> list[str]:
    return [p for found in verified(store, tmp_path, which) for p in found.problems]


def people_bad(version: str) -> str:
    return keys.snapshot_key("WV", "people", "bad", version)


def altered_byte(store: ObjectStore) -> str:
    body = bytearray(get_bytes(store, people_bad(V3)))
    body[len(body) // 2] ^= 1
    store.put_bytes(people_bad(V3), bytes(body))
    return f"{store.place_of(people_bad(V3))} has other bytes than {V3} names"


def missing_object(store: ObjectStore) -> str:
    store.delete(people_bad(V3))
    return f"{store.place_of(people_bad(V3))} is missing"


def swapped_newest(store: ObjectStore) -> str:
    newest = keys.newest_key("WV", "companies", "good")
    store.copy(keys.snapshot_key("WV", "companies", "good", V2), newest)
    return f"{store.place_of(newest)}, where readers look, is not the file of {V3}"


def missing_newest(store: ObjectStore) -> str:
    newest = keys.newest_key("WV", "companies", "good")
    store.delete(newest)
    return f"{store.place_of(newest)}, where readers look, is missing"


def changed_manifest(version: str, change: Callable[[Manifest], Manifest]) -> Change:
    def apply(store: ObjectStore) -> str:
        [manifest] = [m for m in all_manifests(store, "WV") if m.version == version]
        store.put_bytes(manifest.key, change(manifest).body)
        return manifest.key

    return apply


def lost_manifest(version: str) -> Change:
    def apply(store: ObjectStore) -> str:
        key = keys.manifest_key("WV", version)
        store.delete(key)
        return f"{store.place_of(key)} is lost"

    return apply


def lost_newest_manifest(store: ObjectStore) -> str:
    store.delete(keys.manifest_key("WV", V3))
    newest = keys.newest_key("WV", "companies", "good")
    return f"{store.place_of(newest)}, where readers look, is not the file of {V2}"


def all_manifests_lost(store: ObjectStore) -> str:
    for version in VERSIONS:
        store.delete(keys.manifest_key("WV", version))
    newest = keys.newest_key("WV", "companies", "good")
    return f"{store.place_of(newest)} is there, and WV has no manifest"


def no_manifest(store: ObjectStore) -> str:
    key = keys.manifest_key("WV", V2)
    store.put_bytes(key, b"{}")
    return f"{store.place_of(key)} is no manifest"


def manifest_of_another(store: ObjectStore) -> str:
    key = keys.manifest_key("WV", V2)
    store.copy(keys.manifest_key("WV", V1), key)
    return f"{store.place_of(key)} is the manifest of WV {V1}"


def manifest_between(store: ObjectStore) -> str:
    [first, *_] = all_manifests(store, "WV")
    version = "20260504030202"[:-1] + "2"
    extra = first.model_copy(update={"version": "20260504030200"})
    store.put_bytes(extra.key, extra.body)
    assert version == V2
    return f"{store.place_of(keys.manifest_key('WV', V1))} says that nothing came before it"


def with_more_rows(manifest: Manifest) -> Manifest:
    first, *rest = manifest.files
    changed = first.model_copy(update={"rows": first.rows + 1})
    return manifest.model_copy(update={"files": (changed, *rest)})


def with_other_reasons(manifest: Manifest) -> Manifest:
    return manifest.model_copy(update={"reasons": {**manifest.reasons, "title_missing": 7}})


def with_other_source_rows(manifest: Manifest) -> Manifest:
    first, *rest = manifest.sources
    return manifest.model_copy(
        update={"sources": (first.model_copy(update={"row_hash": "0"}), *rest)}
    )


def with_other_columns(manifest: Manifest) -> Manifest:
    first, *rest = manifest.files
    changed = first.model_copy(update={"columns": first.columns[1:]})
    return manifest.model_copy(update={"files": (changed, *rest)})


CHANGES: dict[str, Change] = {
    "an altered byte": altered_byte,
    "a missing object": missing_object,
    "a swapped newest file": swapped_newest,
    "a missing newest file": missing_newest,
    "the run in an old manifest": changed_manifest(
        V1, lambda m: m.model_copy(update={"run_id": "another"})
    ),
    "a count in the newest manifest": changed_manifest(V3, with_more_rows),
    "reasons in the newest manifest": changed_manifest(V3, with_other_reasons),
    "sources in the newest manifest": changed_manifest(V3, with_other_source_rows),
    "columns in the newest manifest": changed_manifest(V3, with_other_columns),
    "the first manifest lost": lost_manifest(V1),
    "a manifest lost from the middle": lost_manifest(V2),
    "the newest manifest lost": lost_newest_manifest,
    "all manifests lost": all_manifests_lost,
    "no manifest": no_manifest,
    "the manifest of another version": manifest_of_another,
    "a manifest before the first": manifest_between,
}


def test_what_was_published_is_as_it_was_published(published: ObjectStore, tmp_path: Path) -> None:
    pa, wv = verified(published, tmp_path)
    assert (pa.problems, wv.problems, wv.notes) == ((), (), ())
    assert (wv.versions, wv.links, wv.objects) == (VERSIONS, 3, 12)
    _, newest = verified(published, tmp_path, Which.NEWEST)
    assert newest == replace(
        wv, versions=(V3,), objects=4, size_bytes=newest.size_bytes, problems=()
    )
    [nothing] = verified(published, tmp_path, Which.ALL, "OH")
    assert (nothing.versions, nothing.problems) == ((), ())


@pytest.mark.parametrize("store", ["local"], indirect=True)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_found_and_named(
    published: ObjectStore, tmp_path: Path, change: Change
) -> None:
    named = change(published)
    found = problems(published, tmp_path, Which.NEWEST)
    assert any(named in problem for problem in found), found
    assert all("WV" in problem or "/wv/" in problem for problem in found)


@pytest.mark.parametrize("store", ["s3"], indirect=True)
@pytest.mark.parametrize("change", [altered_byte, missing_object, swapped_newest])
def test_a_change_in_a_bucket_is_found(
    published: ObjectStore, tmp_path: Path, change: Change
) -> None:
    named = change(published)
    assert any(named in problem for problem in problems(published, tmp_path, Which.NEWEST))


def test_an_old_snapshots_bytes_are_read_only_when_all_are_asked_for(
    published: ObjectStore, tmp_path: Path
) -> None:
    published.put_bytes(people_bad(V1), b"something else")
    assert problems(published, tmp_path, Which.NEWEST) == []
    assert problems(published, tmp_path, Which.ALL) == [
        f"{published.place_of(people_bad(V1))} has other bytes than {V1} names"
    ]


def test_what_is_kept_aside_of_a_held_version_is_verified_too(
    published: ObjectStore, tmp_path: Path
) -> None:
    manifests = export_raw(tmp_path, [a_company("c1")], [a_person("p1")], version=HELD)
    set_aside(published, tmp_path / "exports", manifests["WV"], ())
    _, wv = verified(published, tmp_path, Which.NEWEST)
    assert (wv.versions, wv.problems) == ((V3, HELD), ())
    aside = keys.held_key("WV", HELD, "people", "good")
    published.put_bytes(aside, b"something else")
    receipt = keys.held_manifest_key("WV", HELD)
    assert problems(published, tmp_path) == [
        f"{published.place_of(aside)} has other bytes than {HELD} names"
    ]
    published.put_bytes(receipt, b"{}")
    [problem] = problems(published, tmp_path)
    assert problem.startswith(f"{published.place_of(receipt)} is no manifest")


def test_pruned_is_told_from_lost(published: ObjectStore, tmp_path: Path) -> None:
    receipt = get_bytes(published, keys.manifest_key("WV", V1))
    published.put_bytes(keys.pruned_key("WV", V1), receipt)
    published.delete(keys.manifest_key("WV", V1))
    [wv] = verified(published, tmp_path, Which.ALL, "WV")
    assert (wv.problems, wv.versions, wv.links) == ((), (V2, V3), 3)
    assert wv.notes == (
        f"4 files of {V1} are there, which was pruned; the next pruning removes them",
    )
    published.put_bytes(keys.pruned_key("WV", V1), receipt.replace(b"run-1", b"run-2"))
    [problem] = problems(published, tmp_path)
    assert f"pruned/{V1}.json has been changed" in problem


@pytest.mark.parametrize("table", ["companies", "people"])
def test_a_bad_row_among_the_good_is_found_though_every_hash_agrees(
    history: LocalStore, tmp_path: Path, table: str
) -> None:
    store = LocalStore(tmp_path / "store")
    migrate(history, store)
    *_, manifest = all_manifests(store, "WV")
    good, bad = (manifest.file(table, verdict) for verdict in ("good", "bad"))
    forged = tmp_path / "forged.parquet"
    duckdb.execute(
        f"COPY (FROM '{store.path_of(good.key)}' UNION ALL "
        f"SELECT * EXCLUDE (validation_errors) FROM '{store.path_of(bad.key)}') TO '{forged}'"
    )
    body = forged.read_bytes()
    entry = good.model_copy(
        update={
            "rows": good.rows + bad.rows,
            "size_bytes": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
    )
    files = tuple(entry if file == good else file for file in manifest.files)
    store.put_bytes(good.key, body)
    store.put_bytes(keys.newest_key("WV", table, "good"), body)
    store.put_bytes(manifest.key, manifest.model_copy(update={"files": files}).body)
    found = problems(store, tmp_path)
    assert any(good.key in problem and "judged again" in problem for problem in found)


def test_other_rules_than_todays_are_said_and_not_asked(
    published: ObjectStore, tmp_path: Path
) -> None:
    changed_manifest(V3, lambda m: m.model_copy(update={"rules": "0" * 16}))(published)
    [wv] = verified(published, tmp_path, Which.NEWEST, "WV")
    assert wv.problems == ()
    assert wv.notes == (f"WV {V3}: other rules than today's, not judged again",)


def test_a_snapshot_is_judged_again_by_the_severities_of_its_day(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    manifests = export_raw(
        tmp_path,
        [a_company("c1", website_url=None)],
        [a_person("p1"), a_person("p2", company_unique_id="other")],
        tables=tables_for("error"),
    )
    publish(store, tmp_path / "exports", list(manifests.values()))
    assert manifests["WV"].reasons["company_not_valid"] == 1
    [found] = verified(store, tmp_path, Which.ALL, "WV")
    assert (found.problems, found.notes) == ((), ())
