"""What is wrong with the settings, kept apart by variable. Finding it out is in settings.py."""

from collections.abc import Iterable
from dataclasses import dataclass

from outreach_core.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class SettingProblem:
    """One thing wrong with the environment."""

    variables: tuple[str, ...]
    found: str
    """Names the variables, and the value unless it is secret."""

    cure: str
    """What was expected instead."""

    @property
    def says(self) -> str:
        """The whole as one sentence."""
        return f"{self.found}: {self.cure}"


class WrongSettingsError(SettingsError):
    """All that is wrong, a line each."""

    def __init__(self, problems: Iterable[SettingProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(p.says for p in self.problems))


class DisagreementError(ValueError):
    """Settings that are fine alone and wrong together."""

    def __init__(self, problems: list[SettingProblem]) -> None:
        self.problems = problems
        super().__init__("; ".join(p.says for p in problems))
