"""A file handed in as the README says: `outreach dev`, its API, and `outreach tasks`."""

import json
import os
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from b2_resources.build_store import STORE_FOLDER
from tests.servers.outreach_dev import OutreachDev, clean_environment, until

DROPPED_SECONDS = 600
"""A look a minute, a run that takes the file in, the sweep, a run that works on it."""


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


LEADS = "name,state\n" + "".join(f"Acme {n},WV\n" for n in range(100))


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutreachDev]:
    with OutreachDev(tmp_path_factory.mktemp("journey") / "home") as running:
        yield running


def own_token(dev: OutreachDev, user: str) -> Mapping[str, str]:
    """The variables of a new user."""
    added = outreach(dev.home, "users", "add", user)
    return {
        "OUTREACH_API_URL": f"http://127.0.0.1:{dev.api_port}",
        "OUTREACH_API_TOKEN": added["token"],
    }


@pytest.mark.slow
def test_a_file_is_handed_in_and_its_report_comes_back_through_one_run(
    dev: OutreachDev, tmp_path: Path
) -> None:
    home, leads = dev.home, tmp_path / "leads.csv"
    leads.write_text(LEADS)
    own = own_token(dev, "anna")
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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_file_dropped_into_an_inbox_is_worked_on_without_being_asked_for(
    dev: OutreachDev,
) -> None:
    own = own_token(dev, "bob")
    folder = dev.home / STORE_FOLDER / "users/bob/inbox/profile-my-data"
    folder.mkdir(parents=True)
    (folder / "leads.csv").write_text(LEADS)
    (task,) = until(
        lambda: outreach(dev.home, "tasks", "list", "--status", "COMPLETED", **own)["tasks"],
        seconds=DROPPED_SECONDS,
        what="a completed task of the drop",
    )
    assert task["inputs"][0]["filename"] == "leads.csv"
    assert list(folder.iterdir()) == []
    assert len(outreach(dev.home, "tasks", "list", **own)["tasks"]) == 1
