"""How long the question takes which states have changed, beside the floor, in one run.

Size M by default: 370,000 companies and 1,480,000 people in the embedded server. The floor is a
count of both tables by state, which reads every row and looks at nothing in it.

    python -m bench.source_versions            # size M
    python -m bench.source_versions --size S
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from outreach_assets.steps.placement import placed
from outreach_assets.steps.source import Snapshot, held_snapshot
from outreach_assets.steps.source_versions import source_versions
from outreach_assets.tables.catalogue import TABLES
from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from outreach_core.sample_choices import SampleSize, SampleTarget
from outreach_core.sample_data import load_sample
from outreach_core.states import ALL_STATES


def floor(snapshot: Snapshot) -> None:
    """Count the rows of both tables by state."""
    snapshot.connection.execute("SET LOCAL jit = off")
    for table in TABLES:
        where = placed(snapshot, table)
        counting = f"SELECT {where.column}, count(*) FROM {where.source} GROUP BY 1"
        snapshot.connection.execute(counting.encode()).fetchall()


def seconds(postgres: Postgres, states: Sequence[str] | None) -> float:
    """Of the versions of these states, or of the floor."""
    with held_snapshot(postgres) as snapshot:
        began = time.monotonic()
        if states is None:
            floor(snapshot)
        else:
            source_versions(snapshot, TABLES, states)
        return time.monotonic() - began


def main() -> None:
    """Print medians, after one round that warms the caches."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", type=SampleSize, default=SampleSize.M)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    questions = {"the floor": None, "all states": ALL_STATES, "WV": ("WV",)}
    took: dict[str, list[float]] = {name: [] for name in questions}
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,  # the server ends later
        EmbeddedPostgres(Path(folder)) as embedded,
    ):
        postgres = embedded.ensure_running()
        migrate(postgres)
        facts = load_sample(postgres, size=asked.size, seed=1, target=SampleTarget.EMBEDDED)
        print(f"{facts.companies:,} companies, {facts.people:,} people")
        for _ in range(asked.rounds + 1):
            for name, states in questions.items():
                took[name].append(seconds(postgres, states))
    for name, found in took.items():
        measured = found[1:]
        print(
            f"{name:<12} median {statistics.median(measured):5.2f} s   worst {max(measured):5.2f}"
        )


if __name__ == "__main__":
    main()
