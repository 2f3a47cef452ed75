"""From /process to PROCESSING: by a warm Celery worker, and by Dagster's own launcher.

Read from the task's own history, so it is what a user sees. Each task is handed in when the one
before it has ended. Needs redis-server.

    python -m bench.many_workers --tasks 5
"""

import argparse
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path

import requests

from tests.end_to_end.test_task_journey import outreach
from tests.servers.many_workers import ManyWorkers

LEADS = b"name,state\nAcme,WV\nBolt,PA\n"


def seconds_until_processing(api_url: str, session: requests.Session) -> float:
    primary = {"filename": "leads.csv", "size_bytes": len(LEADS)}
    wanted = {"tool_id": "profile-my-data", "inputs": {"primary": primary}}
    made = session.post(f"{api_url}/tasks", json=wanted, timeout=60)
    url = f"{api_url}/tasks/{made.json()['id']}"
    (upload,) = session.post(f"{url}/upload-urls", timeout=60).json()["uploads"]
    requests.put(upload["url"], data=LEADS, headers=upload["headers"], timeout=60)
    session.post(f"{url}/process", timeout=60).raise_for_status()
    while (task := session.get(url, timeout=60).json())["ended_at"] is None:
        time.sleep(0.5)
    began = {one["status"]: datetime.fromisoformat(one["changed_at"]) for one in task["history"]}
    return (began["PROCESSING"] - began["QUEUED"]).total_seconds()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=5)
    asked = parser.parse_args()
    for name, is_warm in (("a warm worker", True), ("Dagster's own launcher", False)):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "home"
            with ManyWorkers(home, is_warm=is_warm) as many, requests.Session() as session:
                token = outreach(home, "users", "add", "anna")["token"]
                session.headers["authorization"] = f"Bearer {token}"
                first = seconds_until_processing(many.api_url, session)
                took = [seconds_until_processing(many.api_url, session) for _ in range(asked.tasks)]
        print(
            f"{name:<23} the first {first:.1f} s, then median {statistics.median(took):.1f} s, "
            f"longest {max(took):.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
