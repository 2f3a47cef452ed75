"""How a long run says how far it is. Who shows it, and how, is up to who starts the run."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class Progress(Protocol):
    """Hears of the steps of a run. Large runs go through the first steps batch by batch."""

    def began(self, step: str) -> None:
        """A step has begun or goes on."""

    def advanced(self, states: Sequence[str], facts: Mapping[str, int]) -> None:
        """These states have passed it; the facts, such as 37000 `people`, add up.

        May come from any thread.
        """


class NoProgress:
    """Shows nothing: the run's own log and its events say it all."""

    def began(self, step: str) -> None:
        """Nothing."""

    def advanced(self, states: Sequence[str], facts: Mapping[str, int]) -> None:
        """Nothing."""
