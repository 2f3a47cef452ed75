"""Runs that are executed whole by a Celery worker, set up as docs/many_workers.md says."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.neon import POSTGRES_FOLDER
from tests.end_to_end.conftest import CHAIN
from tests.end_to_end.published import audit_rows
from tests.end_to_end.test_task_journey import outreach
from tests.given import a_company, a_person, given_rows
from tests.servers.many_workers import ManyWorkers
from tests.servers.outreach_dev import ENDED, RUN_SECONDS, until

pytestmark = [
    pytest.mark.xdist_group("dagster"),
    pytest.mark.slow,
    pytest.mark.redis,
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManyWorkers]:
    home = tmp_path_factory.mktemp("many") / "home"
    with EmbeddedPostgres(home / POSTGRES_FOLDER) as embedded:
        given_rows(
            embedded.ensure_running(),
            [a_company(), a_company("c2", address_state="PA")],
            [a_person()],
        )
    with ManyWorkers(home) as running:
        yield running


def was_forwarded(many: ManyWorkers, run_id: str) -> bool:
    """Whether Celery had it."""
    return any("forwarded to the broker" in (e.get("message") or "") for e in many.events(run_id))


def test_a_worker_publishes_a_state(many: ManyWorkers) -> None:
    run = many.launch_run(CHAIN, {"dagster/partition": "WV"})
    assert many.ended_run(run) == "SUCCESS"
    assert was_forwarded(many, run)
    with EmbeddedPostgres(many.home / POSTGRES_FOLDER) as embedded:
        (row,) = audit_rows(embedded.ensure_running(), run)
    assert (row["state"], row["status"]) == ("WV", "published")


def test_a_worker_does_a_task(many: ManyWorkers, tmp_path: Path) -> None:
    leads = tmp_path / "leads.csv"
    leads.write_text("name,state\nAcme,WV\nBolt,PA\n")
    token = outreach(many.home, "users", "add", "anna")["token"]
    own = {"OUTREACH_API_URL": many.api_url, "OUTREACH_API_TOKEN": token}
    words = ("tasks", "submit", leads, "--tool", "profile-my-data", "--wait")
    task = outreach(many.home, *words, **own)
    assert task["status"] == "COMPLETED"
    assert was_forwarded(many, task["run_id"])
    outreach(many.home, "tasks", "download", task["id"], "--out", tmp_path / "results", **own)
    report = json.loads((tmp_path / "results/data_profile_report.json").read_bytes())
    assert report["table"]["rows"] == 2


def test_a_run_whose_worker_process_is_killed_is_run_again(many: ManyWorkers) -> None:
    many.launch_run(CHAIN, {"dagster/partition": "PA", "killed": "yes"})

    def started() -> bool:
        return many.runs(killed="yes")[0]["status"] == "STARTED"

    until(started, seconds=120, what="the run to begin")
    assert many.worker is not None
    (child,) = Path(f"/proc/{many.worker.pid}/task/{many.worker.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)

    def ended() -> list[str]:
        found = [run["status"] for run in many.runs(killed="yes")]
        return found if len(found) == 2 and set(found) <= ENDED else []

    assert until(ended, seconds=RUN_SECONDS, what="the second run") == ["SUCCESS", "FAILURE"]
