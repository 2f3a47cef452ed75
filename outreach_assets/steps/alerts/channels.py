"""What every way to reach people promises: `send`, in bounded time, without saying secrets.

The ways are in webhook.py and mail.py, what is sent through them in delivery.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from outreach_core.errors import PermanentError, RetryableError

ATTEMPTS = 3
PAUSE_SECONDS = 0.5
"""Before the second attempt; twice as long before the third."""

CONNECT_SECONDS = ANSWER_SECONDS = 5
"""Of one attempt; a sensor has 60 s for everything."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """What people read."""

    title: str
    """One line."""

    text: str
    """The whole, with the title and a link; lines of plain text."""


class AlertNotSentError(RetryableError):
    """The channel did not take the message now; it may later."""

    def __init__(self, says: str, *, retry_after_seconds: float = 0) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(says)


class AlertRefusedError(PermanentError):
    """The channel answered and will not take this message until somebody changes something."""


class Channel(Protocol):
    """One way to reach people."""

    @property
    def key(self) -> str:
        """What deliveries are kept under: the same as long as the receiver is the same."""

    @property
    def name(self) -> str:
        """What people know it by; no secret and nobody's address."""

    def send(self, message: Message) -> None:
        """Hand the message over. Raises AlertNotSentError or AlertRefusedError."""


def pauses() -> Iterator[float]:
    """How long to wait after each attempt that failed; 0 after the last, which is final."""
    for attempt in range(ATTEMPTS):
        yield PAUSE_SECONDS * 2**attempt if attempt < ATTEMPTS - 1 else 0
