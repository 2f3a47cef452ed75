"""How fast a state travels from Postgres to the bucket, beside the floor, in one run.

The floor is both tables by binary COPY to nowhere. Beside it the steps of three runs, as the chain
takes them but without Dagster: nothing published yet, nothing changed since, one row in a hundred
changed. Each is a process of its own, against the embedded server and a local S3 server; rounds of
floor and runs follow one another, and medians are printed. Then whole commands, from cold.

    python -m bench.journey                  # sizes S and M
    python -m bench.journey --sizes S --rounds 5
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Any

from b2_resources.object_store import ObjectCorruptError
from b2_resources.s3_config import S3Config
from b2_resources.s3_store import S3Store
from bench.meter import Meter, peak_mb
from outreach_assets.steps.batches import in_batches
from outreach_assets.steps.compare_published import compare_with_published
from outreach_assets.steps.export import Export, Judged, write_parquet
from outreach_assets.steps.extract import drop_rows, extract_rows
from outreach_assets.steps.failures.log import record_failures
from outreach_assets.steps.manifest import Manifest
from outreach_assets.steps.private_duckdb import Limits, private_duckdb
from outreach_assets.steps.published import look_at
from outreach_assets.steps.source import held_snapshot
from outreach_assets.steps.still_exported import still_exported
from outreach_assets.steps.upload import Published, differing_objects, publish, settle_exports
from outreach_assets.steps.validate import split_rows
from outreach_assets.steps.workbench import refresh_workbench
from outreach_assets.tables.catalogue import TABLES
from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from outreach_core.sample_choices import SampleSize, SampleTarget
from outreach_core.sample_data import load_sample
from outreach_core.states import ALL_STATES
from tests.servers.rclone_s3 import RcloneS3

MEMORY_MB = 400  # the default of OUTREACH_DUCKDB_MEMORY_MB
IN = ("endpoint", "region", "key_id", "application_key", "bucket")
OUTREACH = Path(sys.executable).with_name("outreach")

Found = dict[str, Any]
"""What one run's process says: costs by part, peak memory, bytes that went up."""


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


class Run(StrEnum):
    """What a run finds."""

    FIRST = "nothing published"
    SAME = "nothing changed"
    EDITED = "1 % changed"


VERSIONS = {Run.FIRST: "20260101000000", Run.SAME: "20260102000000", Run.EDITED: "20260103000000"}

EDITS = (
    "UPDATE marketing.company_master SET industry = industry || '.' WHERE {one_in_100}",
    "UPDATE marketing.people_master SET title = title || '.' WHERE {one_in_100}",
)


def steps(home: Path, folder: Path, states: Sequence[str], version: str, s3: list[str]) -> Found:
    """What the steps of one run cost, as the chain takes them (assets/tables.py)."""
    with EmbeddedPostgres(home / "postgres") as embedded:
        postgres = embedded.ensure_running()
        meter = Meter(server=embedded.status().pid or 0)
        uploaded = journey(meter, postgres, folder, states, version, s3)
    return {"parts": meter.found(), "peak_mb": peak_mb(), "uploaded_bytes": uploaded}


def journey(
    meter: Meter,
    postgres: Postgres,
    folder: Path,
    states: Sequence[str],
    version: str,
    s3: list[str],
) -> int:
    """All steps of one run; the bytes that went up."""
    store = S3Store(S3Config(**dict(zip(IN, s3, strict=True))))
    export = Export(exports=folder / "exports", version=version, run_id=version)
    manifests: list[Manifest] = []
    found = {}
    limits = Limits(memory_mb=MEMORY_MB, temp_gb=50, folder=folder / "spill")
    with ExitStack() as opened:
        with meter.part("extract"):
            duck = opened.enter_context(private_duckdb(limits))
            snapshot = opened.enter_context(held_snapshot(postgres))
            batches = in_batches(snapshot, TABLES, states, MEMORY_MB)
        for batch in batches:
            with meter.part("extract"):
                extracted = extract_rows(duck, snapshot, TABLES, batch)
            with meter.part("validate"):
                verdicts = split_rows(duck, TABLES, batch)
            with meter.part("lookup"):
                found.update(look_at(store, batch))
            with meter.part("log"):
                record_failures(duck, postgres, TABLES, batch, version=version, run_id=version)
            with meter.part("export"):
                judged = Judged(extracted=extracted, verdicts=verdicts, states=batch)
                last = {state: found[state].newest for state in batch if found[state].newest}
                written = still_exported(duck, export.exports, TABLES, judged, last)
                changed = [state for state in batch if state not in written]
                written |= write_parquet(duck, export, TABLES, judged, changed)
            with meter.part("compare"):
                compared = compare_with_published(
                    duck,
                    store,
                    export.exports,
                    TABLES,
                    list(written.values()),
                    lambda state: found[state].newest,
                )
                manifests += compared.values()
            with meter.part("extract"):
                drop_rows(duck, TABLES)
        with meter.part("extract"):
            opened.close()
    with meter.part("upload"):
        outcomes = publish(store, export.exports, manifests, run_id=version, found=found)
        for outcome in outcomes.values():
            if not isinstance(outcome, Published):
                raise outcome
            settle_exports(export.exports, outcome)
    with meter.part("check"):
        refresh_workbench(folder, export.exports)
        if differing_objects(store, [outcome.manifest for outcome in outcomes.values()]):
            raise ObjectCorruptError("the store does not hold what was published")
    return sum(outcome.uploaded_bytes for outcome in outcomes.values())


def edit(postgres: Postgres) -> None:
    """Change one row in a hundred of both tables."""
    for statement, table in zip(EDITS, TABLES, strict=True):
        one_in_100 = f"hashtext({table.key}) % 100 = 0"
        with postgres.connect() as connection:
            connection.execute(statement.format(one_in_100=one_in_100).encode())


def forget(postgres: Postgres) -> None:
    """Empty the failures log, so that a first run is one, and leave no dead rows to read."""
    with postgres.connect(autocommit=True) as connection:
        connection.execute(
            "TRUNCATE marketing.validation_failures_log, shq.failure_batch_rows, shq.validations"
        )
        for table in TABLES:
            connection.execute(f"VACUUM {table.source}".encode())
        connection.execute("CHECKPOINT")


def round_of_runs(home: Path, state: str | None, folder: Path) -> dict[str, Found]:
    """The floor here, then three runs, in a process of their own each, into one new bucket."""
    with EmbeddedPostgres(home / "postgres") as embedded:
        postgres = embedded.ensure_running()
        forget(postgres)
        bottom = floor(postgres, state)
        runs: dict[str, Found] = {}
        with (
            tempfile.TemporaryDirectory(dir=folder) as work,
            RcloneS3(Path(work) / "s3", "bench") as s3,
        ):
            for run, version in VERSIONS.items():
                if run is Run.EDITED:
                    edit(postgres)
                config = s3.config("bench")
                done = subprocess.run(
                    [sys.executable, "-m", "bench.journey", "--once", home, "--folder", work,
                     "--state", state or "", "--version", version,
                     "--s3", *(getattr(config, part) for part in IN)],
                    check=True, stdout=subprocess.PIPE, text=True,
                )  # fmt: skip
                runs[run] = {**json.loads(done.stdout.splitlines()[-1]), "floor": bottom}
    return runs


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


def compare(name: str, home: Path, state: str | None, folder: Path, rounds: int) -> None:
    """Print medians of so many rounds."""
    found = [round_of_runs(home, state, folder) for _ in range(rounds)]
    for run in Run:
        print(f"{name:<13} {line([one[run] for one in found], run)}", flush=True)


def line(found: Sequence[Found], run: Run) -> str:
    """The medians of one kind of run. The ratio leaves out the log, which is no step to Parquet."""

    def median(of: Callable[[Found], float]) -> float:
        return statistics.median(of(one) for one in found)

    def total(one: Found, kind: str) -> float:
        return sum(cost[kind] for part, cost in one["parts"].items() if part != "log")

    parts = {part: median(lambda f, p=part: f["parts"][p]["wall"]) for part in found[0]["parts"]}
    cpu, postgres = (median(lambda f, k=kind: total(f, k)) for kind in ("cpu", "postgres"))
    bottom, seconds = median(lambda f: f["floor"]), median(lambda f: total(f, "wall"))
    ratio = median(lambda f: total(f, "wall") / f["floor"])
    uploaded = median(lambda f: f["uploaded_bytes"] / 1e6)
    listed = ", ".join(f"{part} {wall:.2f}" for part, wall in parts.items() if part != "log")
    peak = median(lambda f: f["peak_mb"])
    return (
        f"{run:<17} floor {bottom:5.2f} s  steps {seconds:5.2f} s = {ratio:3.1f} x  "
        f"CPU {cpu:5.2f} + Postgres {postgres:4.2f} s  peak {peak:3.0f} MB"
        f"  up {uploaded:5.1f} MB  log {parts['log']:4.2f} s  ({listed})"
    )


def command_line(home: Path, rounds: int) -> None:
    """Print medians of whole commands, from cold: the embedded server is started each time."""
    environment = {**os.environ, "OUTREACH_HOME": str(home)}
    for words in (["--help"], ["run", "--state", "WV"], ["run", "--all"]):
        seconds = []
        for _ in range(rounds):
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
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--state", default="", help=argparse.SUPPRESS)
    parser.add_argument("--version", help=argparse.SUPPRESS)
    parser.add_argument("--s3", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.once:
        states = [asked.state] if asked.state else ALL_STATES
        print(json.dumps(steps(asked.once, asked.folder, states, asked.version, asked.s3)))
        return
    with tempfile.TemporaryDirectory() as root:
        for size in asked.sizes:
            home = loaded(size, Path(root))
            compare(f"{size}, all states", home, None, Path(root), asked.rounds)
            compare(f"{size}, WV", home, "WV", Path(root), asked.rounds)
            if size == SampleSize.S:
                command_line(home, asked.rounds)


if __name__ == "__main__":
    main()
