"""Users of the HTTP API and their tokens, in a real Postgres."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from outreach_core.postgres import Postgres
from outreach_core.users import (
    UserError,
    add_token,
    add_user,
    list_users,
    recognise,
    revoke_tokens,
    sha256_of,
)

T0 = datetime(2026, 11, 22, 8, tzinfo=UTC)


def test_a_token_is_good_until_it_is_revoked(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        first = add_user(connection, "anna", is_operator=True, now=T0)
        second = add_token(connection, "anna", now=T0)
        add_user(connection, "bob", is_operator=False, now=T0)
        caller = recognise(connection, sha256_of(first.token), now=T0)
        assert caller is not None
        assert (caller.user_id, caller.is_operator) == ("anna", True)
        assert revoke_tokens(connection, "anna", first.token_id, now=T0) == [first.token_id]
        assert recognise(connection, sha256_of(first.token), now=T0) is None
        assert recognise(connection, sha256_of(second.token), now=T0) is not None
        assert list_users(connection)[0].tokens == (second.token_id,)
        assert revoke_tokens(connection, "anna", now=T0) == [second.token_id]
        assert recognise(connection, sha256_of(second.token), now=T0) is None
        for wrong in ("", "ow_", "\x00", "\ud800", first.token[:-1], first.token + "x"):
            assert recognise(connection, sha256_of(wrong), now=T0) is None


def test_no_token_is_in_the_database_or_the_audit_log(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        made = add_user(connection, "anna", is_operator=False, now=T0)
        revoke_tokens(connection, "anna", now=T0)
        rows = connection.execute(
            "SELECT t::text FROM shq.user_tokens t UNION ALL SELECT a::text FROM shq.audit_log a"
        ).fetchall()
        types = connection.execute(
            "SELECT event_type FROM shq.audit_log "
            "WHERE event_type LIKE 'outreach_user%' ORDER BY id"
        ).fetchall()
    assert not [row for (row,) in rows if made.token in row or made.token[3:] in row]
    assert [name for (name,) in types] == [
        "outreach_user_added",
        "outreach_user_token_made",
        "outreach_user_tokens_revoked",
    ]


def test_a_name_that_is_no_part_of_a_key_is_refused(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        for name in ("", "Anna", "a/b", "..", "-a", "ä", "a" * 41, "a\n", "a b"):
            with pytest.raises(UserError, match="expected 1 to 40"):
                add_user(connection, name, is_operator=False, now=T0)


def test_what_is_there_twice_or_not_at_all_is_named(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        add_user(connection, "anna", is_operator=False, now=T0)
        with pytest.raises(UserError, match="already"):
            add_user(connection, "anna", is_operator=False, now=T0)
        with pytest.raises(UserError, match="no user 'bob'"):
            add_token(connection, "bob", now=T0)
        with pytest.raises(UserError, match="no such token"):
            revoke_tokens(connection, "anna", "%", now=T0)


def test_requests_are_counted_by_the_minute_over_all_connections(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        token = add_user(connection, "anna", is_operator=False, now=T0).token

    def ask(_number: int) -> int:
        with postgres.connect() as connection:
            caller = recognise(connection, sha256_of(token), now=T0 + timedelta(seconds=30))
        assert caller is not None
        return caller.requests

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(ask, range(12))) == list(range(1, 13))
    with postgres.connect() as connection:
        caller = recognise(connection, sha256_of(token), now=T0 + timedelta(minutes=1))
    assert caller is not None
    assert caller.requests == 1
