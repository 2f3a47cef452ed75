"""Where tests of backups look, and where nobody answers."""

import socket
from pathlib import Path

from tests.backups import Backups


def a_dead_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def at_home(backups: Backups, *, encrypted: bool = False) -> Path:
    folder = backups.home / "backups" / "docs"
    return folder / "encrypted" / "files" if encrypted else folder / "files"
