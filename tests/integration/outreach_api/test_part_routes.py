"""Files in parts of four bytes: as they are meant to be sent, and in every other way."""

from datetime import timedelta
from typing import Any

import pytest

from b2_resources.keys import task_input_key
from b2_resources.object_store import get_bytes
from b2_resources.part_uploads import PartUploads
from outreach_assets.tools.task_upkeep import look_after_tasks
from outreach_core.postgres import Postgres
from tests.integration.outreach_api.in_process import Api

BODY = b"a,b\n1,2\n3"
PARTS = {1: b"a,b\n", 2: b"1,2\n", 3: b"3"}


class Sending:
    """A task of anna's whose file goes up in parts."""

    def __init__(self, api: Api, body: bytes = BODY) -> None:
        self.api, self.id = api, str(api.task(body=body)["id"])
        self.path = f"/tasks/{self.id}/uploads/primary"

    def begin(self, user: str = "anna") -> Any:
        return self.api.ask("POST", self.path, user)

    def urls(self, *numbers: int, user: str = "anna") -> Any:
        return self.api.ask("POST", f"{self.path}/part-urls", user, json={"numbers": numbers})

    def put(self, number: int, body: bytes | None = None) -> str:
        """The ETag it was answered with."""
        (signed,) = self.urls(number).json()["parts"]
        sent = PARTS[number] if body is None else body
        said = self.api.ask("PUT", signed["url"], None, headers=signed["headers"], content=sent)
        assert said.status_code == 200, said.text
        return str(said.headers["etag"])

    def complete(self, etags: dict[int, str], user: str = "anna") -> Any:
        parts = [{"number": number, "etag": etag} for number, etag in etags.items()]
        return self.api.ask("POST", f"{self.path}/complete", user, json={"parts": parts})

    def process(self) -> Any:
        return self.api.ask("POST", f"/tasks/{self.id}/process")


def code(said: Any) -> tuple[int, str]:
    return said.status_code, said.json()["error_code"]


def test_a_file_in_parts_is_gone_on_with_completed_and_pinned(api: Api) -> None:
    sending = Sending(api)
    begun = sending.begin().json()
    assert (begun["parts"], begun["part_bytes"], begun["arrived"]) == (3, 4, [])
    etags = {3: sending.put(3), 1: sending.put(1)}
    assert code(sending.process()) == (400, "FILES_NOT_FOUND")
    again = sending.begin().json()
    assert [part["number"] for part in again["arrived"]] == [1, 3]
    assert api.ask("GET", sending.path).json() == again
    refused = sending.complete(etags)
    assert code(refused) == (400, "PARTS_NOT_FOUND")
    assert refused.json()["context"] == {"parts": [2]}
    etags[2] = sending.put(2)
    for _ in range(2):  # the second is one whose first answer was lost
        assert sending.complete(etags).json() == {"name": "primary", "size_bytes": len(BODY)}
    pinned = sending.process().json()["inputs"][0]
    assert get_bytes(api.given.store, task_input_key("anna", sending.id, "primary")) == BODY
    assert len(pinned["sha256"]) == 64


def test_what_its_sender_did_not_see_is_not_completed(api: Api) -> None:
    sending = Sending(api)
    sending.begin()
    etags = {number: sending.put(number) for number in PARTS}
    lost = {number: etags[number] for number in (1, 2)}
    for wrong, named in ((etags | {2: "0" * 32}, [2]), (lost, [3])):
        said = sending.complete(wrong)
        assert code(said) == (400, "PARTS_DIFFER")
        assert said.json()["context"] == {"parts": named}
    etags[2] = sending.put(2, b"9,9\n")
    assert sending.complete(etags).status_code == 200


def test_parts_that_cannot_be_are_refused(api: Api) -> None:
    sending = Sending(api)
    assert code(api.ask("GET", sending.path)) == (409, "TASK_NOT_UPLOADABLE")
    sending.begin()
    for numbers in ((0,), (10_001,), (), tuple(range(1, 102))):
        assert code(sending.urls(*numbers)) == (422, "INVALID_REQUEST")
    assert code(sending.urls(1, 4)) == (400, "INVALID_PART")
    for name, status in (("baseline", 400), ("other", 422)):
        assert api.ask("POST", f"/tasks/{sending.id}/uploads/{name}").status_code == status
    empty = api.task(body=b"")["id"]
    assert code(api.ask("POST", f"/tasks/{empty}/uploads/primary")) == (400, "INVALID_INPUTS")


def test_a_misused_part_url_stores_nothing(api: Api) -> None:
    sending = Sending(api)
    sending.begin()
    (signed,) = sending.urls(1).json()["parts"]
    url, headers = signed["url"], signed["headers"]

    def put(body: bytes, **other: str) -> int:
        return api.ask("PUT", url, None, headers={**headers, **other}, content=body).status_code

    wrong = {
        put(b"a,b\nx", **{"content-length": "5"}),
        put(b"a,b", **{"content-length": "3"}),
        put(b"a,b"),
        put(b"a,b\nx"),
        api.ask("GET", url, None).status_code,
    }
    api.ahead = timedelta(minutes=15)
    wrong.add(put(b"a,b\n"))
    api.ahead = timedelta()
    assert wrong == {403}
    assert api.ask("GET", sending.path).json()["arrived"] == []
    assert put(b"a,b\n") == 200
    assert api.ask("DELETE", sending.path).status_code == 204
    assert put(b"a,b\n") == 403
    assert code(api.ask("GET", sending.path)) == (404, "UPLOAD_NOT_FOUND")


def test_another_users_upload_does_not_exist(api: Api) -> None:
    sending = Sending(api)
    sending.begin()
    for said in (
        sending.begin("bob"),
        sending.urls(1, user="bob"),
        sending.complete({1: "x"}, "bob"),
        api.ask("GET", sending.path, "bob"),
        api.ask("DELETE", sending.path, "bob"),
    ):
        assert code(said) == (404, "TASK_NOT_FOUND")
    assert api.ask("GET", sending.path).status_code == 200


def test_a_task_past_its_upload_takes_no_part(api: Api) -> None:
    sending = Sending(api)
    sending.begin()
    sending.complete({number: sending.put(number) for number in PARTS})
    sending.process()
    for said in (sending.begin(), sending.urls(1), sending.complete({1: "x"})):
        assert code(said) == (409, "TASK_NOT_UPLOADABLE")
    late = Sending(api)
    late.begin()
    api.ahead = timedelta(minutes=16)
    for said in (late.begin(), late.urls(1)):
        assert code(said) == (400, "UPLOAD_URLS_EXPIRED")


@pytest.mark.parametrize("way", ["expired", "cancelled"])
def test_upkeep_aborts_what_an_ended_task_has_left(api: Api, migrated: Postgres, way: str) -> None:
    ended, going_on = Sending(api), Sending(api)
    for one in (ended, going_on):
        one.begin()
        one.put(1)
    if way == "cancelled":
        api.ask("POST", f"/tasks/{ended.id}/cancel")
    else:
        api.ahead = timedelta(minutes=14)
        going_on.put(2)
        api.ahead = timedelta(minutes=16)
    done = look_after_tasks(migrated, api.given.store, now=api.given.now())
    assert done.uploads_aborted == 1
    assert open_uploads(api.given.parts, ended) == 0
    assert look_after_tasks(migrated, api.given.store, now=api.given.now()).uploads_aborted == 0
    assert going_on.begin().json()["arrived"][0]["number"] == 1


def open_uploads(parts: PartUploads, sending: Sending) -> int:
    return parts.abort_all(task_input_key("anna", sending.id, "primary"))
