"""The folder a tool's run has to itself, and how its outputs leave it.

Whoever runs a tool makes the folder: it must be gone afterwards, also after a crash.
"""

import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from outreach_core.life_marks import marked_alive, sweep_dead


@contextmanager
def run_folder(parent: Path) -> Iterator[Path]:
    """An empty folder below the parent; what runs that were killed left beside it is removed."""
    parent.mkdir(parents=True, exist_ok=True)
    for dead in sweep_dead(parent):
        shutil.rmtree(parent / dead, ignore_errors=True)
    name = f"tool-{secrets.token_hex(8)}"
    with marked_alive(parent, name):
        folder = parent / name
        try:
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def handed_out(outputs: Sequence[Path], folder: Path) -> list[Path]:
    """The outputs in the folder, each whole or absent; those of an earlier run are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    targets = []
    for output in outputs:
        part = folder / f".{output.name}.part"
        shutil.copyfile(output, part)
        targets.append(part.replace(folder / output.name))
    return targets
