"""Signed URLs of a local folder, used as they are meant to be and in every other way."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx

from b2_resources.keys import task_input_key
from b2_resources.object_store import ObjectMissingError, get_bytes
from tests.integration.outreach_api.in_process import Api

BODY = b"a,b\n1,2\n"


def signed(api: Api) -> tuple[str, dict[str, Any]]:
    """A task's id, and where its file goes."""
    task_id = str(api.task(body=BODY)["id"])
    said = api.ask("POST", f"/tasks/{task_id}/upload-urls").json()
    return task_id, said["uploads"][0]


def put(api: Api, url: str, headers: dict[str, str], body: bytes = BODY) -> httpx.Response:
    return api.ask("PUT", url, None, headers=headers, content=body)


def is_there(api: Api, task_id: str) -> bool:
    try:
        return get_bytes(api.given.store, task_input_key("anna", task_id, "primary")) == BODY
    except ObjectMissingError:
        return False


def test_the_bytes_announced_arrive_whole_and_may_be_sent_again(api: Api) -> None:
    task_id, upload = signed(api)
    assert put(api, upload["url"], upload["headers"]).status_code == 200
    assert is_there(api, task_id)
    assert put(api, upload["url"], upload["headers"]).status_code == 200


def test_a_misused_upload_url_stores_nothing(api: Api) -> None:
    task_id, upload = signed(api)
    url, headers = upload["url"], upload["headers"]
    other = task_input_key("bob", task_id, "primary")
    path, _, token = url.partition("?token=")
    bent = token[:-1] + ("0" if token[-1] != "0" else "1")
    wrong = {
        "longer": put(api, url, {**headers, "content-length": "9"}, BODY + b"3"),
        "shorter": put(api, url, {**headers, "content-length": "3"}, BODY[:3]),
        "longer than said": put(api, url, headers, BODY + b"3"),
        "shorter than said": put(api, url, headers, BODY[:3]),
        "other type": put(api, url, {**headers, "content-type": "text/html"}),
        "no type": put(api, url, {"content-length": "8"}),
        "other key": put(api, f"http://api.example.test/signed/{other}?token={token}", headers),
        "climbing": put(api, f"{path}/../baseline.csv?token={token}", headers),
        "altered": put(api, f"{path}?token={bent}", headers),
        "none": put(api, path, headers),
        "not ours": put(api, f"{path}?token=%00%ff.{'a' * 64}", headers),
        "other method": api.ask("GET", url, None),
        "with a bearer and no token": put(api, path, {**headers, **api.bearer("anna")}),
    }
    for way, said in wrong.items():
        assert (said.status_code, said.json()["error_code"]) == (403, "LINK_REFUSED"), way
    assert api.ask("DELETE", url, None).status_code == 405
    api.ahead = timedelta(minutes=15)
    assert put(api, url, headers).status_code == 403
    assert not is_there(api, task_id)
    assert list(api.given.store.list_objects()) == []


def test_a_file_is_larger_than_a_request_may_be(api: Api) -> None:
    body = b"x" * 3_000_000
    task_id = api.task(body=body)["id"]
    api.upload(task_id, body)
    assert api.ask("POST", f"/tasks/{task_id}/process").status_code == 202
    said = api.ask("POST", "/tasks", content=body)
    assert (said.status_code, said.json()["error_code"]) == (413, "REQUEST_TOO_LARGE")

    async def endless(client: httpx.AsyncClient) -> httpx.Response:
        async def blocks() -> Any:
            for _ in range(10):
                yield b"[" * 100_000

        return await client.post("/tasks", content=blocks(), headers=api.bearer("anna"))

    assert api.all(endless).status_code == 413


def test_a_download_is_for_one_key_and_its_time(api: Api) -> None:
    key = "users/anna/tasks/t/outputs/página 1.html"
    api.given.store.put_bytes(key, b"<script>1</script>")
    api.given.store.put_bytes("secret", b"s")
    url = api.given.signing.sign_download(key, valid_for=timedelta(minutes=15), filename="ä.html")
    got = api.ask("GET", url, None, headers={"range": "bytes=0-7"})
    assert (got.status_code, got.content) == (206, b"<script>")
    assert "sandbox" in got.headers["content-security-policy"]
    assert "filename*=UTF-8''%C3%A4.html" in got.headers["content-disposition"]
    assert api.ask("GET", url.replace(quote(key), "secret"), None).status_code == 403
    assert api.ask("PUT", url, None, content=b"x").status_code == 403
    api.ahead = timedelta(minutes=16)
    assert api.ask("GET", url, None).status_code == 403
