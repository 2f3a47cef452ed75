"""How a long run says how far it is. Who shows it, and how, is up to who starts the run."""

from typing import Protocol


class Progress(Protocol):
    """Hears of the steps of a run, in order; `advanced` may come from several threads."""

    def began(self, step: str, states: int) -> None:
        """A step has begun: `extract`, `validate`, `export`, `upload` or `record`."""

    def advanced(self, state: str) -> None:
        """The step under way is done with a state."""

    def ended(self, step: str, facts: str) -> None:
        """The step is done; the facts are for a person, such as `37,000 companies`."""


class NoProgress:
    """Shows nothing: the run's own log and its events say it all."""

    def began(self, step: str, states: int) -> None:
        """Nothing."""

    def advanced(self, state: str) -> None:
        """Nothing."""

    def ended(self, step: str, facts: str) -> None:
        """Nothing."""
