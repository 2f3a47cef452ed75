"""A process that puts into a folder, killed anywhere: the old object or the new one, never half."""

import hashlib
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from b2_resources.local_store import LocalStore
from b2_resources.object_store import get_bytes

KILLS = 12
SIZES = (10, 3_000_000)
PUTTING = """
import sys
from pathlib import Path
from b2_resources.local_store import LocalStore
store = LocalStore(Path(sys.argv[1]))
print("ready", flush=True)
number = 0
while True:
    number += 1
    for size in (10, 3_000_000):
        body = number.to_bytes(8, "big") * (size // 8 + 1)
        store.put_bytes(f"killed/{size}", body, metadata={"number": str(number)})
"""
NAIVE = """
import sys
from pathlib import Path
target = Path(sys.argv[1]) / "naive"
target.parent.mkdir(parents=True, exist_ok=True)
target.write_bytes(b"")
print("ready", flush=True)
number = 0
while True:
    number += 1
    with target.open("wb", buffering=0) as file:
        for _ in range(300):
            file.write(number.to_bytes(8, "big") * 1250)
"""


def killed(program: str, root: Path, after_seconds: float) -> None:
    command = [sys.executable, "-c", program, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(after_seconds)  # where it is hit is up to the dice
        process.kill()


@pytest.mark.slow
def test_a_killed_put_leaves_one_whole_object(tmp_path: Path) -> None:
    dice = random.Random(3)  # noqa: S311 dice
    hit = 0
    for _ in range(KILLS):
        killed(PUTTING, tmp_path, dice.uniform(0.02, 0.25))
        hit += bool(list((tmp_path / ".outreach-store").rglob("*.part")))
        store = LocalStore(tmp_path)
        for found in list(store.list_objects("killed/")):
            head = store.head(found.key)
            body = get_bytes(store, found.key)
            assert body == body[:8] * (len(body) // 8)
            assert head.metadata == {"number": str(int.from_bytes(body[:8], "big"))}
            assert head.sha256 == hashlib.sha256(body).hexdigest()
        store.put_bytes("next", b"1")
        assert list((tmp_path / ".outreach-store").rglob("*.part")) == []
    assert hit, "no kill came while an object was being written: it proves nothing"


@pytest.mark.slow
def test_the_naive_way_is_torn_by_the_same_kills(tmp_path: Path) -> None:
    dice = random.Random(3)  # noqa: S311 dice
    for _ in range(KILLS * 3):
        killed(NAIVE, tmp_path, dice.uniform(0.02, 0.1))
        body = (tmp_path / "naive").read_bytes()
        if len(body) != 300 * 10_000:
            return
    raise AssertionError("the control was never torn: the kills come too late to prove anything")
