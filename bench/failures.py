"""How fast failures are exported, and in how much memory, beside the floor, in one run.

The floor is the same rows by COPY to nowhere and one UPDATE that marks them, rolled back. The
export runs in a process of its own each time, against the embedded server and a local S3 server;
medians are printed. Inserting the rows is not counted, importing and connecting neither.

    python -m bench.failures                 # 9,250 rows and a million
    python -m bench.failures --rows 9250 --pairs 9
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from b2_resources.s3_config import S3Config
from b2_resources.s3_store import S3Store
from outreach_assets.steps.failures.export import ExportOrder, FailureFormat, export_failures
from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.postgres import Postgres
from tests.given import LOG, given_many_failures, given_sql
from tests.servers.rclone_s3 import RcloneS3

IN = ("endpoint", "region", "key_id", "application_key", "bucket")
LARGE = 100_000
"""From here on one format, one file and one pair will do."""


def given(postgres: Postgres, rows: int) -> None:
    """The log with that many rows and nothing exported, as a long day would have left it."""
    given_many_failures(postgres, 0)
    given_sql(postgres, f"TRUNCATE {LOG}, shq.failure_batches, shq.failure_batch_rows")
    given_many_failures(postgres, rows)
    with postgres.connect(autocommit=True) as connection:
        connection.execute(f"VACUUM ANALYZE {LOG}".encode())
        connection.execute("CHECKPOINT")


def floor(postgres: Postgres) -> float:
    """Seconds to read all rows and to mark them."""
    with postgres.connect() as connection, connection.cursor() as cursor:
        began = time.monotonic()
        with cursor.copy(f"COPY {LOG} TO STDOUT".encode()) as copy:
            for _ in copy:
                pass
        cursor.execute(f"UPDATE {LOG} SET exported_to_b2 = true".encode())
        took = time.monotonic() - began
        connection.rollback()
    return took


def export_once(asked: dict[str, str], file_format: str, batch_size: int | None) -> None:
    """Export in this process, and print the seconds and the peak memory."""
    postgres = Postgres(conninfo=asked.pop("conninfo"), name="the bench's")
    folder = Path(asked.pop("folder"))
    store = S3Store(S3Config(**asked))
    list(store.list_objects("nothing/"))
    order = ExportOrder(
        prefix="bench/", file_format=FailureFormat(file_format), batch_size=batch_size
    )
    with postgres.connect():
        began = time.monotonic()
        done = export_failures(postgres, store, order, folder=folder, now=datetime.now(UTC))
        seconds = time.monotonic() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb, "files": len(done)}))


def compare(
    postgres: Postgres, folder: Path, rows: int, file_format: str, batches: int, pairs: int
) -> None:
    """Print medians of so many pairs."""
    bottom, found = [], []
    for _ in range(pairs):
        given(postgres, rows)
        bottom.append(floor(postgres))
        given(postgres, rows)
        with tempfile.TemporaryDirectory(dir=folder) as work, RcloneS3(Path(work) / "s3") as s3:
            config = s3.config()
            asked = {
                **{name: getattr(config, name) for name in IN},
                "conninfo": postgres.conninfo,
                "folder": work,
            }
            size = str(-(-rows // batches)) if batches > 1 else "0"
            done = subprocess.run(
                [sys.executable, "-m", "bench.failures", "--once", json.dumps(asked),
                 "--format", file_format, "--batch-size", size],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            found.append(json.loads(done.stdout))
    below, middle = statistics.median(bottom), statistics.median(one["seconds"] for one in found)
    peak = max(one["peak_mb"] for one in found)
    what = f"{rows:>9,} rows, {batches:>2} {file_format}"
    took = f"floor {below:6.3f} s   export {middle:6.3f} s = {middle / below:4.1f} x"
    print(f"{what:<30} {took}   peak {peak:4.0f} MB", flush=True)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", type=int, default=[9250, 1_000_000])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--once", help=argparse.SUPPRESS)
    parser.add_argument("--format", default="json", help=argparse.SUPPRESS)
    parser.add_argument("--batch-size", type=int, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.once:
        export_once(json.loads(asked.once), asked.format, asked.batch_size or None)
        return
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root,  # the server ends later
        EmbeddedPostgres(Path(root) / "postgres") as embedded,
    ):
        postgres = embedded.ensure_running()
        for rows in asked.rows:
            if rows >= LARGE:
                compare(postgres, Path(root), rows, "json", 1, 1)
                compare(postgres, Path(root), rows, "parquet", 1, 1)
                continue
            for file_format in FailureFormat:
                compare(postgres, Path(root), rows, file_format, 1, asked.pairs)
            compare(postgres, Path(root), rows, "json", 10, asked.pairs)


if __name__ == "__main__":
    main()
