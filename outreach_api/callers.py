"""Whose token a request carries, asked of Postgres once a second and remembered in between.

A busy client's requests would otherwise each wait for a round trip and a change of one row. What
that costs: a revoked token is good for a second more, and of several servers each learns a second
late what the others have let in (docs/decisions/0013).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from starlette.concurrency import run_in_threadpool

from outreach_core.postgres_pool import PostgresPool
from outreach_core.users import Caller, recognise, sha256_of

REMEMBERED = timedelta(seconds=1)
MOST_REMEMBERED = 10_000
"""Beyond it all are forgotten, and asked for again."""


@dataclass(kw_only=True)
class Remembered:
    """A token's caller, as Postgres said it then."""

    caller: Caller | None = None
    asked_at: datetime
    untold: int = 0
    """Requests let in since, which Postgres does not know of."""

    def is_fresh(self, now: datetime) -> bool:
        """True as long as nobody need be asked. A clock that was set back asks at once."""
        return self.caller is not None and timedelta(0) <= now - self.asked_at < REMEMBERED


class Callers:
    """What one server process remembers, by the tokens' sha256."""

    def __init__(self, database: PostgresPool) -> None:
        self._database = database
        self._remembered: dict[bytes, Remembered] = {}

    async def caller_of(self, token: str, *, now: datetime) -> Caller | None:
        """Whose it is, and how many requests they have sent this minute; None for nobody's."""
        sha256 = sha256_of(token)
        found = self._remembered.get(sha256)
        if found is None or found.asked_at.minute != now.minute:
            found = Remembered(asked_at=now)
        found.untold += 1
        if not found.is_fresh(now):
            told, found.untold = found.untold, 0
            found.caller = await run_in_threadpool(self._asked, sha256, told, now)
            found.asked_at = now
            self._remember(sha256, found)
        if found.caller is None:
            return None
        return replace(found.caller, requests=found.caller.requests + found.untold)

    def _asked(self, sha256: bytes, requests: int, now: datetime) -> Caller | None:
        with self._database.statements() as connection:
            return recognise(connection, sha256, requests=requests, now=now)

    def _remember(self, sha256: bytes, found: Remembered) -> None:
        """Only who was let in: a stranger's guesses must not fill the memory."""
        if found.caller is None:
            self._remembered.pop(sha256, None)
            return
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[sha256] = found
