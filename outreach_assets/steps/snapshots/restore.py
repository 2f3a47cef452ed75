"""A published snapshot out of the store again: into a folder, or as one DuckDB file.

Every file is proven by the sha256 of its manifest, and the manifest by the one after it. What is
there is never overwritten, and what is made is whole or absent. Into Postgres: restore_postgres.py.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from b2_resources import keys
from b2_resources.object_store import ObjectStore, get_bytes
from outreach_assets.steps.manifest import Manifest, read_manifest
from outreach_assets.steps.snapshots.fetch import fetch_file
from outreach_assets.steps.snapshots.judge_again import Files, rows_of
from outreach_assets.tables.table import quoted
from outreach_core.errors import PermanentError

MANIFEST_NAME = "manifest.json"
"""Beside the restored files: the snapshot's own receipt."""


class NoSuchVersionError(PermanentError):
    """The state has no such snapshot, or no longer."""


class ManifestChangedError(PermanentError):
    """A manifest is not the one that the next manifest names."""


class TargetInUseError(PermanentError):
    """Something is where the snapshot was to go."""


class RestoreDiffersError(PermanentError):
    """What was made does not hold what the manifest says."""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A snapshot that is back."""

    manifest: Manifest
    target: str
    """Where, as a person finds it."""

    size_bytes: int
    """Of what came from the store."""


def find_manifest(store: ObjectStore, state: str, version: str | None = None) -> Manifest:
    """The manifest of that version, or of the newest, proven by the one after it.

    Raises NoSuchVersionError, ManifestChangedError or ManifestUnreadableError.
    """
    listed = [stored.key for stored in store.list_objects(keys.state_prefix(state))]
    existing = {place.version: key for key in listed if (place := keys.manifest_place(key))}
    pruned = {place.version: key for key in listed if (place := keys.pruned_place(key))}
    wanted = version or max(existing, default="")
    if wanted not in existing:
        raise NoSuchVersionError(_why_not(state, wanted, sorted(existing), wanted in pruned))
    body = get_bytes(store, existing[wanted])
    manifest = read_manifest(body, store.place_of(existing[wanted]))
    after = min((v for v in {*existing, *pruned} if v > wanted), default=None)
    if after is not None:
        key = existing.get(after) or pruned[after]
        previous = read_manifest(get_bytes(store, key), store.place_of(key)).previous
        proof = None if previous is None else (previous.version, previous.sha256)
        if proof != (wanted, hashlib.sha256(body).hexdigest()):
            raise ManifestChangedError(
                f"{store.place_of(existing[wanted])} is not the manifest that {after}, which "
                "follows it, names: see `outreach snapshots verify`, or restore another version"
            )
    return manifest


def _why_not(state: str, version: str, existing: list[str], was_pruned: object) -> str:
    if not existing:
        return f"{state} has no snapshot in this store: run it, or name another store"
    if was_pruned:
        return (
            f"{state} {version} was removed by `outreach snapshots prune`; what is left is its "
            f"receipt, {keys.pruned_key(state, version)}; the oldest that exists is {existing[0]}"
        )
    return (
        f"{state} has no version {version!r}: `outreach snapshots list --state {state}` lists "
        f"them; the newest is {existing[-1]}"
    )


def restore_to_folder(store: ObjectStore, manifest: Manifest, folder: Path) -> Restored:
    """The snapshot's objects and its manifest in a folder that is new or empty.

    Raises TargetInUseError, FetchDiffersError and what the store raises.
    """
    check_folder(folder)
    folder = folder.absolute()
    with _writable(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
        try:
            fetch_objects(store, manifest, part)
            (part / MANIFEST_NAME).write_bytes(manifest.body)
            if folder.exists():
                folder.rmdir()  # only an empty one lets itself be removed
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return _restored(manifest, str(folder))


def restore_to_duckdb(
    store: ObjectStore, manifest: Manifest, file: Path, *, memory_mb: int
) -> Restored:
    """The snapshot's tables, `companies_good` and so on, in a new DuckDB file.

    Raises TargetInUseError, RestoreDiffersError, FetchDiffersError and what the store raises.
    """
    check_file(file)
    file = file.absolute()
    with _writable(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
        try:
            files = fetch_objects(store, manifest, part)
            made = part / "made.duckdb"
            config: dict[str, str | bool | int | float | list[str]] = {
                "memory_limit": f"{memory_mb}MB",
                "temp_directory": str(part / "spill"),
                "preserve_insertion_order": False,
            }
            with closing(duckdb.connect(str(made), config=config)) as duck:
                _make_tables(duck, manifest, files)
            os.link(made, file)  # a rename would overwrite what came there meanwhile
        except FileExistsError:
            check_file(file)
            raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return _restored(manifest, str(file))


def check_folder(folder: Path) -> None:
    """Raises TargetInUseError unless the folder is new or empty."""
    with _writable(folder):
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise TargetInUseError(f"{folder} is no folder: name a new one")
        if folder.exists() and any(folder.iterdir()):
            raise TargetInUseError(
                f"{folder} is not empty, and nothing is overwritten: name a new one"
            )


def check_file(file: Path) -> None:
    """Raises TargetInUseError when something is there."""
    if file.exists() or file.is_symlink():
        raise TargetInUseError(f"{file} is there, and nothing is overwritten: name a new file")


def fetch_objects(store: ObjectStore, manifest: Manifest, folder: Path) -> Files:
    """Every object of the snapshot in the folder, proven; paths by key."""
    files = paths_in(folder, manifest)
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(files), thread_name_prefix="restore") as pool:
        try:
            found = [
                pool.submit(fetch_file, store, files[stored.key], stored)
                for stored in manifest.objects
            ]
            for one in found:
                one.result()
        finally:  # also on Ctrl-C
            pool.shutdown(cancel_futures=True)
    return files


def paths_in(folder: Path, manifest: Manifest) -> Files:
    """Where a restored snapshot's objects lie: `companies_good.parquet`, without the version."""
    names = (stored.key.rpartition("/")[2] for stored in manifest.objects)
    plain = (name.replace(f"_{manifest.version}", "") for name in names)
    return {o.key: folder / name for o, name in zip(manifest.objects, plain, strict=True)}


def _make_tables(duck: duckdb.DuckDBPyConnection, manifest: Manifest, files: Files) -> None:
    for file in manifest.files:
        table = quoted(f"{file.table}_{file.verdict}")
        duck.execute(f"CREATE TABLE {table} AS SELECT * FROM {rows_of(files[file.key])}")
        rows = duck.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
        described = duck.execute(f"DESCRIBE {table}").fetchall()
        if (rows, tuple((row[0], row[1]) for row in described)) != (file.rows, file.columns):
            raise RestoreDiffersError(f"{table} does not hold what {manifest.key} says")


def _restored(manifest: Manifest, target: str) -> Restored:
    size_bytes = sum(stored.size_bytes for stored in manifest.objects)
    return Restored(manifest=manifest, target=target, size_bytes=size_bytes)


@contextmanager
def _writable(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PermanentError(f"cannot write {target}: {error.strerror}") from error
    except duckdb.IOException as error:
        raise PermanentError(f"cannot write {target}: {str(error).splitlines()[0]}") from error
