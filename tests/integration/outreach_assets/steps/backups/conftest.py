"""What the tests of backups share: a source with a policy, and no rclone that outlives them."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from outreach_core.postgres import Postgres
from tests.backups import Backups


@pytest.fixture
def backups(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backups]:
    mark = f"C.{uuid4().hex}"
    monkeypatch.setenv("LANG", mark)  # which every rclone of this test inherits
    yield Backups(postgres, tmp_path, monkeypatch)
    assert rclones_with(mark) == []


def rclones_with(mark: str) -> list[str]:
    """The command lines of all `rclone rcd` on this machine that have it in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = process.joinpath("cmdline").read_bytes().split(b"\0")
            environment = process.joinpath("environ").read_bytes()
        except OSError:
            continue
        if b"rcd" in words and mark.encode() in environment:
            found.append(b" ".join(words).decode())
    return found
