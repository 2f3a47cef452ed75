"""What commands know of where they run: the settings, and who is at the keyboard.

Settings are read when a command runs, not when `--help` is asked: pydantic takes a quarter of a
second to import, half of what `outreach --help` may take.
"""

import getpass
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outreach_core.settings import Settings


def load_settings() -> "Settings":
    """The settings of this process. Raises SettingsError naming each wrong variable."""
    from outreach_core.settings import load_settings  # noqa: PLC0415

    return load_settings()


def person_at_work() -> str:
    """The account and the machine, as `sam@laptop`: whom the audit log names."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
