"""Does a store keep its promise here and now? Asked with one small object that is removed again.

Knows no kind of store; what a bucket may have been set up wrongly for is another question.
"""

import secrets
from collections.abc import Callable, Iterator

from b2_resources.object_store import ObjectMissingError, ObjectStore, get_bytes
from outreach_core.errors import OutreachError
from outreach_core.findings import Finding, Result

PREFIX = "outreach/doctor/"
"""Below `outreach/`, where keys that are limited to a prefix are made for."""


def probe_store(store: ObjectStore) -> Iterator[Finding]:
    """Put, head, get, list and delete one throwaway object: one finding, the first refusal if any.

    A second finding when the object could not be removed again.
    """
    key = f"{PREFIX}{secrets.token_hex(8)}.txt"
    body = b"written by `outreach doctor`, safe to delete\n"
    steps: dict[str, Callable[[], bool]] = {
        "put": lambda: store.put_bytes(key, body).size_bytes == len(body),
        "head": lambda: store.head(key).size_bytes == len(body),
        "get": lambda: get_bytes(store, key) == body,
        "list": lambda: [found.key for found in store.list_objects(key)] == [key],
        "delete": lambda: _is_gone_after_delete(store, key),
    }
    for step, keeps_promise in steps.items():
        try:
            if keeps_promise():
                continue
            yield _refused(f"{step} of {key} answered something else than was put")
        except OutreachError as error:
            yield _refused(f"{step}: {error}")
        if step != "put":
            yield from _left_behind(store, key)
        return
    place = store.place_of(PREFIX + "x").removesuffix(PREFIX + "x")
    yield Finding(
        check="store", result=Result.OK, found=f"{place}: put, head, get, list and delete work"
    )


def _is_gone_after_delete(store: ObjectStore, key: str) -> bool:
    store.delete(key)
    try:
        store.head(key)
    except ObjectMissingError:
        return True
    return False


def _left_behind(store: ObjectStore, key: str) -> Iterator[Finding]:
    try:
        store.delete(key)
    except OutreachError:
        yield Finding(
            check="store",
            result=Result.WARN,
            found=f"the throwaway object {key} is still there",
            cure=f"`outreach store rm {key}`, with a key that may delete",
        )


def _refused(found: str) -> Finding:
    return Finding(
        check="store",
        result=Result.PROBLEM,
        found=found,
        cure="`outreach store doctor` looks closer at the B2_ settings and the bucket",
    )
