"""The settings as commands ask for them: read when a command runs, not when `--help` is asked.

pydantic takes a quarter of a second to import, half of what `outreach --help` may take.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outreach_core.settings import Settings


def load_settings() -> "Settings":
    """The settings of this process. Raises SettingsError naming each wrong variable."""
    from outreach_core.settings import load_settings  # noqa: PLC0415

    return load_settings()
