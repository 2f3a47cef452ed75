"""A disk that is really full: a small tmpfs in a mount namespace of this test's own."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
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


def on_a_small_disk(
    tmp_path: Path, program: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The program, with a folder of 9 MB and a large one for its arguments."""
    unshare = shutil.which("unshare")
    assert unshare, "unshare is part of util-linux"
    home = tmp_path / "home"
    home.mkdir()
    script = f"mount -t tmpfs -o size=9m tmpfs '{home}' && exec '{sys.executable}' - '{home}' "
    done = subprocess.run(
        [unshare, "--mount", "--map-root-user", "sh", "-c", f"{script} '{tmp_path}'"],
        input=program,
        cwd=PROJECT,
        env={"PYTHONPATH": str(PROJECT), **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_a_full_disk_is_named_and_leaves_nothing_half(tmp_path: Path) -> None:
    done = on_a_small_disk(tmp_path, EXPORTER)
    full, left, then = done.stdout.splitlines()
    assert full.startswith("full: no room left under")
    assert "OUTREACH_HOME" in full
    assert left == "left: [] [] []"
    assert then == "then: {'PA': 0, 'WV': 150000}"


# Restores more than fits, first with room that is there only for who asks, then after making room.
RESTORER = """
import shutil, sys
from dataclasses import replace
from pathlib import Path
from outreach_assets.steps.backups.restore import Restore
from outreach_assets.steps.backups.restore_folder import CannotWriteError
from outreach_core.audit import command_event
from outreach_core.settings import load_settings
from tests.backups import Quiet, hashes_below
full, kept = Path(sys.argv[1]), Path(sys.argv[2]) / "backups/docs/files"
ballast = full / "ballast"
ballast.write_bytes(bytes(5 << 20))
for number in range(8):
    path = kept / f"f{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes([number]) * (1 << 20))
restore = Restore(
    postgres=None, settings=load_settings(), folder_id="docs", to=full / "back",
    progress=Quiet(), event=command_event)
try:
    restore.run()
except CannotWriteError as error:
    print("refused:", error, list(full.iterdir()) == [ballast])
real = shutil.disk_usage
shutil.disk_usage = lambda path: real(path)._replace(free=1 << 40)
done = restore.run()
shutil.disk_usage = real
whole = hashes_below(kept).items()
print("full:", set(done.damaged["local"].values()), hashes_below(full / "back").items() <= whole)
ballast.unlink()
then = restore.run()
print("then:", then.is_done, then.there > 0, hashes_below(full / "back").items() == whole)
"""


@pytest.mark.slow
def test_a_restore_onto_a_full_disk_is_refused_and_one_that_fills_it_leaves_nothing_half(
    tmp_path: Path,
) -> None:
    done = on_a_small_disk(tmp_path, RESTORER, env={"OUTREACH_HOME": str(tmp_path)})
    refused, full, then = done.stdout.splitlines()
    assert refused.startswith("refused: 8,388,608 bytes are to come into")
    assert refused.endswith("True")
    assert "disk space" in full
    assert full.endswith("True")
    assert then == "then: True True True"
