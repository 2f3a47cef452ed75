"""The process a tool works in: one line of JSON in, lines of JSON out.

    python -I -m outreach_assets.tools.worker

In: the tool's id, inputs, parameters, folder, limits. Out: `{"stage", "percent"}` as often as there
is news, then `{"result"}` or `{"error": {"error_code", "sentence"}}`. It ends when its standard
input is closed. run_tool.py is the other side.
"""

import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import BinaryIO

import duckdb

from outreach_assets.tools.assignment import Assignment, ToolLimits
from outreach_assets.tools.catalogue import tool_by_id
from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError
from outreach_assets.tools.sandbox import locked_duckdb, wall_in

MEMORY_SENTENCE = (
    "the file needs more memory than a tool may take: hand in fewer rows or columns, or let the "
    "operator raise OUTREACH_TOOL_MEMORY_MB"
)
DISK_SENTENCE = (
    "there is not enough disk for what the tool has to write: hand in a smaller file, or let the "
    "operator free some"
)


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """Writes lines that whoever started us reads."""

    out: BinaryIO

    def say(self, **words: object) -> None:
        """One line of JSON, at once."""
        self.out.write(json.dumps(words, default=str).encode() + b"\n")
        self.out.flush()

    def progress(self, stage: str, percent: int) -> None:
        """How far it is."""
        self.say(stage=stage, percent=percent)

    def error(self, code: ErrorCode, sentence: str) -> None:
        """Why there will be no result."""
        self.say(error={"error_code": code, "sentence": sentence})

    def out_of_memory(self) -> None:
        """Say so and end at once, from whatever thread saw it."""
        self.error(ErrorCode.OUT_OF_MEMORY, MEMORY_SENTENCE)
        os._exit(1)


def main() -> int:
    """Work on the one assignment that standard input holds; 0 when there is a result."""
    speaker = Speaker(out=os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # what a library prints is not ours to parse
    words = json.loads(_first_line())
    limits = ToolLimits(**words["limits"])
    wall_in(limits, speaker.out_of_memory)
    try:
        facts = _work(words, limits, speaker.progress)
    except ToolRefusedError as error:
        speaker.error(error.code, str(error))
    except (MemoryError, duckdb.OutOfMemoryException):
        speaker.error(ErrorCode.OUT_OF_MEMORY, MEMORY_SENTENCE)
    except OSError:
        speaker.error(ErrorCode.DISK_FULL, DISK_SENTENCE)
    except duckdb.Error as error:
        _say_duckdb(speaker, error)
    except Exception as error:  # noqa: BLE001 (a message could hold the file's data: only its place is said)
        speaker.error(ErrorCode.TOOL_CRASHED, _crash(error))
    else:
        speaker.say(result=facts)
        return 0
    return 1


def _first_line() -> bytes:
    """Unbuffered: what is behind it belongs to the thread that watches for the end."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return bytes(line)


def _work(
    words: dict[str, dict[str, str]], limits: ToolLimits, progress: Callable[[str, int], None]
) -> object:
    tool = tool_by_id(str(words["tool"]))
    parameters = tool.checked_parameters(words["parameters"])
    folder = Path(str(words["folder"]))
    inputs = {name: Path(path) for name, path in words["inputs"].items()}
    scratch, outputs = folder / "scratch", folder / "outputs"
    for one in (scratch, outputs):
        one.mkdir(parents=True)
    with locked_duckdb(folder, inputs, limits) as duck:
        facts: object = resolve_name(tool.work)(
            Assignment(
                duck=duck,
                one_thread=lambda: locked_duckdb(folder, {}, replace(limits, threads=1)),
                threads=limits.threads,
                inputs=inputs,
                parameters=parameters,
                scratch=scratch,
                outputs=outputs,
                progress=progress,
            )
        )
    shutil.rmtree(scratch)
    return facts


def _say_duckdb(speaker: Speaker, error: duckdb.Error) -> None:
    text = str(error)
    if "No space left" in text or "File too large" in text or "max_temp_directory" in text:
        speaker.error(ErrorCode.DISK_FULL, DISK_SENTENCE)
    elif "bad_alloc" in text or "Allocation failure" in text:
        speaker.error(ErrorCode.OUT_OF_MEMORY, MEMORY_SENTENCE)
    else:
        speaker.error(ErrorCode.TOOL_CRASHED, _crash(error))


def _crash(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    return (
        f"the tool broke on this file ({type(error).__name__} at {where}): report it to its makers"
    )


if __name__ == "__main__":
    sys.exit(main())
