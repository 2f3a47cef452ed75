"""The probe asks for everything a store promises, names what failed, and leaves nothing behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from b2_resources.local_store import LocalStore
from b2_resources.object_store import StoredObject, StoreRefusedError
from b2_resources.probe import probe_store
from outreach_core.findings import Result


class Refusing(LocalStore):
    """Refuses one kind of request, as a key without that capability would be."""

    def __init__(self, root: Path, step: str) -> None:
        super().__init__(root)
        self._step = step

    def _ask(self, step: str) -> None:
        if step == self._step:
            raise StoreRefusedError(f"no {step} with this key")

    def put_bytes(self, key: str, body: bytes, **more: Any) -> StoredObject:
        self._ask("put")
        return super().put_bytes(key, body, **more)

    def head(self, key: str) -> StoredObject:
        self._ask("head")
        return super().head(key)

    def stream(self, key: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        self._ask("get")
        yield from super().stream(key, start=start, end=end)

    def list_objects(self, prefix: str = "") -> Iterator[StoredObject]:
        self._ask("list")
        yield from super().list_objects(prefix)

    def delete(self, key: str) -> None:
        self._ask("delete")
        super().delete(key)


class Forgetful(LocalStore):
    """Says yes to everything and lists nothing."""

    def list_objects(self, prefix: str = "") -> Iterator[StoredObject]:  # noqa: ARG002 as the promise has it
        return iter(())


def test_a_store_that_works_is_one_finding_and_is_left_as_it_was(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    (finding,) = probe_store(store)
    assert finding.result is Result.OK
    assert finding.found.startswith(f"{tmp_path}/: ")
    assert list(store.list_objects()) == []


@pytest.mark.parametrize("step", ["put", "head", "get", "list"])
def test_what_is_refused_is_named_and_nothing_is_left(tmp_path: Path, step: str) -> None:
    (finding,) = probe_store(Refusing(tmp_path, step))
    assert finding.result is Result.PROBLEM
    assert finding.found == f"{step}: no {step} with this key"
    assert finding.cure
    assert list(LocalStore(tmp_path).list_objects()) == []


def test_an_object_that_cannot_be_removed_is_named(tmp_path: Path) -> None:
    refused, left = probe_store(Refusing(tmp_path, "delete"))
    assert refused.found == "delete: no delete with this key"
    (there,) = LocalStore(tmp_path).list_objects()
    assert there.key in left.found
    assert there.key in left.cure
    assert left.result is Result.WARN


def test_an_answer_that_is_not_true_is_a_problem(tmp_path: Path) -> None:
    (finding,) = probe_store(Forgetful(tmp_path))
    assert finding.result is Result.PROBLEM
    assert finding.found.startswith("list of outreach/doctor/")
