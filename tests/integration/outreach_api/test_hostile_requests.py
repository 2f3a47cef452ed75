"""Whatever is sent, it is answered with a refusal that a program can read, or with a task."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from b2_resources.keys import task_input_key
from tests.integration.outreach_api.in_process import URL, Api, a_request

ANY_TEXT = st.text(max_size=300)
JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)
WAYS = ["", "/upload-urls", "/process", "/downloads", "/report", "/events", "/cancel", "/retry"]
METHODS = ["GET", "POST", "DELETE"]
MANY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def is_refusal(said: httpx.Response) -> bool:
    return 400 <= said.status_code < 500 and set(said.json()) == {"detail", "error_code", "context"}


def url_of(task_id: str, way: str) -> httpx.URL:
    """As it is on the wire: httpx would mend some of them."""
    path = b"".join(b"%%%02x" % byte for byte in task_id.encode(errors="surrogatepass"))
    return httpx.URL(URL).copy_with(raw_path=b"/tasks/" + path + way.encode())


@pytest.mark.slow
@MANY
@given(ids=st.lists(ANY_TEXT | st.text("./%\\0a-f", max_size=40), min_size=8, max_size=8))
def test_no_id_finds_a_task_or_breaks_anything(api: Api, ids: list[str]) -> None:
    async def storm(client: httpx.AsyncClient) -> list[httpx.Response]:
        bearer = api.bearer("anna")
        asks = []
        for way, task_id in zip(WAYS, ids, strict=True):
            url = url_of(task_id, way)
            asks += [client.request(method, url, headers=bearer) for method in METHODS]
        return await asyncio.gather(*asks)

    for said in api.all(storm):
        assert is_refusal(said), said.text


@MANY
@given(
    filename=ANY_TEXT, parameters=JSON_VALUE, tool_id=ANY_TEXT | st.just("profile"), more=JSON_VALUE
)
def test_no_request_for_a_task_breaks_anything(
    api: Api, filename: str, parameters: Any, tool_id: str, more: Any
) -> None:
    wanted = a_request(tool_id=tool_id, parameters={"says": parameters})
    wanted["inputs"]["primary"]["filename"] = filename
    for body in (wanted, {**a_request(), "parameters": more}, more):
        said = api.ask("POST", "/tasks", content=json.dumps(body).encode())
        assert is_refusal(said) or said.status_code == 201, said.text
        if said.status_code == 201:
            shown = said.json()
            assert shown["inputs"][0]["filename"] == body["inputs"]["primary"]["filename"]
            assert task_input_key("anna", shown["id"], "primary").count("/") == 5
            api.ask("POST", f"/tasks/{shown['id']}/cancel")


@pytest.mark.slow
@settings(MANY, max_examples=100, phases=[Phase.generate])
@given(
    texts=st.lists(
        st.text(max_size=60) | st.text("./%\\0a-f", max_size=40), min_size=50, max_size=60
    )
)
def test_ten_thousand_names_and_ids_are_names_and_ids_of_nothing_else(
    api: Api, texts: list[str]
) -> None:
    free = api.limited(open_tasks=1_000_000, requests_per_minute=1_000_000)
    bearer = free.bearer("anna")
    names = [f"{text}." for text in texts]

    async def storm(client: httpx.AsyncClient) -> list[httpx.Response]:
        ids = [
            client.request(METHODS[n % 3], url_of(text, WAYS[n % 8]), headers=bearer)
            for n, text in enumerate(texts)
        ]
        wanted = [a_request() for _ in names]
        for one, name in zip(wanted, names, strict=True):
            one["inputs"]["primary"]["filename"] = name
        posts = [
            client.post("/tasks", content=json.dumps(one).encode(), headers=bearer)
            for one in wanted
        ]
        return await asyncio.gather(*ids, *posts)

    said = free.all(storm)
    assert all(map(is_refusal, said[: len(texts)]))
    for name, one in zip(names, said[len(texts) :], strict=True):
        assert is_refusal(one) or one.json()["inputs"][0]["filename"] == name
        if one.status_code == 201:
            assert task_input_key("anna", one.json()["id"], "primary").count("/") == 5


BODIES = [
    b"",
    b"{",
    b"[" * 100_000,
    b'{"tool_id": 1e999}',
    b"\xff\xfe",
    b'{"tool_id": "profile", "inputs": {"primary": {"filename": "a", "size_bytes": '
    + b"9" * 5000
    + b"}}}",
    b'{"tool_id": "profile", "inputs": {"../x": {"filename": "a", "size_bytes": 1}}}',
    b'{"tool_id": "profile", "inputs": {}}',
    b'{"tool_id": "profile", "inputs": {"primary": {"filename": "a\\u0000", "size_bytes": 1}}}',
    b'{"tool_id": "profile", "inputs": {"primary": {"filename": "\\ud800", "size_bytes": 1}}}',
    b'{"tool_id": "profile", "inputs": {"primary": {"filename": "a", "size_bytes": -1}}}',
]


def test_a_body_that_is_none_is_refused(api: Api) -> None:
    json_type = {"content-type": "application/json"}
    for body in BODIES:
        said = api.ask("POST", "/tasks", content=body, headers=json_type)
        assert is_refusal(said), (body[:80], said.text)


def test_headers_and_queries_that_are_none_are_refused(api: Api) -> None:
    for query in ("limit=0", "limit=201", "status=X", "tool_id=%00", "cursor=%00", "limit=9e9"):
        assert is_refusal(api.ask("GET", f"/tasks?{query}")), query
    task_id = api.task()["id"]
    for key in ("", " ", "a b", "ä".encode().decode("latin-1"), "x" * 201):
        headers = {"idempotency-key": key.encode("latin-1")}
        said = api.ask("POST", "/tasks", json=a_request(), headers=headers)
        assert is_refusal(said), key
    for length in ("-1", "x", "9" * 30):
        said = api.ask("POST", f"/tasks/{task_id}/cancel", headers={"content-length": length})
        assert is_refusal(said), length
    assert api.ask("GET", f"/tasks/{task_id.upper()}").status_code == 404
