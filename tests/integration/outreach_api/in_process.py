"""The API in this process, asked as its users ask it; what it works with is in conftest.py."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx

from outreach_api.app import create_app
from outreach_api.collaborators import (
    ApiLimits,
    Collaborators,
    OfferedDestination,
    OfferedTool,
    WrongParametersError,
)

URL = "http://api.example.test"
MANIFEST = {
    "id": "profile",
    "inputs": [{"name": "primary", "required": True}, {"name": "baseline", "required": False}],
}
T = TypeVar("T")


def check(parameters: Mapping[str, object]) -> None:
    if set(parameters) - {"top", "says"}:
        raise WrongParametersError("the tool knows top and says")


DESTINATIONS = {
    "local": OfferedDestination(place="/backups", missing=None, unreachable=lambda: None),
    "aws_s3": OfferedDestination(place="b", missing=None, unreachable=lambda: "no answer"),
    "scaleway": OfferedDestination(place="", missing="set A_BUCKET", unreachable=lambda: None),
}
TOOLS = {"profile": OfferedTool(manifest=MANIFEST, check=check)}


class Pushes:
    """A queue that remembers what was pushed."""

    def __init__(self) -> None:
        self.pushed: list[str] = []
        self.fails: Exception | None = None

    def push(self, task_id: str) -> None:
        self.pushed.append(task_id)
        if self.fails:
            raise self.fails


class Api:
    """The app, and requests to it as one of its users."""

    def __init__(self, given: Collaborators, tokens: Mapping[str, str]) -> None:
        self.given, self.tokens = given, tokens
        self.ahead = timedelta()
        self.given = replace(given, now=lambda: datetime.now(UTC) + self.ahead)
        self.app = create_app(self.given)

    @property
    def pushed(self) -> list[str]:
        assert isinstance(self.given.queue, Pushes)
        return self.given.queue.pushed

    def limited(self, **limits: int) -> "Api":
        """The same with other limits."""
        return Api(replace(self.given, limits=ApiLimits(**limits)), self.tokens)

    def all(self, talk: Callable[[httpx.AsyncClient], Coroutine[Any, Any, T]]) -> T:
        """What a conversation with the app comes to."""

        async def talked() -> T:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=URL, timeout=60) as client:
                return await talk(client)

        return asyncio.run(talked())

    def ask(self, method: str, path: str, user: str | None = "anna", **more: Any) -> httpx.Response:
        """One request with that user's token."""
        headers = {**self.bearer(user), **more.pop("headers", {})}
        return self.all(lambda client: client.request(method, path, headers=headers, **more))

    def bearer(self, user: str | None) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens[user]}"} if user else {}

    def task(self, user: str = "anna", body: bytes = b"a,b\n1,2\n", **more: Any) -> dict[str, Any]:
        """A task CREATED for these bytes."""
        said = self.ask("POST", "/tasks", user, json=a_request(body, **more))
        assert said.status_code == 201, said.text
        found: dict[str, Any] = said.json()
        return found

    def upload(self, task_id: str, body: bytes = b"a,b\n1,2\n", user: str = "anna") -> None:
        """The bytes, by the URL that the API signs."""
        signed = self.ask("POST", f"/tasks/{task_id}/upload-urls", user).json()["uploads"][0]
        sent = self.ask("PUT", signed["url"], None, headers=signed["headers"], content=body)
        assert sent.status_code == 200, sent.text


def a_request(body: bytes = b"a,b\n1,2\n", **more: Any) -> dict[str, Any]:
    primary = {"filename": "leads.csv", "content_type": "text/csv", "size_bytes": len(body)}
    return {"tool_id": "profile", "inputs": {"primary": primary}, **more}
