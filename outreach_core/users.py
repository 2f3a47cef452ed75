"""Who may use the HTTP API: users and their bearer tokens, and how often each may ask.

A token is 32 random bytes, and its sha256 is what is kept. A slow hash, as passwords need, would
add nothing: nobody can try 2^256 tokens at any speed, and each request would pay for it.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from outreach_core.audit import command_event, write_event
from outreach_core.errors import PermanentError
from outreach_core.postgres import Connection, IntegrityError

USER_ADDED = "outreach_user_added"
USER_TOKEN_MADE = "outreach_user_token_made"  # noqa: S105 an event's name
USER_TOKENS_REVOKED = "outreach_user_tokens_revoked"

USER_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
"""It becomes a part of object keys."""

TOKEN_BEGINS = "ow_"  # noqa: S105 so that scanners of repositories know one when they see it
TOKEN_ID = 8
"""So many hex digits of its sha256 are what people call a token by."""

RECOGNISE = """
    WITH found AS (
      SELECT users.id, users.is_operator, users.is_administrator
      FROM shq.user_tokens AS tokens JOIN shq.users AS users ON users.id = tokens.user_id
      WHERE tokens.sha256 = %(sha256)s AND tokens.revoked_at IS NULL
    ), counted AS (
      INSERT INTO shq.user_requests AS so_far (user_id, minute, requests)
      SELECT id, %(minute)s, %(requests)s FROM found
      ON CONFLICT (user_id) DO UPDATE SET
        requests = excluded.requests
          + CASE WHEN so_far.minute >= excluded.minute THEN so_far.requests ELSE 0 END,
        minute = greatest(so_far.minute, excluded.minute)
      RETURNING requests
    )
    SELECT found.id, found.is_operator, found.is_administrator, counted.requests
    FROM found, counted"""


class UserError(PermanentError):
    """There is no such user or token, or there is one already, or the name is no name for one."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whose token a request carries."""

    user_id: str
    is_operator: bool
    """May read what concerns all users: the metrics."""

    is_administrator: bool
    """May see and change which folders are backed up where."""

    requests: int
    """How many the user has sent this minute, this one included; of all servers together."""


@dataclass(frozen=True, kw_only=True)
class NewToken:
    """A token as it is shown once and never again."""

    user_id: str
    token: str
    token_id: str


@dataclass(frozen=True, kw_only=True)
class UserFacts:
    """A user as `outreach users list` shows it."""

    user_id: str
    is_operator: bool
    is_administrator: bool
    created_at: datetime
    tokens: tuple[str, ...]
    """The ids of those that are good."""


def add_user(
    connection: Connection,
    user_id: str,
    *,
    is_operator: bool,
    is_administrator: bool = False,
    now: datetime,
) -> NewToken:
    """A new user with a first token. Raises UserError."""
    if not USER_ID.fullmatch(user_id):
        raise UserError(
            f"user {user_id[:60]!r}: expected 1 to 40 lower-case letters, digits and -, "
            "such as anna or crm-export"
        )
    try:
        with connection.transaction():
            connection.execute(
                "INSERT INTO shq.users (id, is_operator, is_administrator, created_at) "
                "VALUES (%s, %s, %s, %s)",
                [user_id, is_operator, is_administrator, now],
            )
    except IntegrityError:
        raise UserError(f"there is a user {user_id} already: `outreach users token`") from None
    may = {"is_operator": is_operator, "is_administrator": is_administrator}
    write_event(connection, command_event(USER_ADDED, {"user": user_id, **may}))
    return add_token(connection, user_id, now=now)


def add_token(connection: Connection, user_id: str, *, now: datetime) -> NewToken:
    """One more token of a user; the others stay good. Raises UserError."""
    token = TOKEN_BEGINS + secrets.token_urlsafe(32)
    sha256 = sha256_of(token)
    try:
        with connection.transaction():
            connection.execute(
                "INSERT INTO shq.user_tokens (sha256, user_id, created_at) VALUES (%s, %s, %s)",
                [sha256, user_id, now],
            )
    except IntegrityError:
        raise UserError(f"there is no user {user_id[:60]!r}: `outreach users add`") from None
    token_id = sha256.hex()[:TOKEN_ID]
    write_event(connection, command_event(USER_TOKEN_MADE, {"user": user_id, "token_id": token_id}))
    return NewToken(user_id=user_id, token=token, token_id=token_id)


def revoke_tokens(
    connection: Connection, user_id: str, token_id: str | None = None, *, now: datetime
) -> list[str]:
    """All of a user's tokens, or one, are refused from now on; the ids of those. Raises UserError.

    A user without a token is shut out; the tasks stay.
    """
    rows = connection.execute(
        "UPDATE shq.user_tokens SET revoked_at = %(now)s "
        "WHERE user_id = %(user_id)s AND revoked_at IS NULL "
        "AND left(encode(sha256, 'hex'), %(digits)s) "
        "  = coalesce(%(token_id)s, left(encode(sha256, 'hex'), %(digits)s)) "
        "RETURNING left(encode(sha256, 'hex'), %(digits)s)",
        {"user_id": user_id, "token_id": token_id, "digits": TOKEN_ID, "now": now},
    ).fetchall()
    revoked = [found for (found,) in rows]
    if not revoked:
        raise UserError(f"user {user_id[:60]!r} has no such token: `outreach users list` shows all")
    write_event(
        connection, command_event(USER_TOKENS_REVOKED, {"user": user_id, "token_ids": revoked})
    )
    return revoked


def list_users(connection: Connection) -> list[UserFacts]:
    """All users, in order of their names."""
    rows = connection.execute(
        "SELECT id, is_operator, is_administrator, created_at, "
        "ARRAY(SELECT left(encode(sha256, 'hex'), %s) FROM shq.user_tokens "
        "WHERE user_id = users.id AND revoked_at IS NULL "
        "ORDER BY created_at) FROM shq.users AS users ORDER BY id",
        [TOKEN_ID],
    ).fetchall()
    return [
        UserFacts(
            user_id=id_,
            is_operator=operator,
            is_administrator=administrator,
            created_at=at,
            tokens=tuple(tokens),
        )
        for id_, operator, administrator, at, tokens in rows
    ]


def recognise(
    connection: Connection, sha256: bytes, *, requests: int = 1, now: datetime
) -> Caller | None:
    """Whose token it is, and so many requests more counted for them; None for nobody's."""
    minute = now.replace(second=0, microsecond=0)
    values = {"sha256": sha256, "minute": minute, "requests": requests}
    row = connection.execute(RECOGNISE, values).fetchone()
    if row is None:
        return None
    user_id, is_operator, is_administrator, requests = row
    return Caller(
        user_id=user_id,
        is_operator=is_operator,
        is_administrator=is_administrator,
        requests=requests,
    )


def sha256_of(token: str) -> bytes:
    """What is kept of a token, and what it is found by."""
    return hashlib.sha256(token.encode(errors="replace")).digest()
