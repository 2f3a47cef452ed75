"""Whatever a server or libpq answers, no password is shown: neither in the error nor behind it."""

import socket
import traceback
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from outreach_core.postgres import DatabaseRefusedError, DatabaseUnreachableError, Postgres
from tests.unit.outreach_core.test_postgres import PASSWORDS, forms

FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def closed_port() -> Iterator[int]:
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


def shown_of(postgres: Postgres) -> str:
    """All that a log would hold of the failed attempt."""
    with (
        pytest.raises((DatabaseRefusedError, DatabaseUnreachableError)) as refused,
        postgres.connect(),
    ):
        pass
    return " ".join("".join(traceback.format_exception(refused.value)).split())


@FEW
@given(password=PASSWORDS, number=st.integers(0, 9))
@example(password="«a@b/c:d?e#f%g»", number=6)
@example(password="«it's \\ 'quoted'»", number=2)
def test_a_closed_port_hears_no_password(closed_port: int, password: str, number: int) -> None:
    conninfo = forms(password)[number].replace("@h/", f"@127.0.0.1:{closed_port}/")
    conninfo = conninfo.replace("//h/", f"//127.0.0.1:{closed_port}/")
    conninfo = conninfo.replace("host=h", f"host=127.0.0.1 port={closed_port}")
    if "127.0.0.1" not in conninfo:
        conninfo += f" host=127.0.0.1 port={closed_port}"
    shown = shown_of(Postgres(conninfo=conninfo, name="NEON_CONNECTION_STRING"))
    assert " ".join(password.split()) not in shown
    assert "«" not in shown


@FEW
@given(password=PASSWORDS)
def test_a_wrong_password_is_not_in_the_refusal(postgres_server: Postgres, password: str) -> None:
    conninfo = make_conninfo(postgres_server.conninfo, password=password)
    shown = shown_of(Postgres(conninfo=conninfo, name="NEON_HOST h"))
    assert "password authentication failed" in shown
    assert "«" not in shown


def test_a_password_of_odd_letters_gets_in_as_a_url_too(postgres_server: Postgres) -> None:
    password = "a@b/c:d?e#f%g h'i\\j&k=l+ü"
    name = "odd_letters"
    with postgres_server.connect() as connection:
        connection.execute(f"DROP ROLE IF EXISTS {name}")
        quoted = password.replace("'", "''")
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{quoted}'".encode())
    conninfo = make_conninfo(postgres_server.conninfo, password=password, user=name)
    url = Postgres(conninfo=conninfo, name="x").url
    assert conninfo_to_dict(url)["password"] == password
    with Postgres(conninfo=url, name="x").connect() as connection:
        assert connection.execute("SELECT current_user::text").fetchone() == (name,)
    with postgres_server.connect() as connection:
        connection.execute(f"DROP ROLE {name}")


def test_a_full_disk_on_the_server_is_said_so(postgres: Postgres) -> None:
    raise_it = "DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"
    with (
        pytest.raises(DatabaseRefusedError, match="has no room on its disk"),
        postgres.connect() as connection,
    ):
        connection.execute(raise_it)


def test_a_statement_that_took_too_long_may_be_tried_again(postgres: Postgres) -> None:
    slow = "SET LOCAL statement_timeout = '50ms'; SELECT pg_sleep(60)"
    with (
        pytest.raises(DatabaseUnreachableError, match="stopped a statement"),
        postgres.connect() as connection,
    ):
        connection.execute(slow)
