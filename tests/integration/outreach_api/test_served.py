"""The real server over HTTP, with a folder of its own and with an S3 server."""

import hashlib
import hmac
import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import requests

from b2_resources.keys import task_input_key, task_output_key
from b2_resources.local_store import LocalStore
from b2_resources.object_store import ObjectStore
from b2_resources.s3_store import S3Store
from outreach_assets.command_line.part_client import PartSender
from outreach_assets.command_line.task_client import Moved, TaskClient
from outreach_core.postgres import Postgres
from outreach_core.task_changes import claim_task, complete_task
from outreach_core.tasks import TaskOutput
from outreach_core.users import add_user
from tests.servers.outreach_dev import until
from tests.servers.outreach_serve import outreach_serve
from tests.servers.rclone_s3 import BUCKET, REGION, RcloneS3

EVENT_SECRET = "0123456789abcdef" * 2
BODY = b"name,email\nAda,ada@example.test\n" * 40_000


@dataclass(frozen=True, kw_only=True)
class Served:
    """A server that runs, the store behind it, and two users' sessions."""

    url: str
    store: ObjectStore
    postgres: Postgres
    anna: requests.Session
    bob: requests.Session
    anna_id: str

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.anna.request(method, self.url + path, timeout=60, **more)

    def signed(self, body: bytes) -> tuple[str, dict[str, Any]]:
        """A task's id, and where to send these bytes."""
        primary = {"filename": "leads.csv", "size_bytes": len(body)}
        wanted = {"tool_id": "profile-my-data", "inputs": {"primary": primary}}
        task_id = str(self.ask("POST", "/tasks", json=wanted).json()["id"])
        said = self.ask("POST", f"/tasks/{task_id}/upload-urls").json()
        return task_id, said["uploads"][0]


@pytest.fixture(scope="module", params=["local", "s3"])
def served(
    request: pytest.FixtureRequest, migrated: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("served") / "home"
    sessions, users = [], (f"anna-{uuid4().hex[:8]}", f"bob-{uuid4().hex[:8]}")
    for user in users:
        with migrated.connect() as connection:
            token = add_user(connection, user, is_operator=False, now=datetime.now(UTC)).token
        sessions.append(requests.Session())
        sessions[-1].headers["authorization"] = f"Bearer {token}"
    variables = {
        "NEON_CONNECTION_STRING": migrated.url,
        "NEON_SSLMODE": "disable",
        "OUTREACH_OPEN_TASKS": "10000",
        "OUTREACH_REQUESTS_PER_MINUTE": "100000",
    }
    with RcloneS3(tmp_path_factory.mktemp("buckets")) as rclone:
        store: ObjectStore = LocalStore(home / "store")
        if request.param == "s3":
            store = S3Store(rclone.config())
            variables |= {
                "B2_ENDPOINT": rclone.endpoint,
                "B2_REGION": REGION,
                "B2_KEY_ID": rclone.key_id,
                "B2_APPLICATION_KEY": rclone.application_key,
                "B2_BUCKET": BUCKET,
                "OUTREACH_B2_EVENT_SECRET": EVENT_SECRET,
            }
        with outreach_serve(home, variables, workers=1 if request.param == "s3" else 2) as url:
            anna, bob = sessions
            yield Served(
                url=url, store=store, postgres=migrated, anna=anna, bob=bob, anna_id=users[0]
            )
    for session in sessions:
        session.close()


def test_the_whole_way_over_http(served: Served) -> None:
    task_id, upload = served.signed(BODY)
    sent = requests.put(upload["url"], data=BODY, headers=upload["headers"], timeout=60)
    assert sent.status_code == 200, sent.text
    queued = served.ask("POST", f"/tasks/{task_id}/process")
    assert (queued.status_code, queued.json()["status"]) == (202, "QUEUED")
    with served.postgres.connect() as connection:
        task = claim_task(connection, task_id, run_id="run-1", now=datetime.now(UTC))
        assert task is not None
        md5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
        pinned = {hashlib.sha256(BODY).hexdigest(), f'"{md5}"'}
        assert {task.inputs[0].sha256, task.inputs[0].version} & pinned
        put = served.store.put_bytes(task_output_key(task.user_id, task.id, "report.json"), b"{}")
        output = TaskOutput(
            name="report.json",
            content_type="application/json",
            size_bytes=2,
            sha256=str(put.sha256),
        )
        complete_task(connection, task, [output], now=datetime.now(UTC))
    assert served.ask("GET", f"/tasks/{task_id}/report").json() == {}
    (download,) = served.ask("GET", f"/tasks/{task_id}/downloads").json()["downloads"]
    got = requests.get(download["url"], timeout=60)
    assert (got.content, "filename*" in got.headers["content-disposition"]) == (b"{}", True)
    theirs = served.bob.get(f"{served.url}/tasks/{task_id}", timeout=60)
    never = served.bob.get(f"{served.url}/tasks/{task_id[::-1]}", timeout=60)
    assert (theirs.status_code, theirs.text) == (404, never.text)


@pytest.mark.slow
def test_a_signed_url_is_for_these_bytes_alone(served: Served) -> None:
    task_id, upload = served.signed(BODY)
    key = task_input_key(served.anna_id, task_id, "primary")
    url, headers = upload["url"], upload["headers"]

    def put(url: str, body: bytes, **other: str) -> int:
        sent = {**headers, "content-length": str(len(body)), **other}
        return requests.put(url, data=body, headers=sent, timeout=60).status_code

    refused = {
        put(url, BODY + b"x"),
        put(url, BODY[:-1]),
        put(url, BODY, **{"content-type": "text/html"}),
        put(url.replace("primary.csv", "baseline.csv"), BODY),
        put(url.replace(task_id, "0" * 36), BODY),
        requests.get(url, timeout=60).status_code,
        requests.delete(url, timeout=60).status_code,
    }
    assert refused <= {400, 403, 405, 411}
    assert key not in {found.key for found in served.store.list_objects("users/")}
    assert put(url, BODY) == 200
    assert served.store.head(key).size_bytes == len(BODY)


@pytest.mark.slow
def test_an_upload_that_breaks_off_leaves_nothing(served: Served) -> None:
    if isinstance(served.store, S3Store):
        return  # the bucket's own business
    task_id, upload = served.signed(BODY)
    at = urlsplit(upload["url"])
    with socket.create_connection((str(at.hostname), at.port or 80)) as connection:
        head = f"PUT {at.path}?{at.query} HTTP/1.1\r\nhost: {at.netloc}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in upload["headers"].items())
        connection.sendall(head.encode() + b"\r\n" + BODY[: len(BODY) // 2])
    said = served.ask("POST", f"/tasks/{task_id}/process").json()
    assert said["error_code"] == "FILES_NOT_FOUND"
    assert served.ask("POST", f"/tasks/{task_id}/cancel").status_code == 200


def test_an_event_of_the_bucket_makes_a_task_of_what_was_dropped(served: Served) -> None:
    key = f"users/{served.anna_id}/inbox/profile-my-data/dropped.csv"
    event = {"eventType": "b2:ObjectCreated:Upload", "bucketName": BUCKET, "objectName": key}
    body = json.dumps({"events": [event]}).encode()
    signature = hmac.new(EVENT_SECRET.encode(), body, "sha256").hexdigest()

    def told() -> int:
        headers = {"x-bz-event-notification-signature": f"v1={signature}"}
        url = f"{served.url}/b2/events"
        return requests.post(url, data=body, headers=headers, timeout=60).status_code

    if not isinstance(served.store, S3Store):
        assert told() == 401  # a folder tells nobody
        return
    served.store.put_bytes(key, BODY)
    assert {told() for _ in range(3)} == {200}

    def dropped() -> list[dict[str, Any]]:
        found = served.ask("GET", "/tasks").json()["tasks"]
        return [one for one in found if one["inputs"][0]["filename"] == "dropped.csv"]

    until(lambda: bool(dropped()), seconds=60, what="a task of the drop")
    until(lambda: not list(served.store.list_objects(key)), seconds=60, what="an empty inbox")
    (task,) = dropped()
    assert (task["status"], task["tool_id"]) == ("QUEUED", "profile-my-data")


@pytest.mark.slow
def test_the_figures_are_of_all_processes(served: Served) -> None:
    with served.postgres.connect() as connection:
        name = f"ops-{uuid4().hex[:8]}"
        token = add_user(connection, name, is_operator=True, now=datetime.now(UTC)).token
    for asked in range(10):  # a connection each, so that each process gets some
        headers = {"authorization": f"Bearer {token}", "connection": "close"}
        text = requests.get(f"{served.url}/metrics", headers=headers, timeout=60).text
        found = re.search(r'requests_total{method="GET",route="/metrics",status="200"} (\d+)', text)
        assert int(found[1] if found else 0) == asked


def hand_in(served: Served, number: int) -> str:
    """A small file of one client, from the first request to the last: the task's status."""
    body = b"a\n%d\n" % number
    with requests.Session() as session:
        session.headers["authorization"] = str(served.anna.headers["authorization"])
        primary = {"filename": "f", "size_bytes": len(body)}
        wanted = {"tool_id": "profile-my-data", "inputs": {"primary": primary}}
        made = session.post(f"{served.url}/tasks", json=wanted, timeout=60)
        url = f"{served.url}/tasks/{made.json()['id']}"
        (upload,) = session.post(f"{url}/upload-urls", timeout=60).json()["uploads"]
        requests.put(upload["url"], data=body, headers=upload["headers"], timeout=60)
        return str(session.post(f"{url}/process", timeout=60).json()["status"])


@pytest.mark.slow
def test_more_tasks_than_by_default_are_open_where_a_setting_allows_them(served: Served) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: hand_in(served, number), range(101)))
    assert set(found) == {"QUEUED"}


@pytest.mark.slow
def test_five_hundred_tasks_of_32_clients_are_all_taken(served: Served) -> None:
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda number: hand_in(served, number), range(500)))
    assert found == ["QUEUED"] * 500


@dataclass
class Interrupted:
    """Breaks off after so many bytes, as Ctrl-C does; counts them all."""

    after_bytes: float
    moved: int = 0

    def __call__(self, more: int) -> None:
        self.moved += more
        if self.moved > self.after_bytes:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_large_file_is_gone_on_with_after_a_break(served: Served, tmp_path: Path) -> None:
    path, block = tmp_path / "large.csv", b"name,email\nAda,ada@example.test\n" * 32_768
    path.write_bytes(block * 120)
    token = str(served.anna.headers["authorization"]).removeprefix("Bearer ")
    client = TaskClient(url=served.url, token=token)
    task_id = client.create("profile-my-data", {"primary": path}, {})["id"]

    def send(moved: Moved) -> None:
        PartSender(client=client, task_id=task_id, name="primary", path=path, moved=moved).send()

    size = path.stat().st_size
    with pytest.raises(KeyboardInterrupt):
        send(Interrupted(after_bytes=size * 0.6))
    arrived = client.ask("GET", f"/tasks/{task_id}/uploads/primary")["arrived"]
    assert arrived
    gone_on = Interrupted(after_bytes=float("inf"))
    send(gone_on)
    assert gone_on.moved == size
    assert client.process(task_id)["status"] == "QUEUED"
    stored = served.store.stream(task_input_key(served.anna_id, task_id, "primary"))
    proof = hashlib.sha256()
    for got in stored:
        proof.update(got)
    assert proof.hexdigest() == hashlib.sha256(block * 120).hexdigest()
