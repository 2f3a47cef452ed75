"""Policies, destinations and files over HTTP, for administrators; in process."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.integration.outreach_api.in_process import Api

POLICY = {"name": "Docs", "path": "/srv/docs", "destinations": ["local", "aws_s3"]}
NEW = {"folder_id": "docs", **POLICY}
DEFAULTS = {
    "source": "local",
    "recursive": True,
    "enabled": True,
    "include": [],
    "exclude": [],
    "keep_versions": True,
    "encrypted": False,
}
DOCS = "/folders/policies/docs"


def code(said: httpx.Response) -> tuple[int, str]:
    assert set(said.json()) == {"detail", "error_code", "context"}, said.text
    return said.status_code, said.json()["error_code"]


def given_policy(api: Api, **changes: Any) -> httpx.Response:
    said = api.ask("POST", "/folders/policies", "ada", json={**NEW, **changes})
    assert said.status_code == 201, said.text
    return said


def given_files(api: Api, *files: tuple[Any, ...]) -> None:
    """Rows of folder, path, destination and status."""
    with api.given.database.connect() as connection:
        connection.cursor().executemany(
            "INSERT INTO shq.file_destinations (folder_id, path, destination, status, size_bytes) "
            "VALUES (%s, %s, %s, %s, 7)",
            files,
        )


def events(api: Api) -> list[tuple[str, str, str]]:
    with api.given.database.connect() as connection:
        rows = connection.execute(
            "SELECT event_type, details ->> 'who', details ->> 'folder_id' FROM shq.audit_log "
            "WHERE event_type LIKE 'outreach_policy%' ORDER BY id DESC LIMIT 4"
        ).fetchall()
    return [*reversed(rows)]


def found(api: Api, **query: Any) -> list[str]:
    said = api.ask("GET", "/files", "ada", params=query)
    assert said.status_code == 200, said.text
    return [file["path"] for file in said.json()["files"]]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/folders/policies"),
        ("POST", "/folders/policies"),
        ("GET", DOCS),
        ("PUT", DOCS),
        ("DELETE", DOCS),
        ("POST", f"{DOCS}/toggle"),
        ("GET", "/destinations"),
        ("GET", "/files"),
        ("GET", "/backups/summary"),
    ],
)
def test_who_is_no_administrator_is_refused(api: Api, method: str, path: str) -> None:
    given_policy(api)
    for user in ("anna", "ops"):
        said = api.ask(method, path, user, json=NEW if method in ("POST", "PUT") else None)
        assert code(said) == (403, "NOT_ALLOWED")
    assert code(api.ask(method, path, None))[0] == 401
    assert api.ask("GET", DOCS, "ada").json() == {**NEW, **DEFAULTS}


def test_a_policy_is_added_changed_switched_and_removed_and_the_log_says_by_whom(api: Api) -> None:
    added = given_policy(api)
    assert added.json() == {**NEW, **DEFAULTS}
    assert added.headers["location"] == DOCS
    other = {**POLICY, "destinations": ["local"], "exclude": ["*.tmp"]}
    changed = api.ask("PUT", DOCS, "abe", json=other)
    assert changed.json() == {"folder_id": "docs", **DEFAULTS, **other}
    assert not api.ask("POST", f"{DOCS}/toggle", "ada").json()["enabled"]
    listed = api.ask("GET", "/folders/policies", "ada").json()["policies"]
    assert [(one["folder_id"], one["enabled"]) for one in listed] == [("docs", False)]
    assert api.ask("DELETE", DOCS, "abe").status_code == 204
    assert events(api) == [
        ("outreach_policy_added", "ada", "docs"),
        ("outreach_policy_changed", "abe", "docs"),
        ("outreach_policy_changed", "ada", "docs"),
        ("outreach_policy_removed", "abe", "docs"),
    ]
    for method, path in (("GET", DOCS), ("DELETE", DOCS), ("POST", f"{DOCS}/toggle")):
        assert code(api.ask(method, path, "ada")) == (404, "POLICY_NOT_FOUND")
    assert code(api.ask("PUT", DOCS, "ada", json=POLICY)) == (404, "POLICY_NOT_FOUND")


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"folder_id": "other"}, (409, "POLICY_EXISTS")),
        ({"path": "/srv/else"}, (409, "POLICY_EXISTS")),
        ({"folder_id": "a b"}, (400, "INVALID_POLICY")),
        ({"path": "relative"}, (400, "INVALID_POLICY")),
        ({"path": "/srv/../etc"}, (400, "INVALID_POLICY")),
        ({"exclude": ["{open"]}, (400, "INVALID_POLICY")),
        ({"destinations": ["local", "local"]}, (400, "INVALID_POLICY")),
        ({"destinations": ["mars"]}, (400, "INVALID_DESTINATION")),
        ({"destinations": []}, (422, "INVALID_REQUEST")),
        ({"name": "\x00"}, (422, "INVALID_REQUEST")),
        ({"path": "/srv/\ud800"}, (422, "INVALID_REQUEST")),
        ({"strange": 1}, (422, "INVALID_REQUEST")),
        ({"source": "ftp"}, (422, "INVALID_REQUEST")),
    ],
)
def test_a_policy_that_cannot_be_is_refused(
    api: Api, changes: dict[str, Any], refused: tuple[int, str]
) -> None:
    given_policy(api)
    body = json.dumps({**NEW, **changes})
    kind = {"content-type": "application/json"}
    said = api.ask("POST", "/folders/policies", "ada", content=body, headers=kind)
    assert code(said) == refused
    listed = api.ask("GET", "/folders/policies", "ada").json()["policies"]
    assert listed == [{**NEW, **DEFAULTS}]


def test_of_two_administrators_at_once_the_second_is_told(api: Api) -> None:
    given_policy(api)
    seen = {"if-match": api.ask("GET", DOCS, "ada").headers["etag"]}

    def change(who: str) -> httpx.Response:
        return api.ask("PUT", DOCS, who, json={**POLICY, "name": who}, headers=seen)

    with ThreadPoolExecutor(2) as both:
        said = dict(zip(("ada", "abe"), both.map(change, ("ada", "abe")), strict=True))
    [won] = [who for who, answer in said.items() if answer.status_code == 200]
    [lost] = [answer for answer in said.values() if answer.status_code != 200]
    assert code(lost) == (412, "POLICY_CHANGED")
    now = api.ask("GET", DOCS, "ada")
    assert now.json()["name"] == won
    assert now.headers["etag"] == said[won].headers["etag"] != seen["if-match"]


def test_destinations_say_what_is_missing_and_whether_they_answer(api: Api) -> None:
    said = api.ask("GET", "/destinations", "ada").json()["destinations"]
    assert {one["name"]: (one["is_set_up"], one["problem"]) for one in said} == {
        "local": (True, None),
        "aws_s3": (True, None),
        "scaleway": (False, "set A_BUCKET"),
    }
    asked = api.ask("GET", "/destinations?check=true", "ada").json()["destinations"]
    assert [one["problem"] for one in asked] == [None, "no answer", "set A_BUCKET"]


def test_ten_thousand_files_are_each_on_one_page(api: Api) -> None:
    with api.given.database.connect() as connection:
        connection.execute(
            "INSERT INTO shq.file_destinations (folder_id, path, destination, status, size_bytes) "
            "SELECT 'f' || i % 3, 'ü/' || i, d, 'synced', i FROM generate_series(1, 10000) i, "
            "unnest(ARRAY['local', 'aws_s3']) d"
        )
    paths, cursor = [], {}
    while True:
        page = api.ask("GET", "/files?limit=1000", "ada", params={"limit": 1000, **cursor}).json()
        assert all(len(file["destinations"]) == 2 for file in page["files"])
        paths += [(file["folder_id"], file["path"]) for file in page["files"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(paths) == len(set(paths)) == 10_000
    assert len(found(api, search="Ü/99", limit=1000)) == 111


ODD = [
    "50%.txt",
    "a_b",
    "back\\slash",
    "it's",
    '"q"',
    "a\nb",
    "🐈",
    "u\u0308ber",
    "[x]*?",
    "' OR 1=1",
]


def test_a_search_takes_every_character_for_itself(api: Api) -> None:
    given_files(api, *(("docs", f"d/{name}", "local", "synced") for name in [*ODD, "plain"]))
    for name in ODD:
        assert found(api, search=name) == [f"d/{name}"]
    assert found(api, search="%") == ["d/50%.txt"]
    assert found(api, search="ÜBER") == ["d/u\u0308ber"]
    assert len(found(api, search="D/")) == len(ODD) + 1
    assert code(api.ask("GET", "/files?search=%00", "ada")) == (422, "INVALID_REQUEST")


def test_files_are_found_by_policy_destination_and_status(api: Api) -> None:
    given_files(
        api,
        ("docs", "a", "local", "synced"),
        ("docs", "a", "aws_s3", "failed"),
        ("docs", "b", "local", "pending"),
        ("more", "c", "local", "synced"),
    )
    assert found(api, folder_id="docs") == ["a", "b"]
    assert found(api, destination="aws_s3") == ["a"]
    assert found(api, status="synced") == ["a", "c"]
    assert found(api, status="failed", destination="local") == []
    [file] = api.ask("GET", "/files?status=failed", "ada").json()["files"]
    assert [(one["destination"], one["status"]) for one in file["destinations"]] == [
        ("aws_s3", "failed"),
        ("local", "synced"),
    ]


@pytest.mark.parametrize(
    "cursor", ["x", "e30=", "W10=", "WyJhIl0=", "WyJhIiwgMV0=", "é", "WyIAIiwiIl0="]
)
def test_a_cursor_that_is_none_is_refused(api: Api, cursor: str) -> None:
    said = api.ask("GET", "/files", "ada", params={"cursor": cursor})
    assert code(said) == (400, "INVALID_CURSOR")


def test_the_summary_counts_by_status_and_place(api: Api) -> None:
    given_policy(api)
    given_files(
        api,
        ("docs", "a", "local", "synced"),
        ("docs", "b", "local", "failed"),
        ("docs", "a", "aws_s3", "pending"),
    )
    said = api.ask("GET", "/backups/summary", "ada").json()
    assert (said["policies"], said["enabled"], said["synced_bytes"]) == (1, 1, 7)
    assert said["files"] == {"pending": 1, "synced": 1, "failed": 1, "deleted": 0}
    assert [(one["destination"], one["synced"]) for one in said["places"]] == [
        ("aws_s3", 0),
        ("local", 1),
    ]


def test_the_documentation_has_an_example_of_each_answer(api: Api) -> None:
    schemas = api.ask("GET", "/openapi.json", None).json()["components"]["schemas"]
    for name in ("NewPolicy", "PolicyShown", "DestinationShown", "FileList", "BackupSummary"):
        assert schemas[name]["examples"], name
