"""Tasks over HTTP, in process: the journey, refusals, limits, what is said twice."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from b2_resources.keys import task_input_key, task_output_key
from outreach_api.callers import REMEMBERED
from outreach_core.errors import RetryableError
from outreach_core.postgres import Postgres
from outreach_core.postgres_pool import PostgresPool
from outreach_core.task_changes import claim_task, complete_task, fail_task
from outreach_core.task_sweep import expire_tasks
from outreach_core.tasks import Task, TaskOutput
from outreach_core.users import revoke_tokens
from tests.integration.outreach_api.in_process import Api, Pushes, a_request
from tests.servers.pgbouncer import pgbouncer

REPORT = "data_profile_report.json"


def code(said: httpx.Response) -> tuple[int, str]:
    assert set(said.json()) == {"detail", "error_code", "context"}, said.text
    return said.status_code, said.json()["error_code"]


def claimed(api: Api, task_id: str) -> Task:
    with api.given.database.connect() as connection:
        task = claim_task(connection, task_id, run_id="run-1", now=api.given.now())
    assert task is not None
    return task


def completed(api: Api) -> str:
    task_id = str(api.task()["id"])
    api.upload(task_id)
    assert api.ask("POST", f"/tasks/{task_id}/process").status_code == 202
    stored = api.given.store.put_bytes(task_output_key("anna", task_id, REPORT), b'{"rows": 1}')
    output = TaskOutput(
        name=REPORT,
        content_type="application/json",
        size_bytes=stored.size_bytes,
        sha256=str(stored.sha256),
    )
    task = claimed(api, task_id)
    with api.given.database.connect() as connection:
        complete_task(connection, task, [output], now=api.given.now())
    return task_id


def test_a_file_is_handed_in_and_its_report_comes_back(api: Api) -> None:
    task_id = completed(api)
    shown = api.ask("GET", f"/tasks/{task_id}").json()
    assert (shown["status"], shown["progress"], shown["error"]) == ("COMPLETED", 100, None)
    assert len(shown["inputs"][0]["sha256"]) == 64
    assert [entry["status"] for entry in shown["history"]] == [
        *("CREATED", "UPLOADING", "QUEUED", "PROCESSING", "COMPLETED")
    ]
    assert api.pushed == [task_id]
    (download,) = api.ask("GET", f"/tasks/{task_id}/downloads").json()["downloads"]
    got = api.ask("GET", download["url"], None)
    assert (got.content, got.headers["content-type"]) == (b'{"rows": 1}', "application/json")
    assert REPORT in got.headers["content-disposition"]
    sent_on = api.ask("GET", f"/tasks/{task_id}/report")
    assert sent_on.status_code == 307
    assert api.ask("GET", sent_on.headers["location"], None).json() == {"rows": 1}
    assert code(api.ask("GET", f"/tasks/{task_id}/report?format=html")) == (404, "REPORT_NOT_FOUND")
    events = api.ask("GET", f"/tasks/{task_id}/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    assert json.loads(events.text.split("data: ")[1])["status"] == "COMPLETED"
    assert api.ask("DELETE", f"/tasks/{task_id}").status_code == 204
    assert code(api.ask("GET", f"/tasks/{task_id}")) == (404, "TASK_NOT_FOUND")
    assert list(api.given.store.list_objects("users/")) == []


def test_progress_is_streamed_until_the_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outreach_api.event_routes.LOOK_EVERY_SECONDS", 0.01)
    task_id = api.task()["id"]

    async def watch(client: httpx.AsyncClient) -> str:
        url, bearer = f"/tasks/{task_id}", api.bearer("anna")
        stream = asyncio.create_task(client.get(f"{url}/events", headers=bearer))
        await client.post(f"{url}/upload-urls", headers=bearer)
        await asyncio.sleep(0.1)
        await client.post(f"{url}/cancel", headers=bearer)
        return (await stream).text

    said = [json.loads(event.split("data: ")[1]) for event in api.all(watch).split("\n\n") if event]
    assert said[-1]["status"] == "CANCELLED"
    assert len(said) == len({event["status"] for event in said})


def test_without_a_token_there_is_only_health_and_documentation(api: Api) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert api.ask("GET", path, None).status_code == 200, path
    for path in ("/tasks", "/tools", "/metrics", "/nothing", "/tasks/x/events"):
        assert code(api.ask("GET", path, None)) == (401, "UNAUTHORIZED"), path
    for wrong in ("", "Bearer", "Bearer ", "Bearer ow_x", f"Basic {api.tokens['anna']}"):
        said = api.ask("GET", "/tasks", None, headers={"authorization": wrong})
        assert code(said) == (401, "UNAUTHORIZED")
        assert said.headers["www-authenticate"] == "Bearer"


@pytest.mark.slow
def test_two_thousand_requests_for_tasks_of_others_find_nothing(api: Api) -> None:
    task_id = completed(api)
    open_id = api.task()["id"]
    ways = [
        *(("GET", way) for way in ("", "/downloads", "/report", "/events")),
        *(("POST", way) for way in ("/upload-urls", "/process", "/cancel", "/retry")),
        ("DELETE", ""),
    ]
    before = [api.ask("GET", f"/tasks/{one}").json() for one in (task_id, open_id)]
    never = "00000000-0000-4000-8000-000000000000"
    asked = [(m, f"/tasks/{one}{w}") for m, w in ways for one in (task_id, open_id, never)]
    asked = (asked * 75)[:2000]

    async def storm(client: httpx.AsyncClient) -> set[tuple[int, str]]:
        waiting = iter(asked)

        async def one() -> set[tuple[int, str]]:
            bob = api.bearer("bob")
            return {
                (said.status_code, said.text)
                for method, path in waiting
                for said in [await client.request(method, path, headers=bob)]
            }

        return set().union(*await asyncio.gather(*(one() for _ in range(8))))

    ((status, text),) = api.all(storm)
    assert (status, json.loads(text)["error_code"]) == (404, "TASK_NOT_FOUND")
    assert [api.ask("GET", f"/tasks/{one}").json() for one in (task_id, open_id)] == before
    assert api.ask("GET", "/tasks", "bob").json() == {"tasks": [], "next_cursor": None}


def test_a_list_goes_on_where_its_cursor_says(api: Api) -> None:
    made = [api.task()["id"] for _ in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        page = api.ask("GET", f"/tasks?limit=2{cursor and '&cursor=' + cursor}").json()
        seen += [task["id"] for task in page["tasks"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]
    api.ask("POST", f"/tasks/{made[0]}/cancel")
    found = api.ask("GET", "/tasks?status=CANCELLED&tool_id=profile").json()["tasks"]
    assert [task["id"] for task in found] == [made[0]]
    for wrong in ("x", "WzEsMl0=", "WyIyMDI2LTAxLTAxIiwgIngiXQ==", "bnVsbA=="):
        assert code(api.ask("GET", f"/tasks?cursor={wrong}")) == (400, "INVALID_CURSOR")


def test_parallel_posts_with_one_key_make_one_task(api: Api) -> None:
    headers = {**api.bearer("anna"), "idempotency-key": "k1"}

    async def storm(client: httpx.AsyncClient) -> list[httpx.Response]:
        posts = [client.post("/tasks", json=a_request(), headers=headers) for _ in range(16)]
        return await asyncio.gather(*posts)

    said = api.all(storm)
    assert {(one.status_code, one.text) for one in said} == {(201, said[0].text)}
    assert len(api.ask("GET", "/tasks").json()["tasks"]) == 1
    other = a_request(parameters={"top": 1})
    key = {"idempotency-key": "k1"}
    reused = api.ask("POST", "/tasks", json=other, headers=key)
    assert code(reused) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert api.ask("POST", "/tasks", "bob", json=other, headers=key).status_code == 201


def test_parallel_process_with_one_key_queues_and_pushes_once(api: Api) -> None:
    task_id = api.task()["id"]
    api.upload(task_id)
    headers = {**api.bearer("anna"), "idempotency-key": "k1"}

    async def storm(client: httpx.AsyncClient) -> list[httpx.Response]:
        posts = [client.post(f"/tasks/{task_id}/process", headers=headers) for _ in range(8)]
        return await asyncio.gather(*posts)

    assert {(one.status_code, one.json()["status"]) for one in api.all(storm)} == {(202, "QUEUED")}
    assert api.pushed == [task_id]
    said = api.ask("POST", f"/tasks/{task_id}/process")
    assert code(said) == (409, "TASK_ALREADY_PROCESSING")
    assert api.ask("POST", f"/tasks/{task_id}/cancel").json()["status"] == "CANCELLED"
    assert code(api.ask("POST", f"/tasks/{task_id}/cancel")) == (409, "TASK_NOT_CANCELLABLE")


def test_a_queue_that_cannot_be_reached_leaves_the_task_to_the_sweep(api: Api) -> None:
    assert isinstance(api.given.queue, Pushes)
    api.given.queue.fails = RetryableError("Dagster does not answer")
    task_id = api.task()["id"]
    api.upload(task_id)
    assert api.ask("POST", f"/tasks/{task_id}/process").json()["status"] == "QUEUED"


def test_what_was_not_uploaded_is_not_processed(api: Api) -> None:
    task_id = api.task()["id"]
    process = f"/tasks/{task_id}/process"
    assert code(api.ask("POST", process)) == (400, "FILES_NOT_FOUND")
    api.ask("POST", f"/tasks/{task_id}/upload-urls")
    said = api.ask("POST", process)
    assert code(said) == (400, "FILES_NOT_FOUND")
    assert said.json()["context"] == {"files": ["primary"]}
    api.ahead = timedelta(minutes=16)
    for _ in range(2):
        assert code(api.ask("POST", process)) == (400, "UPLOAD_URLS_EXPIRED")
        urls = api.ask("POST", f"/tasks/{task_id}/upload-urls")
        assert code(urls) == (400, "UPLOAD_URLS_EXPIRED")
        with api.given.database.connect() as connection:
            expire_tasks(connection, now=api.given.now())
    assert api.ask("GET", f"/tasks/{task_id}").json()["status"] == "EXPIRED"


def test_other_bytes_than_announced_fail_the_upload_until_they_are_sent_again(api: Api) -> None:
    task_id = api.task()["id"]
    api.upload(task_id)
    api.given.store.put_bytes(task_input_key("anna", task_id, "primary"), b"longer than was said")
    assert code(api.ask("POST", f"/tasks/{task_id}/process")) == (400, "FILES_DIFFER")
    shown = api.ask("GET", f"/tasks/{task_id}").json()
    assert (shown["status"], shown["error"]["error_code"]) == ("UPLOAD_FAILED", "FILES_DIFFER")
    assert code(api.ask("POST", f"/tasks/{task_id}/process")) == (409, "TASK_NOT_PROCESSABLE")
    api.upload(task_id)
    assert api.ask("POST", f"/tasks/{task_id}/process").json()["status"] == "QUEUED"


def test_a_failed_task_says_why_and_is_tried_again(api: Api) -> None:
    task_id = api.task()["id"]
    api.upload(task_id)
    api.ask("POST", f"/tasks/{task_id}/process")
    assert code(api.ask("POST", f"/tasks/{task_id}/retry")) == (409, "TASK_NOT_RETRYABLE")
    assert code(api.ask("DELETE", f"/tasks/{task_id}")) == (409, "TASK_NOT_DELETABLE")
    assert code(api.ask("GET", f"/tasks/{task_id}/downloads")) == (409, "TASK_NOT_COMPLETED")
    task = claimed(api, task_id)
    with api.given.database.connect() as connection:
        fail_task(connection, task, code="RAGGED", detail="line 3 is short", now=api.given.now())
    error = api.ask("GET", f"/tasks/{task_id}").json()["error"]
    assert error == {"error_code": "RAGGED", "detail": "line 3 is short"}
    assert api.ask("POST", f"/tasks/{task_id}/retry").json()["status"] == "QUEUED"
    assert api.pushed == [task_id, task_id]


def test_a_user_has_so_many_open_tasks_and_requests(api: Api) -> None:
    few = api.limited(open_tasks=1, requests_per_minute=1_000_000)
    few.task()
    said = few.ask("POST", "/tasks", json=a_request())
    assert code(said) == (429, "TOO_MANY_OPEN_TASKS")
    assert few.ask("POST", "/tasks", "bob", json=a_request()).status_code == 201
    slow = api.limited(requests_per_minute=3)
    answers = [slow.ask("GET", "/tools", "ops").status_code for _ in range(8)]
    assert 200 in answers[:3]
    assert 429 in answers
    assert slow.ask("GET", "/healthz", None).status_code == 200


def test_a_revoked_token_is_refused_a_second_later(api: Api) -> None:
    assert api.ask("GET", "/tools").status_code == 200
    with api.given.database.connect() as connection:
        revoke_tokens(connection, "anna", now=api.given.now())
    api.ahead = REMEMBERED
    assert code(api.ask("GET", "/tools")) == (401, "UNAUTHORIZED")
    assert api.ask("GET", "/tools", "bob").status_code == 200


def test_what_one_server_has_let_in_another_counts_a_second_later(api: Api) -> None:
    early = timedelta(seconds=60 - api.given.now().second)  # in the minute that comes
    servers = [api.limited(requests_per_minute=6) for _ in range(2)]
    for server in servers:
        server.ahead = early
    for _ in range(5):
        assert servers[0].ask("GET", "/tools").status_code == 200
    servers[0].ahead = servers[1].ahead = early + REMEMBERED
    assert servers[0].ask("GET", "/tools").status_code == 200
    assert code(servers[1].ask("GET", "/tools")) == (429, "TOO_MANY_REQUESTS")


def test_a_connection_that_the_server_has_cut_is_not_lent(api: Api, migrated: Postgres) -> None:
    assert api.ask("GET", "/tasks").status_code == 200
    with migrated.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'outreach-api'"
        )
    for _ in range(12):
        assert api.ask("GET", "/tasks").status_code == 200


def test_a_database_that_is_away_is_said_without_its_name(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outreach_core.postgres_pool.WAIT_SECONDS", 0.2)
    gone = Postgres(conninfo="postgresql://u:hunter22@127.0.0.1:1/d", name="NEON_HOST ep-x")
    with PostgresPool(gone) as pool:
        away = Api(replace(api.given, database=pool), api.tokens)
        for path in ("/readyz", "/tasks"):
            said = away.ask("GET", path)
            assert code(said) == (503, "SERVICE_UNAVAILABLE")
            assert "ep-x" not in said.text
        assert away.ask("GET", "/healthz", None).status_code == 200


@pytest.mark.pgbouncer
def test_the_way_is_the_same_behind_a_transaction_pooler(
    api: Api, migrated: Postgres, tmp_path: Path
) -> None:
    with pgbouncer(migrated, tmp_path) as pooled, PostgresPool(pooled) as pool:
        behind = Api(replace(api.given, database=pool), api.tokens)
        completed(behind)

        async def storm(client: httpx.AsyncClient) -> list[httpx.Response]:
            bearer = api.bearer("anna")
            posts = [client.post("/tasks", json=a_request(), headers=bearer) for _ in range(40)]
            return await asyncio.gather(*posts)

        assert {said.status_code for said in behind.all(storm)} == {201}


def test_figures_are_for_operators(api: Api) -> None:
    task_id = api.task()["id"]
    api.ask("GET", f"/tasks/{task_id}")
    api.ask("BREW", "/nothing/x")
    assert code(api.ask("GET", "/metrics")) == (403, "NOT_ALLOWED")
    text = api.ask("GET", "/metrics", "ops").text
    assert 'outreach_tasks{status="CREATED"} 1.0' in text
    assert 'route="/tasks/{task_id}"' in text
    assert task_id not in text
    assert "BREW" not in text


def test_the_documentation_has_an_example_and_says_that_a_token_is_needed(api: Api) -> None:
    said = api.ask("GET", "/openapi.json", None).json()
    assert set(said["paths"]) == {
        *("/tasks", "/tasks/{task_id}", "/tools", "/healthz", "/readyz", "/metrics"),
        *(
            f"/tasks/{{task_id}}/{way}"
            for way in "upload-urls process downloads report events cancel retry".split()
        ),
        *("/folders/policies", "/folders/policies/{folder_id}"),
        *("/folders/policies/{folder_id}/toggle", "/destinations", "/files", "/backups/summary"),
        *(f"/tasks/{{task_id}}/uploads/{{name}}{way}" for way in ("", "/part-urls", "/complete")),
    }
    assert said["components"]["schemas"]["TaskShown"]["examples"]
    assert said["paths"]["/tasks"]["post"]["security"] == [{"HTTPBearer": []}]
