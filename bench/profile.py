"""How fast a file is profiled, and in how much memory; beside ydata-profiling where it is named.

The file has a million rows and twenty columns of every kind (about 150 MB). The tool runs as
everywhere, in its own process; its peak memory is the kernel's figure of that process.

    python -m bench.profile
    python -m bench.profile --rows 100000 --ydata /tmp/throwaway/bin/python

`--ydata` names a Python that has it, in an environment of its own: it is no dependency.
"""

import argparse
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import duckdb

from outreach_assets.tools.assignment import ToolLimits
from outreach_assets.tools.catalogue import tool_by_id
from outreach_assets.tools.run_tool import ToolRun, run_tool

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

MINIMAL = """
import sys, pandas
from ydata_profiling import ProfileReport
ProfileReport(pandas.read_csv(sys.argv[1]), minimal=True, progress_bar=False).to_file(sys.argv[2])
"""


def profiled(path: Path) -> tuple[float, float]:
    """Seconds and peak MB of one profile."""
    with tempfile.TemporaryDirectory() as folder:
        run = ToolRun(tool=tool_by_id("profile-my-data"), inputs={"primary": path})
        result = run_tool(run, Path(folder), limits=ToolLimits())
    return result.seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def by_ydata(python: str, path: Path) -> float:
    """Seconds of ydata-profiling, minimal, on the same file."""
    began = time.monotonic()
    subprocess.run([python, "-c", MINIMAL, str(path), str(path) + ".html"], check=True)
    return time.monotonic() - began


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=1_000_000)
    asked.add_argument("--repeats", type=int, default=3)
    asked.add_argument("--ydata", help="a Python that has ydata-profiling")
    options = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "leads.csv"
        duckdb.execute(f"COPY ({ROWS.format(rows=options.rows)}) TO '{path}' (HEADER)")
        print(f"{options.rows:,} rows, 20 columns, {path.stat().st_size / 1e6:.0f} MB")
        runs = [profiled(path) for _ in range(options.repeats)]
        ours = statistics.median(seconds for seconds, _ in runs)
        print(f"profile-my-data   {ours:6.1f} s  {max(peak for _, peak in runs):6.0f} MB at most")
        if options.ydata:
            theirs = by_ydata(options.ydata, path)
            print(f"ydata-profiling   {theirs:6.1f} s  {theirs / ours:.1f} times as long")


if __name__ == "__main__":
    main()
