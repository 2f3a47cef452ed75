"""What a backup of the database and its drill cost, beside the floor, in one run.

Made-up rows in the embedded server, one destination on this machine. The floor is both masters by
binary COPY to nowhere. The drill starts a PostgreSQL of its own, whose CPU seconds are not counted.

    python -m bench.database_backup --sizes S M
    OUTREACH_BACKUP_PASSPHRASE=… python -m bench.database_backup --sizes S
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench.journey import floor
from bench.meter import Meter, peak_mb
from outreach_assets.steps.backups.database.drill import DatabaseDrill
from outreach_assets.steps.backups.database.run import DatabaseBackup
from outreach_assets.steps.private_duckdb import Duck, Limits, private_duckdb
from outreach_core.audit import command_event
from outreach_core.neon import embedded_server, open_neon
from outreach_core.sample_choices import ExistingRows, SampleSize, SampleTarget
from outreach_core.sample_data import load_sample
from outreach_core.settings import Settings, load_settings


class Quiet:
    """Progress for nobody."""

    def began(self, *_: object) -> None:
        """Nothing."""

    def moved(self, *_: object) -> None:
        """Nothing."""


def measure(size: SampleSize, settings: Settings) -> None:
    postgres = open_neon(settings)
    load_sample(
        postgres,
        size=size,
        seed=1,
        target=SampleTarget.EMBEDDED,
        existing=ExistingRows.REPLACE,
        progress=lambda *_: None,
    )
    duck: Callable[[], AbstractContextManager[Duck]] = partial(
        private_duckdb, Limits(memory_mb=400, temp_gb=20, folder=settings.home / "spill")
    )
    server = embedded_server(settings.home).status().pid
    meter = Meter(server=server or 0)
    with meter.part("floor"):
        floor(postgres, None)
    with meter.part("backup"):
        receipt, outcomes = DatabaseBackup(
            postgres=postgres,
            settings=settings,
            open_duck=duck,
            now=datetime.now(UTC),
            run_id="",
            progress=Quiet(),
            event=command_event,
        ).run()
    peak = peak_mb()
    with meter.part("drill"):
        drills = list(
            DatabaseDrill(
                postgres=postgres,
                settings=settings,
                open_duck=duck,
                drill_id="bench",
                now=datetime.now(UTC),
                event=command_event,
            ).run()
        )
    print(f"{size}: {receipt.rows:,} rows, {receipt.size_bytes / 1e6:.0f} MB of Parquet")
    for name, cost in meter.costs.items():
        print(f"  {name}: {cost.wall:.1f} s, CPU {cost.cpu:.1f} + {cost.postgres:.1f} in Postgres")
    print(f"  copying and proving {outcomes[0].seconds} s, restoring {drills[0].seconds} s")
    print(f"  peak memory {peak:.0f} MB, with the drill {peak_mb():.0f} MB")
    print(f"  problems: {[o.error for o in outcomes]}, {[one.problem for one in drills]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["S", "M"])
    for size in parser.parse_args().sizes:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            os.environ["OUTREACH_HOME"] = str(Path(folder) / "home")
            measure(SampleSize(size), load_settings())
            embedded_server(load_settings().home).close()


if __name__ == "__main__":
    main()
