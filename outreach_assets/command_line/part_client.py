"""A large file to the API in parts: several at once, each tried again, and gone on with.

What the store has is asked first, so that calling it again sends only the rest. Requests are made
as in task_client.py.
"""

import hashlib
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from outreach_assets.command_line.task_client import (
    ApiRefusedError,
    ApiUnreachableError,
    Moved,
    TaskClient,
    Told,
)
from outreach_core.errors import PermanentError

PARTS_AT_ONCE = 4
PART_ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 1.0
COMPLETE_SECONDS = 600
"""A folder puts gigabytes together within it."""

SEND_AGAIN = {"PARTS_NOT_FOUND", "PARTS_DIFFER", "UPLOAD_NOT_FOUND"}
"""What another look at the store, and what is missing there, will mend."""

COMPLETE_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True)
class PartSender:
    """One file of a task, on its way."""

    client: TaskClient
    task_id: str
    name: str
    path: Path
    moved: Moved

    def send(self) -> None:
        """The file is there, whole. Raises PermanentError for a file that is not the one said."""
        for attempt in range(1, COMPLETE_ATTEMPTS + 1):
            etags = self._sent()
            parts = [{"number": number, "etag": etags[number]} for number in sorted(etags)]
            try:
                self._ask("POST", "/complete", json={"parts": parts}, seconds=COMPLETE_SECONDS)
            except ApiRefusedError as error:
                if error.code not in SEND_AGAIN or attempt == COMPLETE_ATTEMPTS:
                    raise
                self.moved(-self.path.stat().st_size)
            else:
                return

    def _sent(self) -> Mapping[int, str]:
        """The ETag of every part, when all have arrived."""
        begun = self._ask("POST", "")
        if begun["size_bytes"] != self.path.stat().st_size:
            raise PermanentError(
                f"{self.path} has {self.path.stat().st_size} bytes, and {begun['size_bytes']} "
                "were announced: submit it as a new task"
            )
        part_bytes: int = begun["part_bytes"]
        etags = dict(self._kept(part_bytes, begun["arrived"]))
        missing = [n for n in range(1, begun["parts"] + 1) if n not in etags]
        with ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="part") as pool:
            futures = {n: pool.submit(self._send_part, n, part_bytes) for n in missing}
            try:
                wait(futures.values(), return_when=FIRST_EXCEPTION)
                for future in futures.values():
                    if future.done() and not future.cancelled():
                        future.result()
                return etags | {number: future.result() for number, future in futures.items()}
            finally:  # also on Ctrl-C
                pool.shutdown(cancel_futures=True)

    def _kept(
        self, part_bytes: int, arrived: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, str]]:
        """What need not be sent: the parts that have arrived as they still are in the file."""
        for part in arrived:
            body = self._read(part["number"], part_bytes)
            if _md5(body) == part["etag"]:
                self.moved(len(body))
                yield part["number"], part["etag"]

    def _read(self, number: int, part_bytes: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek((number - 1) * part_bytes)
            return file.read(part_bytes)

    def _send_part(self, number: int, part_bytes: int) -> str:
        body = self._read(number, part_bytes)
        for attempt in range(1, PART_ATTEMPTS + 1):
            try:
                return self._put_part(number, body)
            except ApiUnreachableError:
                if attempt == PART_ATTEMPTS:
                    raise
                time.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
        raise AssertionError("the loop returns or raises")

    def _put_part(self, number: int, body: bytes) -> str:
        """Its ETag, by a URL of its own. Raises ApiUnreachableError where it may be tried again."""
        (signed,) = self._ask("POST", "/part-urls", json={"numbers": [number]})["parts"]
        with _taken_back(self.moved) as moved:
            answer = self.client.put(signed, Told(io.BytesIO(body), len(body), moved))
            etag = answer.headers.get("etag", "").strip('"')
            if answer.status_code >= 500 or answer.status_code == requests.codes.too_many_requests:
                raise ApiUnreachableError(f"part {number}: the store says {answer.status_code}")
            if answer.ok and etag != _md5(body):
                raise ApiUnreachableError(f"part {number} did not arrive as it was sent")
            if not answer.ok:
                raise ApiRefusedError(
                    f"part {number} was refused with {answer.status_code}: go on with "
                    f"`outreach tasks resume {self.task_id} FILE`",
                    "REFUSED",
                )
        return etag

    def _ask(self, method: str, path: str, **more: Any) -> Any:  # noqa: ANN401 as requests has it
        return self.client.ask(method, f"/tasks/{self.task_id}/uploads/{self.name}{path}", **more)


@contextmanager
def _taken_back(moved: Moved) -> Iterator[Callable[[int], None]]:
    """Counts what moved, and takes it back when the block raises."""
    counted = 0

    def count(more: int) -> None:
        nonlocal counted
        counted += more
        moved(more)

    try:
        yield count
    except BaseException:
        moved(-counted)
        raise


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
