"""Workers that export failures, quickly made to be killed: forks of a process that knows all.

    python -m tests.faults.exporter '{"conninfo": …, "store": …, "folder": …}'

Each line on standard input makes one, and its pid is printed. The line is the moment at which it is
to stand still (`claimed`, `put`), or empty, or `naive` for one that selects, uploads and marks.
What it does it writes line by line to `<folder>/<pid>.log`: `claimed` when it holds a batch that is
claimed, `put` when an object is there, `done`.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from b2_resources.local_store import LocalStore
from b2_resources.object_store import ObjectStore, StoredObject
from b2_resources.s3_config import S3Config
from b2_resources.s3_store import S3Store
from outreach_assets.steps.failures.export import ExportOrder, export_failures
from outreach_core.errors import RetryableError
from outreach_core.postgres import Postgres

ORDER = ExportOrder(prefix="vf/", batch_size=100)
NOW = datetime(2025, 11, 18, 23, 59, tzinfo=UTC)
LOG = "marketing.validation_failures_log"


def main() -> None:
    asked = json.loads(sys.argv[1])
    postgres = Postgres(conninfo=asked["conninfo"], name="the test's")
    folder = Path(asked["folder"])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    print("ready", flush=True)  # noqa: T201 to the test
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os._exit(child(postgres, asked["store"], folder, line.strip()))
        print(pid, flush=True)  # noqa: T201


def child(postgres: Postgres, place: str | dict[str, str], folder: Path, moment: str) -> int:
    with (folder / f"{os.getpid()}.log").open("w", buffering=1) as log:

        def said(word: str) -> None:
            log.write(f"{word}\n")
            if word == moment:
                time.sleep(3600)  # until it is killed

        store = opened(place)
        try:
            if moment == "naive":
                naive(postgres, store, said)
            else:
                heard = Announcing(store, said)
                export_failures(postgres, heard, ORDER, folder=folder / "work", now=NOW)
        except RetryableError as error:
            said(f"failed {error}")
            return 1
        said("done")
    return 0


def opened(place: str | dict[str, str]) -> ObjectStore:
    return LocalStore(Path(place)) if isinstance(place, str) else S3Store(S3Config(**place))


class Announcing:
    """A store that says what it is asked to do."""

    def __init__(self, store: ObjectStore, said) -> None:
        self._store = store
        self._said = said

    def head(self, key: str) -> StoredObject:
        self._said("claimed")
        return self._store.head(key)

    def put_file(
        self, key: str, path: Path, *, metadata: Mapping[str, str], sha256: str
    ) -> StoredObject:
        stored = self._store.put_file(key, path, metadata=metadata, sha256=sha256)
        self._said("put")
        return stored

    def __getattr__(self, name: str):
        return getattr(self._store, name)


def naive(postgres: Postgres, store: ObjectStore, said) -> None:
    """What everybody writes first: select what is unexported, upload it, mark it."""
    while True:
        with postgres.connect(autocommit=True) as connection:
            rows = connection.execute(
                f"SELECT id, company_id FROM {LOG} WHERE exported_to_b2 IS NOT TRUE "
                "ORDER BY id LIMIT 100"
            ).fetchall()
            if not rows:
                return
            said("claimed")
            body = json.dumps([{"company_id": company} for _, company in rows]).encode()
            store.put_bytes(f"vf/2025-11-18/{uuid4()}.json", body)
            said("put")
            connection.execute(
                f"UPDATE {LOG} SET exported_to_b2 = true WHERE id = ANY(%s)",
                ([i for i, _ in rows],),
            )


if __name__ == "__main__":
    main()
