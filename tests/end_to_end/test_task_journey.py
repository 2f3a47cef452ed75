"""A file handed in as the README says: `outreach dev`, its API, and `outreach tasks`."""

import json
import os
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.servers.outreach_dev import OutreachDev, clean_environment


def outreach(home: Path, *words: str | Path, **variables: str) -> Mapping[str, Any]:
    """What the command says."""
    done = subprocess.run(
        [Path(sysconfig.get_path("scripts")) / "outreach", *words, "--json"],
        env={**clean_environment(home), **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_a_file_is_handed_in_and_its_report_comes_back_through_one_run(tmp_path: Path) -> None:
    home, leads = tmp_path / "home", tmp_path / "leads.csv"
    leads.write_text("name,state\n" + "".join(f"Acme {n},WV\n" for n in range(100)))
    with OutreachDev(home) as dev:
        added = outreach(home, "users", "add", "anna")
        own = {
            "OUTREACH_API_URL": f"http://127.0.0.1:{dev.api_port}",
            "OUTREACH_API_TOKEN": added["token"],
        }
        words = ("tasks", "submit", leads, "--tool", "profile-my-data", "--wait")
        task = outreach(home, *words, **own)
        assert task["status"] == "COMPLETED", os.linesep.join([str(task), dev.log.read_text()])
        (run,) = dev.runs(outreach_task=task["id"])
        assert dev.ended_run(run["id"]) == "SUCCESS"
        assert task["run_id"] == run["id"]
        tags = {tag["key"] for tag in run["tags"]}
        assert "dagster/sensor_name" not in tags  # pushed by the API, not swept
        results = tmp_path / "results"
        outreach(home, "tasks", "download", task["id"], "--out", results, **own)
    report = json.loads((results / "data_profile_report.json").read_bytes())
    assert report["table"]["rows"] == 100
