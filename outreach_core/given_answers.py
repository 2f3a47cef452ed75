"""A POST that is sent again with the same Idempotency-Key is answered as the first time.

The answer is kept in the transaction that did the deed, so there is one exactly when it was done.
What failed is not kept: sent again, it is tried again.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from outreach_core.errors import PermanentError
from outreach_core.postgres import Connection

Answer = Mapping[str, object]


class IdempotencyKeyReusedError(PermanentError):
    """The key came before, with another request."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request that may have come before."""

    user_id: str
    idempotency_key: str | None
    """None: it says nothing of the kind, and is always new."""

    request_sha256: bytes
    """Of all that it asks."""


def answer_once(
    connection: Connection, asked: Asked, do: Callable[[], Answer], *, now: datetime
) -> Answer:
    """Do it and keep the answer, or give the answer that was kept.

    Of two at once the second waits until the first has committed. Raises IdempotencyKeyReusedError.
    """
    if asked.idempotency_key is None:
        return do()
    place = [asked.user_id, asked.idempotency_key]
    first = connection.execute(
        "INSERT INTO shq.given_answers (user_id, idempotency_key, request_sha256, given_at) "
        "VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [*place, asked.request_sha256, now],
    )
    if first.rowcount == 1:
        answer = do()
        connection.execute(
            "UPDATE shq.given_answers SET answer = %s WHERE user_id = %s AND idempotency_key = %s",
            [json.dumps(answer), *place],
        )
        return answer
    given = given_answer(connection, asked)
    return do() if given is None else given  # forgotten in this moment


def given_answer(connection: Connection, asked: Asked) -> Answer | None:
    """What it was answered before; None when it is new. Raises IdempotencyKeyReusedError."""
    if asked.idempotency_key is None:
        return None
    row = connection.execute(
        "SELECT request_sha256, answer FROM shq.given_answers "
        "WHERE user_id = %s AND idempotency_key = %s",
        [asked.user_id, asked.idempotency_key],
    ).fetchone()
    if row is None:
        return None
    request_sha256, answer = row
    if bytes(request_sha256) != asked.request_sha256:
        raise IdempotencyKeyReusedError(
            "this Idempotency-Key came before, with another request: choose a new one"
        )
    return dict(answer)
