"""Run a tool on files in a process of its own, and hear how it went.

The process is worker.py. Nothing of our environment reaches it; it can be stopped within a second.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from outreach_assets.tools.assignment import ToolLimits
from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError
from outreach_assets.tools.tool import Parameters, Tool

LOOK_EVERY_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class ToolRun:
    """What is to be done: a tool, its files by input name, its parameters."""

    tool: Tool
    inputs: Mapping[str, Path]
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """What came of it."""

    outputs: Sequence[Path]
    facts: Mapping[str, object]
    """What is worth saying at once; the tool's outputs say the rest."""

    seconds: float


def hear_nothing(_stage: str, _percent: int) -> None:
    """For who does not want to know how far it is."""


def never() -> bool:
    """For who does not cancel."""
    return False


def run_tool(
    run: ToolRun,
    folder: Path,
    *,
    limits: ToolLimits,
    heard: Callable[[str, int], None] = hear_nothing,
    is_cancelled: Callable[[], bool] = never,
) -> ToolResult:
    """Run the tool in the folder, which must be empty; its files are then in `folder/outputs`.

    Raises ToolRefusedError, whose code says why there are none. Leaves no process behind.
    """
    parameters = _checked(run)
    began = time.monotonic()
    with _worker(folder) as worker:
        _send(worker, _assignment(run, parameters, folder, limits))
        facts = _hear_out(worker, began + limits.seconds, heard, is_cancelled)
    return ToolResult(
        outputs=sorted((folder / "outputs").iterdir()),
        facts=facts,
        seconds=time.monotonic() - began,
    )


def _checked(run: ToolRun) -> Parameters:
    """Raise what can be known to be wrong before a process is started."""
    known = {one.name for one in run.tool.inputs}
    for name, path in run.inputs.items():
        if name not in known:
            raise ToolRefusedError(
                ErrorCode.FILES_NOT_FOUND, f"{run.tool.id} reads no {name}: it reads {known}"
            )
        if not path.is_file():
            raise ToolRefusedError(ErrorCode.FILES_NOT_FOUND, f"{name}: there is no file {path}")
    missing = [
        one.name for one in run.tool.inputs if one.is_required and one.name not in run.inputs
    ]
    if missing:
        raise ToolRefusedError(
            ErrorCode.FILES_NOT_FOUND, f"{run.tool.id} needs {', '.join(missing)}: hand it in"
        )
    return run.tool.checked_parameters(run.parameters)


def _assignment(
    run: ToolRun, parameters: Parameters, folder: Path, limits: ToolLimits
) -> dict[str, object]:
    return {
        "tool": run.tool.id,
        "inputs": {name: str(path.resolve()) for name, path in run.inputs.items()},
        "parameters": parameters.model_dump(mode="json"),
        "folder": str(folder.resolve()),
        "limits": asdict(limits),
    }


@contextmanager
def _worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process, in a group of its own that is gone when the block is left."""
    worker = subprocess.Popen(
        [sys.executable, "-I", "-m", "outreach_assets.tools.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # it could hold the file's data
        cwd=folder,
        env={"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC", "HOME": str(folder)},
        start_new_session=True,
    )
    try:
        yield worker
    finally:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def _send(worker: subprocess.Popen[bytes], assignment: Mapping[str, object]) -> None:
    if worker.stdin is not None:
        with suppress(BrokenPipeError):  # it died at once; its exit code says how
            worker.stdin.write(json.dumps(assignment).encode() + b"\n")
            worker.stdin.flush()


def _hear_out(
    worker: subprocess.Popen[bytes],
    deadline: float,
    heard: Callable[[str, int], None],
    is_cancelled: Callable[[], bool],
) -> Mapping[str, object]:
    for line in _lines(worker, deadline, is_cancelled):
        words = json.loads(line)
        if "error" in words:
            raise ToolRefusedError(
                ErrorCode(words["error"]["error_code"]), words["error"]["sentence"]
            )
        if "result" in words:
            facts: Mapping[str, object] = words["result"]
            return facts
        heard(words["stage"], words["percent"])
    raise _died(worker.wait())


def _lines(
    worker: subprocess.Popen[bytes], deadline: float, is_cancelled: Callable[[], bool]
) -> Iterator[bytes]:
    """What the worker says, until it ends. Raises ToolRefusedError when time is up or cancelled."""
    if worker.stdout is None:
        return
    unread = b""
    with selectors.DefaultSelector() as selector:
        selector.register(worker.stdout, selectors.EVENT_READ)
        while True:
            if is_cancelled():
                raise ToolRefusedError(ErrorCode.CANCELLED, "the run was cancelled")
            if time.monotonic() > deadline:
                raise _too_slow()
            if not selector.select(LOOK_EVERY_SECONDS):
                continue
            said = os.read(worker.stdout.fileno(), 65536)
            if not said:
                return
            *lines, unread = (unread + said).split(b"\n")
            yield from lines


def _too_slow() -> ToolRefusedError:
    return ToolRefusedError(
        ErrorCode.TIMED_OUT,
        "the tool took longer than it may: hand in fewer rows or columns, or let the operator "
        "raise OUTREACH_TOOL_SECONDS",
    )


def _died(code: int) -> ToolRefusedError:
    """An end without a word, as a sentence."""
    if code == -signal.SIGXCPU:
        return _too_slow()
    if code in (-signal.SIGKILL, -signal.SIGABRT):
        return ToolRefusedError(
            ErrorCode.OUT_OF_MEMORY,
            "the tool was stopped, most likely for want of memory: hand in fewer rows or columns",
        )
    return ToolRefusedError(
        ErrorCode.TOOL_CRASHED,
        f"the tool stopped without a word (code {code}): try again, then report it to its makers",
    )
