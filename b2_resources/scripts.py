"""One function for each thing people's scripts do with the bucket; the store is made from settings.

    from b2_resources import scripts
    scripts.upload_json("reports/today.json", {"rows": 12})

Whoever does more than one thing opens a store by build_store() and keeps it.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from b2_resources.build_store import build_signing, build_store, s3_config_of
from b2_resources.object_store import ObjectMissingError, ObjectStore, StoredObject
from b2_resources.probe import probe_store
from outreach_core.findings import Finding
from outreach_core.settings import load_settings

DEFAULT_VALID_FOR = timedelta(hours=1)


def open_store() -> ObjectStore:
    """The store that the settings name. Raises SettingsError."""
    return build_store(load_settings())


def check_connection(store: ObjectStore | None = None) -> list[Finding]:
    """Put, read, list and delete a throwaway object: what was found, with a cure where needed."""
    return list(probe_store(store or open_store()))


def upload_json(key: str, value: object, store: ObjectStore | None = None) -> StoredObject:
    """Any value that JSON can hold, as an object; dates and the like become text."""
    body = json.dumps(value, ensure_ascii=False, default=str).encode()
    return (store or open_store()).put_bytes(key, body, content_type="application/json")


def upload_csv(
    key: str,
    rows: Iterable[Mapping[str, object]],
    *,
    columns: Sequence[str] | None = None,
    store: ObjectStore | None = None,
) -> StoredObject:
    """Rows as CSV with a header; `columns` as in the first row unless they are named.

    Cells that a spreadsheet would take for a formula are kept as they are: this is for programs.
    """
    found = list(rows)
    names = list(columns or (found[0] if found else ()))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    if names:
        writer.writeheader()
    writer.writerows(found)
    body = text.getvalue().encode()
    return (store or open_store()).put_bytes(key, body, content_type="text/csv")


def upload_file(key: str, path: Path, store: ObjectStore | None = None) -> StoredObject:
    """A file, unless the very same bytes are there already: a bucket bills every version."""
    return put_if_changed(store or open_store(), key, path)


def list_keys(prefix: str = "", store: ObjectStore | None = None) -> list[str]:
    """Every key below the prefix."""
    return [found.key for found in (store or open_store()).list_objects(prefix)]


def download(key: str, path: Path, store: ObjectStore | None = None) -> StoredObject:
    """An object as a file, proven. Raises ObjectMissingError."""
    return (store or open_store()).get_file(key, path)


def exists(key: str, store: ObjectStore | None = None) -> bool:
    """False only when the store says that there is none; raises when it cannot be asked."""
    try:
        (store or open_store()).head(key)
    except ObjectMissingError:
        return False
    return True


def size(key: str, store: ObjectStore | None = None) -> int:
    """In bytes. Raises ObjectMissingError."""
    return (store or open_store()).head(key).size_bytes


def delete(key: str, store: ObjectStore | None = None) -> None:
    """Gone afterwards, whether it was there or not."""
    (store or open_store()).delete(key)


def stream(key: str, store: ObjectStore | None = None) -> Iterator[bytes]:
    """The bytes in blocks of at most a megabyte."""
    return (store or open_store()).stream(key)


def signed_url(key: str, valid_for: timedelta = DEFAULT_VALID_FOR) -> str:
    """Where whoever has it may download the object for that time."""
    return build_signing(load_settings()).sign_download(key, valid_for=valid_for)


def public_url(key: str) -> str:
    """Where anybody may download it, if the bucket is public. Raises SettingsError for a folder."""
    from b2_resources.s3_signing import public_url as url_in  # noqa: PLC0415 boto3 is heavy

    return url_in(s3_config_of(load_settings()), key)


def put_if_changed(store: ObjectStore, key: str, path: Path) -> StoredObject:
    """Put the file, unless the object there has its sha256: then a HEAD is all it costs."""
    from b2_resources.files import read_blocks, sha256_of  # noqa: PLC0415

    sha256 = sha256_of(read_blocks(path))
    try:
        there = store.head(key)
    except ObjectMissingError:
        there = None
    if there is not None and there.sha256 == sha256:
        return there
    return store.put_file(key, path, sha256=sha256)
