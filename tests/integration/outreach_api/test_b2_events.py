"""Backblaze's event notifications: signed ones make tasks, whatever else comes changes nothing."""

import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from b2_resources import inbox as inbox_module
from b2_resources.object_store import StoreUnreachableError
from outreach_api.collaborators import B2Events
from outreach_core.drops import due_drops
from tests.integration.outreach_api.in_process import Api

SECRET = "s" * 32
KEY = "users/anna/inbox/profile/leads.csv"


@pytest.fixture
def told(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """The API of a bucket that tells of its events."""
    monkeypatch.setattr(inbox_module, "QUIET_TIME", timedelta(0))
    events = B2Events(bucket="ours", secret=SECRET.encode())
    return Api(replace(api.given, b2_events=events), api.tokens)


def event(kind: str = "b2:ObjectCreated:Upload", key: str = KEY, **more: Any) -> dict[str, Any]:
    """As Backblaze's reference shows one."""
    return {
        "accountId": "account",
        "bucketId": "bucket",
        "bucketName": "ours",
        "eventId": "event-1",
        "eventTimestamp": 1684793309123,
        "eventType": kind,
        "eventVersion": 1,
        "matchedRuleName": "inboxes",
        "objectName": key,
        "objectSize": 8,
        "objectVersionId": "4_version",
        **more,
    }


def post(
    told: Api, *events: dict[str, Any], secret: str = SECRET, body: bytes | None = None, **how: str
) -> httpx.Response:
    sent = json.dumps({"events": events}).encode() if body is None else body
    signature = "v1=" + hmac.new(secret.encode(), sent, "sha256").hexdigest()
    headers = {"x-bz-event-notification-signature": signature, **how}
    return told.ask("POST", "/b2/events", None, content=sent, headers=headers)


def tasks(told: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = told.ask("GET", "/tasks").json()["tasks"]
    return found


def test_an_event_makes_one_task_however_often_it_is_delivered(told: Api) -> None:
    told.given.store.put_bytes(KEY, b"a,b\n1,2\n")
    for _ in range(3):
        said = post(told, event(), event())
        assert (said.status_code, said.json()) == (200, {"announced": 1})
    (task,) = tasks(told)
    assert (task["status"], task["inputs"][0]["filename"]) == ("QUEUED", "leads.csv")
    assert told.pushed == [task["id"]]
    with told.given.database.connect() as connection:
        later = told.given.now() + timedelta(days=1)
        assert due_drops(connection, now=later, limit=9) == []


def test_the_signature_is_of_this_body_by_this_secret(told: Api) -> None:
    told.given.store.put_bytes(KEY, b"a,b\n1,2\n")
    name = "x-bz-event-notification-signature"
    sent = json.dumps({"events": [event()]}).encode()
    right = hmac.new(SECRET.encode(), sent, "sha256").hexdigest()
    wrong = [
        post(told, event(), secret="t" * 32),
        *(
            post(told, event(), **{name: header})
            for header in ("", "v1=", right, f"v2={right}", f"v1={right[:-1]}")
        ),
        post(told, body=sent + b" ", **{name: f"v1={right}"}),
        told.ask("POST", "/b2/events", "anna", content=sent),
    ]
    assert {(one.status_code, one.json()["error_code"]) for one in wrong} == {(401, "UNAUTHORIZED")}
    assert tasks(told) == []
    # While a rule's secret is being changed, both sign.
    both = post(told, body=sent, **{name: f"v1={'0' * 64}, v1={right}"})
    assert (both.status_code, len(tasks(told))) == (200, 1)


def test_what_is_no_file_in_an_inbox_of_ours_is_ignored(told: Api) -> None:
    test = {k: v for k, v in event("b2:TestEvent").items() if not k.startswith("object")}
    others = [
        event("b2:ObjectDeleted:Delete"),
        event("b2:HideMarkerCreated:Hide"),
        event("b2:SomethingNew:Later", objectName=None),
        event(key="users/anna/tasks/t/inputs/primary.csv"),
        event(key="users/anna/inbox/profile/"),
        event(key="users/anna/inbox/profile/\x00.csv"),
        event(key="outreach/wv/a.csv"),
    ]
    said = post(told, test, *others)
    assert (said.status_code, said.json()) == (200, {"announced": 0})
    assert post(told).status_code == 200
    gone = post(told, event(key="users/anna/inbox/profile/deleted.csv"))
    assert (gone.json(), tasks(told)) == ({"announced": 1}, [])


def test_another_bucket_is_refused(told: Api) -> None:
    told.given.store.put_bytes(KEY, b"a,b\n1,2\n")
    said = post(told, event(), event(bucketName="theirs"))
    assert (said.status_code, said.json()["error_code"]) == (403, "NOT_ALLOWED")
    assert tasks(told) == []


def test_what_is_huge_or_no_delivery_is_refused(told: Api) -> None:
    huge = post(told, event(key="users/anna/inbox/profile/" + "x" * 300_000))
    assert (huge.status_code, huge.json()["error_code"]) == (413, "REQUEST_TOO_LARGE")
    for body in (b"", b"[]", b"{", b'{"events": [1]}', b'{"events": [{}]}', b"\xff" * 9):
        assert post(told, body=body).status_code == 422


def test_many_deliveries_at_once_are_all_taken_in(told: Api) -> None:
    keys = [KEY.replace("leads", str(number)) for number in range(30)]
    for key in keys:
        told.given.store.put_bytes(key, b"a,b\n1,2\n")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda key: post(told, event(key=key)).status_code, keys))
    assert (set(answers), len(tasks(told)), len(told.pushed)) == ({200}, 30, 30)


def test_an_error_leaves_the_rest_to_the_sweep(
    told: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told.given.store.put_bytes(KEY, b"a,b\n1,2\n")

    def away(*_said: object) -> None:
        raise StoreUnreachableError("away")

    monkeypatch.setattr(type(told.given.store), "copy", away)
    assert post(told, event()).status_code == 200
    assert "wait for the sweep" in caplog.text
    with told.given.database.connect() as connection:
        later = told.given.now() + timedelta(minutes=2)
        assert [drop.key for drop in due_drops(connection, now=later, limit=9)] == [KEY]


def test_what_could_not_be_taken_in_is_left_to_the_sweep(
    told: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.given.store.put_bytes(KEY, b"a,b\n1,2\n")
    full = told.limited(open_tasks=0, requests_per_minute=10_000)
    assert post(full, event()).status_code == 200
    assert tasks(full) == []
    with told.given.database.connect() as connection:
        later = told.given.now() + timedelta(minutes=6)
        assert [drop.key for drop in due_drops(connection, now=later, limit=9)] == [KEY]


def test_without_a_secret_there_is_no_such_route(api: Api) -> None:
    assert post(api, event()).status_code == 401
    assert api.ask("POST", "/b2/events", "anna", json={"events": []}).status_code == 404
