"""Many tasks of many clients at once, from the first request to the results, by real processes."""

import csv
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from outreach_core.users import add_token
from tests.integration.outreach_assets.tools.task_at_hand import TasksAtHand, clock
from tests.servers.outreach_serve import outreach_serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TASKS, CLIENTS, WORKERS = 100, 32, 3
"""A task is half a second of CPU, which is the start of its tool."""

ALL_THE_WAY = ["CREATED", "UPLOADING", "QUEUED", "PROCESSING", "COMPLETED"]


@contextmanager
def workers(tasks: TasksAtHand, count: int) -> Iterator[None]:
    """Processes that work on whatever waits, as the op in a run does."""
    asked = {"conninfo": tasks.postgres.conninfo, "home": str(tasks.home), "moment": ""}
    words = [sys.executable, "-m", "tests.faults.task_worker", json.dumps(asked)]
    started = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for worker in started:
            worker.communicate()
    assert [worker.returncode for worker in started] == [0] * count


@contextmanager
def api(tasks: TasksAtHand) -> Iterator[str]:
    variables = {
        "NEON_CONNECTION_STRING": tasks.postgres.url,
        "NEON_SSLMODE": "disable",
        "OUTREACH_OPEN_TASKS": "10000",
        "OUTREACH_REQUESTS_PER_MINUTE": "100000",
    }
    with outreach_serve(tasks.home, variables, workers=2) as url:
        yield url


def brought_back(url: str, token: str, number: int) -> tuple[list[str], list[str]]:
    """A person handed in and judged: who comes back as good, and the statuses on the way."""
    body = f"unique_id,company_unique_id,email,title\np{number},c1,a@b.example,CFO\n".encode()
    with requests.Session() as session:
        session.headers["authorization"] = f"Bearer {token}"
        primary = {"filename": "people.csv", "size_bytes": len(body)}
        wanted = {"tool_id": "validate-outreach", "inputs": {"primary": primary}}
        made = session.post(f"{url}/tasks", json=wanted, timeout=60).json()
        task = f"{url}/tasks/{made['id']}"
        (upload,) = session.post(f"{task}/upload-urls", timeout=60).json()["uploads"]
        requests.put(upload["url"], data=body, headers=upload["headers"], timeout=60)
        session.post(f"{task}/process", timeout=60).raise_for_status()
        while (told := session.get(task, timeout=60).json())["ended_at"] is None:
            time.sleep(1)  # thirty-two that ask oftener would be the load
        downloads = session.get(f"{task}/downloads", timeout=60).json()["downloads"]
        got = {one["name"]: session.get(one["url"], timeout=60).content for one in downloads}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in got.items()}
    assert hashes == {one["name"]: one["sha256"] for one in downloads}
    good = [row["unique_id"] for row in csv.DictReader(got["good.csv"].decode().splitlines())]
    return good, [one["status"] for one in told["history"]]


def test_each_comes_back_to_its_own_client_with_its_own_rows(tasks: TasksAtHand) -> None:
    with tasks.postgres.connect() as connection:
        token = add_token(connection, "anna", now=clock()).token
    with api(tasks) as url, workers(tasks, WORKERS), ThreadPoolExecutor(CLIENTS) as pool:
        found = list(pool.map(lambda number: brought_back(url, token, number), range(TASKS)))
    assert found == [([f"p{number}"], ALL_THE_WAY) for number in range(TASKS)]
