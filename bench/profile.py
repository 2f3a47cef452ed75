"""How fast a file is profiled, and in how much memory; beside a floor, and another profiler.

The file has a million rows and twenty columns of every kind (about 190 MB). Everybody gets it in
turn, round by round, each in a process of its own that starts cold; the floor is DuckDB reading the
file as text into memory, and no profile at all. CPU seconds tell more than seconds on a busy
machine. What ydata-profiling's minimal mode leaves out: duplicates, correlations, keys and
dependencies, patterns, meanings, personal values, a score, outliers, a workbook.

    python -m bench.profile
    BENCH_YDATA=/tmp/throwaway/bin/python python -m bench.profile --rows 100000 --rounds 1

BENCH_YDATA names a Python that has ydata-profiling, in an environment of its own: it is no
dependency, needs pandas 2 (4.18.4 with Python 3.11 was tried).
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

ROWS = """
    SELECT i AS id, 'ACME-' || i % 40000 AS company_key, 'user' || i || '@ex' || i % 500 || '.org'
        AS email, printf('+1%010d', 2000000000 + hash(i + 2) % 7999999999) AS phone,
    ['WV', 'OH', 'PA', 'KY', 'VA', 'MD'][(1 + hash(i + 3) % 6)::BIGINT] AS state,
    printf('%05d', 10000 + hash(i + 4) % 80000) AS zip,
    ['Mining', 'Retail', 'Software', 'Transport'][(1 + hash(i + 5) % 4)::BIGINT] AS industry,
    hash(i + 6) % 5000 AS employees,
    CASE WHEN i % 17 = 0 THEN NULL ELSE round((hash(i + 7) % 10000000) / 100.0, 2) END AS revenue,
    '$' || (hash(i + 8) % 100000) || '.' || printf('%02d', hash(i + 9) % 100) AS invoice,
    DATE '2015-01-01' + (hash(i + 10) % 3650)::INT AS founded_on,
    strftime(TIMESTAMP '2024-01-01' + INTERVAL (hash(i + 11) % 31536000) SECOND,
        '%Y-%m-%dT%H:%M:%SZ') AS updated_at,
    hash(i + 12) % 2 = 0 AS is_active,
    ['CEO', 'CFO', 'COO', 'VP Sales', 'Buyer'][(1 + hash(i + 13) % 5)::BIGINT] AS title,
    'First' || (hash(i + 14) % 500) AS first_name, 'Last' || (hash(i + 15) % 5000) AS last_name,
    (hash(i + 16) % 1000) / 1000.0 AS score, hash(i + 18) % 7 AS seats,
    CASE WHEN i % 3 = 0 THEN NULL ELSE 'Order ' || (hash(i + 17) % 9000) END AS note,
    'https://ex' || (hash(i + 19) % 9000) || '.org' AS website
    FROM range({rows}) AS t(i)"""

FLOOR = """
import sys, duckdb
duckdb.execute("CREATE TABLE t AS FROM read_csv(?, all_varchar = true)", [sys.argv[1]])
"""

OURS = """
import sys
from pathlib import Path
from outreach_assets.tools.assignment import ToolLimits
from outreach_assets.tools.catalogue import tool_by_id
from outreach_assets.tools.run_tool import ToolRun, run_tool
run = ToolRun(tool=tool_by_id(sys.argv[3]), inputs={"primary": Path(sys.argv[1])})
run_tool(run, Path(sys.argv[2]), limits=ToolLimits())
"""

MINIMAL = """
import sys, pandas
from ydata_profiling import ProfileReport
report = ProfileReport(pandas.read_csv(sys.argv[1]), minimal=True, progress_bar=False)
report.to_file(sys.argv[2] + "/report.html")
"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one process took, with all that it started."""

    seconds: float
    cpu: float
    peak_mb: float
    """Of the largest of them."""


def cost_of(command: Sequence[str]) -> Cost:
    """Run it to its end."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return Cost(seconds=seconds, cpu=used.ru_utime + used.ru_stime, peak_mb=used.ru_maxrss / 1024)


def contestants(tool: str, ydata: str | None) -> Mapping[str, Sequence[str]]:
    """Who takes part, and by which program."""
    named = {
        "floor": (sys.executable, "-c", FLOOR),
        tool: (sys.executable, "-c", OURS),
    }
    return named | ({"ydata-profiling": (ydata, "-c", MINIMAL)} if ydata else {})


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=1_000_000)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--tool", default="profile-my-data", help="or another tool, for itself")
    options = asked.parse_args()
    ydata = os.environ.get("BENCH_YDATA") if options.tool == "profile-my-data" else None
    programs = contestants(options.tool, ydata)
    costs: dict[str, list[Cost]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "leads.csv"
        duckdb.execute(f"COPY ({ROWS.format(rows=options.rows)}) TO '{path}' (HEADER)")
        print(f"{options.rows:,} rows, 20 columns, {path.stat().st_size / 1e6:.0f} MB")
        for _ in range(options.rounds):
            for name, command in programs.items():
                with tempfile.TemporaryDirectory() as out:
                    costs[name].append(cost_of([*command, str(path), out, options.tool]))
    ours = costs[options.tool]
    for name, rounds in costs.items():
        seconds, cpu = (
            statistics.median(getattr(one, what) for one in rounds) for what in ("seconds", "cpu")
        )
        ratios = [
            statistics.median(
                getattr(one, what) / getattr(mine, what)
                for one, mine in zip(rounds, ours, strict=True)
            )
            for what in ("seconds", "cpu")
        ]
        print(
            f"{name:<18}{seconds:7.1f} s {cpu:7.1f} CPU s {max(r.peak_mb for r in rounds):7.0f} MB"
            f"   {ratios[0]:5.2f} and {ratios[1]:5.2f} times ours"
        )


if __name__ == "__main__":
    main()
