"""The HTTP API of tasks, as `outreach tasks` speaks it: requests of ours, and files by signed URLs.

What the answers mean for a person is in tasks.py.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import requests

from b2_resources.object_store import BLOCK_BYTES, content_type_of
from outreach_core.errors import PermanentError, RetryableError, SettingsError

CONNECT_SECONDS, ANSWER_SECONDS = 5, 60
BUSY = {429, 502, 503, 504}

Shown = dict[str, Any]
"""A task, or another part of an answer, as the API's documentation says."""

Moved = Callable[[int], None]
"""Told how many bytes more have gone."""


class ApiUnreachableError(RetryableError):
    """No answer from the API, or one that says to come back later."""


class ApiRefusedError(PermanentError):
    """The API said no; `code` is its word for programs."""

    def __init__(self, message: str, code: str, context: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.context = code, dict(context or {})


@dataclass(frozen=True, kw_only=True)
class TaskClient:
    """One user's tasks at OUTREACH_API_URL."""

    url: str
    token: str = field(repr=False)

    def create(
        self, tool_id: str, files: Mapping[str, Path], parameters: Mapping[str, object]
    ) -> Shown:
        """A new task for these files, by input name."""
        wanted = {
            "tool_id": tool_id,
            "inputs": {
                name: {
                    "filename": path.name,
                    "content_type": content_type_of(path.name),
                    "size_bytes": path.stat().st_size,
                }
                for name, path in files.items()
            },
            "parameters": dict(parameters),
        }
        # The same request sent again after a lost answer makes no second task.
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        return self.ask("POST", "/tasks", json=wanted, headers=headers)

    def upload(self, task_id: str, files: Mapping[str, Path], moved: Moved) -> None:
        """Put the files where the API says; what is empty or small in one piece."""
        for signed in self.ask("POST", f"/tasks/{task_id}/upload-urls")["uploads"]:
            path = files.get(signed["name"])
            if path is None:
                continue
            size = path.stat().st_size
            with path.open("rb") as file:
                # An empty stream would be sent in chunks, which is another request than signed.
                answer = self.put(signed, Told(file, size, moved) if size else b"")
            _raise_for(answer, f"the upload of {signed['name']}")

    def put(self, signed: Shown, body: "Told | bytes") -> requests.Response:
        """What the store answers to the body at that URL, whatever it is."""
        with _connection(self.url):
            return requests.put(
                signed["url"],
                data=body,
                headers=signed["headers"],
                auth=_as_it_is,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            )

    def process(self, task_id: str) -> Shown:
        """The files are there: begin."""
        return self.ask("POST", f"/tasks/{task_id}/process")

    def cancel(self, task_id: str) -> Shown:
        """Stop it."""
        return self.ask("POST", f"/tasks/{task_id}/cancel")

    def show(self, task_id: str) -> Shown:
        """How it stands."""
        return self.ask("GET", f"/tasks/{task_id}")

    def newest(self, *, limit: int, status: str | None, tool_id: str | None) -> list[Shown]:
        """So many of the user's tasks, the newest first."""
        asked = {"limit": limit, "status": status, "tool_id": tool_id}
        found: list[Shown] = self.ask("GET", "/tasks", params=asked)["tasks"]
        return found

    def downloads(self, task_id: str) -> list[Shown]:
        """A completed task's results, each with its URL."""
        found: list[Shown] = self.ask("GET", f"/tasks/{task_id}/downloads")["downloads"]
        return found

    def download(self, result: Shown, folder: Path, moved: Moved) -> Path:
        """One of them in the folder, whole or not at all."""
        name = Path(str(result["name"])).name
        folder.mkdir(parents=True, exist_ok=True)
        part, proof = folder / f".{name}.part", hashlib.sha256()
        with (
            _connection(self.url),
            requests.get(
                result["url"],
                auth=_as_it_is,
                stream=True,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            ) as answer,
        ):
            _raise_for(answer, f"the download of {name}")
            with part.open("wb") as file:
                for block in answer.iter_content(BLOCK_BYTES):
                    proof.update(block)
                    moved(file.write(block))
        if proof.hexdigest() != result["sha256"]:
            part.unlink()
            raise ApiUnreachableError(f"{name} did not arrive as it was sent: download it again")
        return part.replace(folder / name)

    def ask(
        self,
        method: str,
        path: str,
        *,
        seconds: float = ANSWER_SECONDS,
        **more: Any,  # noqa: ANN401 as requests has it
    ) -> Shown:
        """What the API answers. Raises ApiUnreachableError, ApiRefusedError or SettingsError."""
        with _connection(self.url):
            answer = requests.request(
                method,
                f"{self.url.rstrip('/')}{path}",
                auth=self._bearer,
                timeout=(CONNECT_SECONDS, seconds),
                allow_redirects=False,
                **more,
            )
        _raise_for(answer, "the request")
        found: Shown = answer.json()
        return found

    def _bearer(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class Told:
    """So many bytes to send, telling how far they are."""

    def __init__(self, file: BinaryIO, size_bytes: int, moved: Moved) -> None:
        self._file, self._size_bytes, self._moved = file, size_bytes, moved

    def __len__(self) -> int:
        return self._size_bytes

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(BLOCK_BYTES):
            yield block

    def read(self, size: int = -1) -> bytes:
        """The next of them."""
        block = self._file.read(size)
        self._moved(len(block))
        return block


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """A signed URL needs nothing more, and a ~/.netrc would add a password of somebody's."""
    return request


@contextmanager
def _connection(url: str) -> Iterator[None]:
    try:
        yield
    except requests.exceptions.RequestException as error:
        # Its text may hold a signed URL, which is a key.
        raise ApiUnreachableError(
            f"OUTREACH_API_URL {url} or its store did not answer ({type(error).__name__}): "
            "`outreach serve` or `outreach dev` starts it"
        ) from None


def _raise_for(answer: requests.Response, what: str) -> None:
    if answer.ok:
        return
    try:
        said = answer.json()
        detail, code = str(said["detail"]), str(said["error_code"])
        context = dict(said.get("context") or {})
    except (ValueError, KeyError, TypeError):
        detail, code = f"{what} was refused with {answer.status_code}", "REFUSED"
        context = {}
    if code == "UNAUTHORIZED":
        raise SettingsError(f"OUTREACH_API_TOKEN: {detail}: `outreach users token` makes a new one")
    if answer.status_code in BUSY:
        raise ApiUnreachableError(f"{detail} ({code})")
    raise ApiRefusedError(f"{detail} ({code})", code, context)
