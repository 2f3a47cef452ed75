"""A snapshot comes back as it was: into a folder, a DuckDB file, a schema of a real Postgres."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from b2_resources import keys
from b2_resources.local_store import LocalStore
from b2_resources.object_store import ObjectCorruptError, ObjectStore, get_bytes
from outreach_assets.steps.manifest import Manifest, read_manifest
from outreach_assets.steps.snapshots.fetch import FetchDiffersError
from outreach_assets.steps.snapshots.restore import (
    ManifestChangedError,
    NoSuchVersionError,
    TargetInUseError,
    find_manifest,
    restore_to_duckdb,
    restore_to_folder,
)
from outreach_assets.steps.snapshots.restore_postgres import (
    SchemaRefusedError,
    check_schema,
    postgres_type,
    restore_to_postgres,
)
from outreach_assets.steps.upload import publish
from outreach_core.audit import SNAPSHOT_RESTORED
from outreach_core.postgres import Postgres
from tests.given import a_company, a_duck, a_person, export_raw, export_states, given_rows

V1, V2, V3 = "20260504030201", "20260504030202", "20260504030203"
TABLES = ("companies_good", "companies_bad", "people_good", "people_bad")
STRANGE = ['a"b', None, "", "x\\y", "{,}", "NULL", "null", "é\n\t", " ", "'"]
RESTORED = ("companies", "company_master"), ("people", "people_master")


def published(store: ObjectStore, home: Path, *versions: str) -> list[Manifest]:
    found = []
    for number, version in enumerate(versions):
        manifests = export_raw(
            home,
            [a_company("c1", company_name=f"Acme {number}")],
            [a_person("p1", skills=["a", None]), a_person("p2", title=None)],
            version=version,
        )
        publish(store, home / "exports", list(manifests.values()))
        found.append(find_manifest(store, "WV"))
    return found


def into_schema(
    store: ObjectStore, manifest: Manifest, postgres: Postgres, schema: str, folder: Path
) -> None:
    restore_to_postgres(
        store, manifest, postgres, schema, folder=folder / "spill", open_duck=lambda: a_duck(folder)
    )


def tables_of(postgres: Postgres, schema: str) -> list[str]:
    with postgres.connect() as connection:
        found = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1", (schema,)
        )
        return [name for (name,) in found]


def types_of(postgres: Postgres, table: str, schema: str) -> list[tuple[str, str]]:
    with postgres.connect() as connection:
        return connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
            (f"{schema}.{table}",),
        ).fetchall()


def test_a_schema_holds_the_rows_and_types_that_neon_had(
    store: ObjectStore, postgres: Postgres, tmp_path: Path
) -> None:
    given_rows(
        postgres,
        [
            a_company(
                "c1",
                keywords=STRANGE,
                description="two\nlines, \"quoted\", \\. and 'more'",
                data_quality_score="12.30",
                created_at="infinity",
                updated_at="0044-03-15 01:02:03.000004+00 BC",
                validated_at="10999-12-31 23:59:59+00",
                founded_year=-1,
                industry="",
            ),
            a_company("c2", keywords=[], company_name=None, website_url="x"),
            a_company("c3", company_name="\\N"),
        ],
        [
            a_person("p1", skills=[None], certifications=["x"], email_verified=True),
            a_person("p2", title=None, email="no", bio="\r\n", email_verified=False),
        ],
    )
    manifests = export_states(postgres, tmp_path)
    publish(store, tmp_path / "exports", list(manifests.values()))
    into_schema(store, find_manifest(store, "WV"), postgres, "Back up", tmp_path)
    assert tables_of(postgres, "Back up") == sorted(TABLES)
    for table, source in RESTORED:
        types = types_of(postgres, source, "marketing")
        assert types_of(postgres, f"{table}_good", '"Back up"') == types
        reasons = ("validation_errors", "text[]")
        assert types_of(postgres, f"{table}_bad", '"Back up"') == [*types, reasons]
        columns = ", ".join(name for name, _ in types)
        back = f'SELECT {columns} FROM "Back up".{table}'
        both = f"({back}_good UNION ALL {back}_bad)"
        with postgres.connect() as connection:
            for query in (
                f"SELECT {columns} FROM marketing.{source} EXCEPT ALL {both}",
                f"{both} EXCEPT ALL SELECT {columns} FROM marketing.{source}",
            ):
                assert connection.execute(query.encode()).fetchall() == []
            [found] = connection.execute(
                f'SELECT array_agg(validation_errors) FROM "Back up".{table}_bad'.encode()
            )
            assert found != (None,)


def test_postgres_takes_all_tables_or_none(postgres: Postgres, tmp_path: Path) -> None:
    given_rows(postgres)
    store = LocalStore(tmp_path / "store")
    [manifest] = published(store, tmp_path, V1)
    with postgres.connect() as connection:
        connection.execute("CREATE SCHEMA taken")
        connection.execute("CREATE TABLE taken.people_bad ()")
    with pytest.raises(TargetInUseError, match="taken has people_bad already"):
        into_schema(store, manifest, postgres, "taken", tmp_path)
    assert tables_of(postgres, "taken") == ["people_bad"]
    wrong = manifest.files[3].model_copy(update={"rows": 7})
    lying = manifest.model_copy(update={"files": (*manifest.files[:3], wrong)})
    with pytest.raises(Exception, match="took 1 rows of 7"):
        into_schema(store, lying, postgres, "fresh", tmp_path)
    assert tables_of(postgres, "fresh") == []
    into_schema(store, manifest, postgres, "fresh", tmp_path)
    with pytest.raises(TargetInUseError):
        into_schema(store, manifest, postgres, "fresh", tmp_path)
    with postgres.connect() as connection:
        events = connection.execute(
            "SELECT details ->> 'schema' FROM shq.audit_log WHERE event_type = %s",
            (SNAPSHOT_RESTORED,),
        ).fetchall()
    assert events == [("fresh",)]
    for schema in ("marketing", "pg_mine", "", "x" * 64):
        with pytest.raises(SchemaRefusedError):
            check_schema(postgres, schema, manifest)


@pytest.mark.parametrize(
    ("duck_type", "expected"),
    [
        ("VARCHAR", "text"),
        ("DECIMAL(5,2)", "numeric(5,2)"),
        ("TIMESTAMP WITH TIME ZONE[]", "timestamptz[]"),
        ("INTEGER[][]", "text"),
        ("STRUCT(a INTEGER)", "text"),
        ("HUGEINT", "text"),
    ],
)
def test_a_type_is_one_that_holds_every_value(duck_type: str, expected: str) -> None:
    assert postgres_type(duck_type) == expected


def test_a_duckdb_file_holds_the_rows_and_types_of_the_files(
    store: ObjectStore, tmp_path: Path
) -> None:
    [manifest] = published(store, tmp_path / "home", V1)
    target = tmp_path / "new" / "wv.duckdb"
    restored = restore_to_duckdb(store, manifest, target, memory_mb=100)
    assert restored.target == str(target)
    with duckdb.connect(str(target), read_only=True) as duck:
        found = duck.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
        assert [name for (name,) in found] == sorted(TABLES)
        for file in manifest.files:
            table = f"{file.table}_{file.verdict}"
            original = f"read_parquet('{tmp_path / 'home' / 'exports' / file.key}')"
            described = duck.execute(f"DESCRIBE {table}").fetchall()
            assert described == duck.execute(f"DESCRIBE SELECT * FROM {original}").fetchall()
            for query in (
                f"FROM {table} EXCEPT ALL FROM {original}",
                f"FROM {original} EXCEPT ALL FROM {table}",
            ):
                assert duck.execute(query).fetchall() == []
    before = target.read_bytes()
    with pytest.raises(TargetInUseError, match="name a new file"):
        restore_to_duckdb(store, manifest, target, memory_mb=100)
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_holds_the_bytes_and_the_receipt(store: ObjectStore, tmp_path: Path) -> None:
    first, newest = published(store, tmp_path / "home", V1, V2)
    for manifest, folder in ((first, tmp_path / "first"), (newest, tmp_path / "newest")):
        restore_to_folder(store, manifest, folder)
        for file in manifest.files:
            body = (folder / f"{file.table}_{file.verdict}.parquet").read_bytes()
            assert hashlib.sha256(body).hexdigest() == file.sha256
        assert read_manifest((folder / "manifest.json").read_bytes(), "") == manifest
        assert len(list(folder.iterdir())) == 5
    with pytest.raises(TargetInUseError, match="not empty"):
        restore_to_folder(store, newest, tmp_path / "first")
    empty = tmp_path / "empty"
    empty.mkdir()
    restore_to_folder(store, newest, empty)
    assert len(list(empty.iterdir())) == 5


def a_file(store: ObjectStore, manifest: Manifest, tmp_path: Path) -> None:
    restore_to_duckdb(store, manifest, tmp_path / "new.duckdb", memory_mb=100)


def a_folder(store: ObjectStore, manifest: Manifest, tmp_path: Path) -> None:
    restore_to_folder(store, manifest, tmp_path / "new")


@pytest.mark.parametrize("restore", [a_file, a_folder])
def test_what_is_not_the_manifests_is_not_restored_nor_half_of_it(
    store: ObjectStore, tmp_path: Path, restore: Callable[[ObjectStore, Manifest, Path], None]
) -> None:
    [manifest] = published(store, tmp_path / "home", V1)
    store.put_bytes(manifest.files[2].key, b"something else")
    with pytest.raises((FetchDiffersError, ObjectCorruptError), match="people_good"):
        restore(store, manifest, tmp_path / "target")
    assert not list((tmp_path / "target").glob("*"))


def test_a_version_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    with pytest.raises(NoSuchVersionError, match="WV has no snapshot"):
        find_manifest(store, "WV")
    published(store, tmp_path, V1, V2, V3)
    assert find_manifest(store, "WV", V2).version == V2
    with pytest.raises(NoSuchVersionError, match=f"the newest is {V3}"):
        find_manifest(store, "WV", "20200101000000")
    body = get_bytes(store, keys.manifest_key("WV", V1))
    store.put_bytes(keys.pruned_key("WV", V1), body)
    store.delete(keys.manifest_key("WV", V1))
    with pytest.raises(NoSuchVersionError, match="was removed by `outreach snapshots prune`"):
        find_manifest(store, "WV", V1)
    changed = find_manifest(store, "WV", V2).model_copy(update={"run_id": "another"})
    store.put_bytes(changed.key, changed.body)
    with pytest.raises(ManifestChangedError, match=V3):
        find_manifest(store, "WV", V2)
