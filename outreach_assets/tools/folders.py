"""The folder a tool's run has to itself, and how its outputs leave it.

Whoever runs a tool makes the folder: it must be gone afterwards, also after a crash.
"""

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from outreach_core.life_marks import living_folder


def run_folder(parent: Path) -> AbstractContextManager[Path]:
    """An empty folder below the parent, gone with the block."""
    return living_folder(parent, "tool")


def handed_out(outputs: Sequence[Path], folder: Path) -> list[Path]:
    """The outputs in the folder, each whole or absent; those of an earlier run are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    targets = []
    for output in outputs:
        part = folder / f".{output.name}.part"
        shutil.copyfile(output, part)
        targets.append(part.replace(folder / output.name))
    return targets
