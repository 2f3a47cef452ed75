"""How fast a state travels from Postgres to the bucket, beside the floor, in one run.

The floor is both tables by binary COPY to nowhere. The steps alone (no Dagster) run in a process of
their own each, against the embedded server and a local S3 server; pairs of floor and steps
alternate, and medians are printed. Then whole commands, from cold.

    python -m bench.journey                  # sizes S and M
    python -m bench.journey --sizes S --pairs 5
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from b2_resources.s3_config import S3Config
from b2_resources.s3_store import S3Store
from outreach_assets.steps.batches import in_batches
from outreach_assets.steps.export import Export, Judged, write_parquet
from outreach_assets.steps.extract import drop_rows, extract_rows
from outreach_assets.steps.private_duckdb import Limits, private_duckdb
from outreach_assets.steps.source import held_snapshot
from outreach_assets.steps.upload import Published, publish, settle_exports
from outreach_assets.steps.validate import split_rows
from outreach_assets.tables.catalogue import TABLES
from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from outreach_core.sample_choices import SampleSize, SampleTarget
from outreach_core.sample_data import load_sample
from outreach_core.states import ALL_STATES
from tests.servers.rclone_s3 import RcloneS3

MEMORY_MB = 400  # the default of OUTREACH_DUCKDB_MEMORY_MB
OUTREACH = Path(sys.executable).with_name("outreach")


def floor(postgres: Postgres, state: str | None) -> float:
    """Seconds for both tables, or one state of them, by binary COPY to nowhere."""
    companies, people = (table.source for table in TABLES)
    queries = [f"SELECT * FROM {companies}", f"SELECT * FROM {people}"]
    if state is not None:
        held = f"JOIN {companies} c USING (company_unique_id) WHERE c.address_state = '{state}'"
        queries = [
            f"SELECT * FROM {companies} WHERE address_state = '{state}'",
            f"SELECT p.* FROM {people} p {held}",
        ]
    began = time.monotonic()
    for query in queries:
        copying = f"COPY ({query}) TO STDOUT (FORMAT binary)"
        with (
            postgres.connect() as connection,
            connection.cursor() as cursor,
            cursor.copy(copying.encode()) as copy,
        ):
            for _ in copy:
                pass
    return time.monotonic() - began


def steps(
    postgres: Postgres, folder: Path, states: Sequence[str], s3: list[str]
) -> dict[str, float]:
    """Seconds by step, and peak memory, for the states from Postgres to the bucket."""
    endpoint, region, key_id, key, bucket = s3
    store = S3Store(
        S3Config(
            endpoint=endpoint, region=region, key_id=key_id, application_key=key, bucket=bucket
        )
    )
    took = dict.fromkeys(("extract", "validate", "export", "upload"), 0.0)
    export = Export(exports=folder / "exports", version="20260101000000", run_id="bench")
    began = time.monotonic()
    manifests = []
    limits = Limits(memory_mb=MEMORY_MB, temp_gb=50, folder=folder / "spill")
    with private_duckdb(limits) as duck, held_snapshot(postgres) as snapshot:
        for batch in in_batches(snapshot, TABLES, states, MEMORY_MB):
            extracted, took = timed(
                took, "extract", lambda b=batch: extract_rows(duck, snapshot, TABLES, b)
            )
            verdicts, took = timed(took, "validate", lambda b=batch: split_rows(duck, TABLES, b))
            judged = Judged(extracted=extracted, verdicts=verdicts, states=batch)
            written, took = timed(
                took, "export", lambda j=judged: write_parquet(duck, export, TABLES, j, j.states)
            )
            manifests += written.values()
            drop_rows(duck, TABLES)
    outcomes, took = timed(took, "upload", lambda: publish(store, export.exports, manifests))
    for outcome in outcomes.values():
        if not isinstance(outcome, Published):
            raise outcome
        settle_exports(export.exports, outcome)
    took["total"] = time.monotonic() - began
    took["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return took


def timed(took: dict[str, float], step: str, work):  # noqa: ANN001, ANN201 whatever work returns
    """What the work returns, and its seconds added to the step's."""
    began = time.monotonic()
    done = work()
    took[step] += time.monotonic() - began
    return done, took


def pair(home: Path, state: str | None, folder: Path) -> tuple[float, dict[str, float]]:
    """The floor here, the steps in a process of their own with a bucket of their own."""
    with EmbeddedPostgres(home / "postgres") as embedded:
        seconds = floor(embedded.ensure_running(), state)
        with (
            tempfile.TemporaryDirectory(dir=folder) as work,
            RcloneS3(Path(work) / "s3", "bench") as s3,
        ):
            config = s3.config("bench")
            done = subprocess.run(
                [sys.executable, "-m", "bench.journey", "--once", str(home), "--folder", work,
                 "--state", state or "", "--s3", config.endpoint, config.region, config.key_id,
                 config.application_key, config.bucket],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
    return seconds, json.loads(done.stdout.splitlines()[-1])


def loaded(size: SampleSize, root: Path) -> Path:
    """A home whose embedded server holds the sample."""
    home = root / size
    with EmbeddedPostgres(home / "postgres") as embedded:
        postgres = embedded.ensure_running()
        migrate(postgres)
        facts = load_sample(postgres, size=size, seed=1, target=SampleTarget.EMBEDDED)
    print(f"sample {size}: {facts.companies:,} companies, {facts.people:,} people, "
          f"loaded in {facts.seconds:.1f} s")  # fmt: skip
    return home


def compare(name: str, home: Path, state: str | None, folder: Path, pairs: int) -> None:
    """Print medians of so many pairs."""
    found = [pair(home, state, folder) for _ in range(pairs)]
    bottom = statistics.median(seconds for seconds, _ in found)
    middle = {step: statistics.median(took[step] for _, took in found) for step in found[0][1]}
    ratio = statistics.median(took["total"] / seconds for seconds, took in found)
    shown = ", ".join(
        f"{step} {middle[step]:.2f}" for step in ("extract", "validate", "export", "upload")
    )
    print(f"{name:<16} floor {bottom:6.2f} s   steps {middle['total']:6.2f} s = {ratio:4.1f} x   "
          f"peak {middle['peak_mb']:4.0f} MB   ({shown})", flush=True)  # fmt: skip


def command_line(home: Path, pairs: int) -> None:
    """Print medians of whole commands, from cold: the embedded server is started each time."""
    environment = {**os.environ, "OUTREACH_HOME": str(home)}
    for words in (["--help"], ["run", "--state", "WV"], ["run", "--all"]):
        seconds = []
        for _ in range(pairs):
            began = time.monotonic()
            subprocess.run([OUTREACH, *words], check=True, capture_output=True, env=environment)
            seconds.append(time.monotonic() - began)
        print(f"outreach {' '.join(words):<16} {statistics.median(seconds):5.2f} s", flush=True)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", type=SampleSize, default=[SampleSize.S, SampleSize.M])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--state", default="", help=argparse.SUPPRESS)
    parser.add_argument("--s3", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.once:
        states = [asked.state] if asked.state else ALL_STATES
        with EmbeddedPostgres(asked.once / "postgres") as embedded:
            print(json.dumps(steps(embedded.ensure_running(), asked.folder, states, asked.s3)))
        return
    with tempfile.TemporaryDirectory() as root:
        for size in asked.sizes:
            home = loaded(size, Path(root))
            compare(f"{size}, all states", home, None, Path(root), asked.pairs)
            compare(f"{size}, WV", home, "WV", Path(root), asked.pairs)
            if size == SampleSize.S:
                command_line(home, asked.pairs)


if __name__ == "__main__":
    main()
