"""Tools in a process of their own: what it may take, what it sees, and that it always ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from outreach_assets.tools.assignment import ToolLimits
from outreach_assets.tools.catalogue import tool_by_id
from outreach_assets.tools.folders import handed_out, run_folder
from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError
from outreach_assets.tools.run_tool import ToolResult, ToolRun, run_tool
from tests.unit.outreach_assets.tools.handed_in import a_file

PEOPLE = "unique_id,company_unique_id,email,title\np1,c1,a@b.example,CFO\np2,c1,nope,\n"
LIMITS = ToolLimits(memory_mb=512, seconds=60, disk_mb=100)
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def run(folder: Path, path: Path, tool: str = "validate-outreach", **more: object) -> ToolResult:
    work = folder / "run"
    work.mkdir()
    options: dict[str, object] = {"limits": LIMITS, **more}
    asked = ToolRun(tool=tool_by_id(tool), inputs={"primary": path})
    return run_tool(asked, work, **options)  # type: ignore[arg-type]


def refusal(folder: Path, path: Path, **more: object) -> ErrorCode:
    with pytest.raises(ToolRefusedError) as refused:
        run(folder, path, **more)
    assert not children()
    return refused.value.code


def children(pid: int | None = None) -> list[int]:
    """The tools at work below a process; this one may have started servers for other tests."""
    tasks = Path(f"/proc/{pid or os.getpid()}/task").glob("*/children")
    found = [int(one) for task in tasks for one in task.read_text().split()]
    return [one for one in found if b"tools.worker" in words_of(one)]


def words_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended meanwhile
        return b""


@pytest.fixture
def people(tmp_path: Path) -> Iterator[Path]:
    yield a_file(tmp_path, PEOPLE)
    assert not children()


def test_a_run_says_how_far_it_is_and_what_came_of_it(tmp_path: Path, people: Path) -> None:
    heard: list[tuple[str, int]] = []
    result = run(tmp_path, people, heard=lambda stage, percent: heard.append((stage, percent)))
    assert (result.facts["good"], result.facts["bad"]) == (1, 1)
    names = ["bad.csv", "good.csv", "validation_summary.json"]
    assert [path.name for path in result.outputs] == names
    assert [percent for _, percent in heard] == sorted(percent for _, percent in heard)
    assert heard[0][0] == "reading"
    assert heard[-1] == ("done", 100)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["outputs"]


def test_a_refusal_inside_the_process_is_the_same_outside(tmp_path: Path) -> None:
    assert refusal(tmp_path, a_file(tmp_path, "")) is ErrorCode.EMPTY_FILE


def test_what_can_be_known_before_is_refused_without_a_process(
    tmp_path: Path, people: Path
) -> None:
    tool = tool_by_id("validate-outreach")
    for asked, code in (
        (ToolRun(tool=tool, inputs={}), ErrorCode.FILES_NOT_FOUND),
        (ToolRun(tool=tool, inputs={"primary": tmp_path / "no"}), ErrorCode.FILES_NOT_FOUND),
        (ToolRun(tool=tool, inputs={"other": people}), ErrorCode.FILES_NOT_FOUND),
        (
            ToolRun(tool=tool, inputs={"primary": people}, parameters={"table": "x"}),
            ErrorCode.INVALID_PARAMETERS,
        ),
    ):
        with pytest.raises(ToolRefusedError) as refused:
            run_tool(asked, tmp_path / "never made", limits=LIMITS)
        assert refused.value.code is code


@on_linux
def test_the_process_sees_nothing_of_our_environment(
    tmp_path: Path, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEON_PASSWORD", "hunter22")
    seen: list[bytes] = []

    def look(_stage: str, _percent: int) -> None:
        seen.extend(Path(f"/proc/{child}/environ").read_bytes() for child in children())

    run(tmp_path, people, heard=look)
    assert seen
    assert not any(b"hunter22" in environment for environment in seen)
    names = {line.split(b"=")[0] for line in seen[0].split(b"\0") if line}
    assert names <= {b"PATH", b"LANG", b"TZ", b"HOME", b"LC_CTYPE"}


def test_a_cancelled_run_ends_and_leaves_no_process(tmp_path: Path, people: Path) -> None:
    heard: list[int] = []
    code = refusal(
        tmp_path,
        people,
        heard=lambda _stage, percent: heard.append(percent),
        is_cancelled=lambda: bool(heard),
    )
    assert code is ErrorCode.CANCELLED


def test_a_run_that_takes_too_long_ends(tmp_path: Path, people: Path) -> None:
    limits = ToolLimits(memory_mb=512, seconds=0)
    assert refusal(tmp_path, people, limits=limits) is ErrorCode.TIMED_OUT


@on_linux
def test_a_run_that_takes_too_much_memory_says_so(tmp_path: Path, people: Path) -> None:
    limits = ToolLimits(memory_mb=20, seconds=60)
    assert refusal(tmp_path, people, limits=limits) is ErrorCode.OUT_OF_MEMORY


@on_linux
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGKILL, ErrorCode.OUT_OF_MEMORY),
        (signal.SIGXCPU, ErrorCode.TIMED_OUT),
        (signal.SIGSEGV, ErrorCode.TOOL_CRASHED),
    ],
)
def test_a_process_that_dies_without_a_word_is_a_sentence(
    tmp_path: Path, people: Path, number: int, code: ErrorCode
) -> None:
    def kill(_stage: str, _percent: int) -> None:
        for child in children():
            os.kill(child, number)

    assert refusal(tmp_path, people, heard=kill) is code


HOLDER = """
import sys
from pathlib import Path
from outreach_assets.tools.run_tool import *
from outreach_assets.tools.assignment import ToolLimits
from outreach_assets.tools.catalogue import tool_by_id
run_tool(
    ToolRun(tool=tool_by_id("profile-my-data"), inputs={"primary": Path(sys.argv[1])}),
    Path(sys.argv[2]), limits=ToolLimits(), heard=lambda *_: print("works", flush=True),
)
"""


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


@on_linux
def test_when_whoever_started_it_is_killed_the_process_ends(tmp_path: Path) -> None:
    lines = "".join(f"{n},x{n}\n" for n in range(400_000))
    large = a_file(tmp_path, f"a,b\n{lines}")
    work = tmp_path / "run"
    work.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, large, work], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"works\n"
        (worker,) = children(holder.pid)
        holder.kill()
    wait_until(lambda: not Path(f"/proc/{worker}/cmdline").exists() or is_zombie(worker))


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.slow
def test_a_bomb_within_the_rules_ends_at_the_limits(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    duckdb.execute(f"""
        COPY (SELECT repeat('x', 1900000) || range AS a, range AS b FROM range(600))
        TO '{path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 2048)""")
    assert path.stat().st_size < 1_000_000
    code = refusal(tmp_path, path, tool="profile-my-data")
    assert code in (ErrorCode.OUT_OF_MEMORY, ErrorCode.DISK_FULL)


def test_a_folder_of_a_run_is_gone_afterwards(tmp_path: Path) -> None:
    with run_folder(tmp_path) as folder:
        (folder / "x").write_text("y")
    assert list(tmp_path.iterdir()) == []


def test_outputs_replace_those_of_the_run_before(tmp_path: Path) -> None:
    output = a_file(tmp_path, "new", "good.csv")
    out = tmp_path / "out"
    out.mkdir()
    (out / "good.csv").write_text("old")
    assert handed_out([output], out) == [out / "good.csv"]
    assert {path.name: path.read_text() for path in out.iterdir()} == {"good.csv": "new"}
