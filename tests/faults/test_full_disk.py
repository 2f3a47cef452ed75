"""A disk that is really full: a small tmpfs in a mount namespace of this test's own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
# Exports more than fits, says what became of it, makes room, and exports again.
EXPORTER = """
import sys
from pathlib import Path
from outreach_assets.steps.private_duckdb import DiskFullError
from tests.given import a_duck, export_judged, given_raw, judge_raw
from outreach_assets.tables.catalogue import TABLES
home, spill = Path(sys.argv[1]), Path(sys.argv[2])
exports = home / "exports"
ballast = home / "ballast"
ballast.write_bytes(bytes(7 << 20))
with a_duck(spill) as duck:
    judged = judge_raw(duck, [], [], ("PA", "WV"))
    duck.execute(
        "INSERT INTO companies_raw BY NAME SELECT 'c' || n AS company_unique_id, 'x' AS "
        "company_name, 'a.b' AS website_url, 'WV' AS outreach_state, "
        "sha256(n::VARCHAR) AS description FROM range(150000) AS t(n)")
    for view in ("companies_good", "companies_bad", "people_good", "people_bad"):
        duck.execute(f"DROP VIEW {view}")
    from outreach_assets.steps.validate import split_rows
    from dataclasses import replace
    judged = replace(judged, verdicts=split_rows(duck, TABLES, judged.states))
    try:
        export_judged(duck, judged, exports)
    except DiskFullError as error:
        print("full:", error)
    left = [p.name for p in exports.rglob("*") if p.is_file() and not p.stat().st_size]
    print("left:", left, list(exports.rglob("*.json")), list(exports.rglob("*.part")))
    ballast.unlink()
    again = export_judged(duck, judged, exports)
    print("then:", {s: m.rows("companies", "good") for s, m in again.items()})
"""


@pytest.mark.slow
def test_a_full_disk_is_named_and_leaves_nothing_half(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    assert unshare, "unshare is part of util-linux"
    home = tmp_path / "home"
    home.mkdir()
    script = f"mount -t tmpfs -o size=9m tmpfs '{home}' && exec '{sys.executable}' - '{home}' "
    done = subprocess.run(
        [unshare, "--mount", "--map-root-user", "sh", "-c", f"{script} '{tmp_path}'"],
        input=EXPORTER,
        cwd=PROJECT,
        env={"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    full, left, then = done.stdout.splitlines()
    assert full.startswith("full: no room left under")
    assert "OUTREACH_HOME" in full
    assert left == "left: [] [] []"
    assert then == "then: {'PA': 0, 'WV': 150000}"
