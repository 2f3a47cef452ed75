"""What Postgres says, as errors of ours, and never with a password in them."""

from urllib.parse import quote

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from outreach_core.connection_string import parts_of
from outreach_core.postgres import (
    DatabaseRefusedError,
    DatabaseUnreachableError,
    Postgres,
    redacted,
)

POSTGRES = Postgres(conninfo="host=h user=u password=hunter22 dbname=d", name="NEON_HOST h")
# Long enough that it is no part of an ordinary sentence; NUL cannot be in an environment.
PASSWORDS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=6, max_size=40
).map(lambda text: f"«{text}»")


def said(sqlstate: str | None, words: str) -> psycopg.OperationalError:
    error = psycopg.errors.lookup(sqlstate) if sqlstate else psycopg.OperationalError
    assert issubclass(error, psycopg.OperationalError)
    return error(words)


@pytest.mark.parametrize(
    ("sqlstate", "words", "kind", "expected"),
    [
        (None, "connection refused", DatabaseUnreachableError, "cannot be reached"),
        (None, "Temporary failure in name resolution", DatabaseUnreachableError, "be reached"),
        (
            None,
            'could not translate host name "x" to address: Temporary failure in name resolution',
            DatabaseUnreachableError,
            "cannot be reached",
        ),
        (None, "server at ep-endpoint: timeout expired", DatabaseUnreachableError, "be reached"),
        ("08006", "connection failure", DatabaseUnreachableError, "cannot be reached"),
        ("57P01", "terminating connection", DatabaseUnreachableError, "cannot be reached"),
        ("57P03", "the database system is starting up", DatabaseUnreachableError, "be reached"),
        ("53300", "too many clients already", DatabaseUnreachableError, "cannot be reached"),
        ("53200", "out of memory", DatabaseUnreachableError, "short of memory"),
        ("57014", "canceling statement due to timeout", DatabaseUnreachableError, "stopped a"),
        ("53100", "could not extend file", DatabaseRefusedError, "has no room on its disk"),
        ("28P01", "password authentication failed", DatabaseRefusedError, "refused"),
        (None, "password authentication failed for user", DatabaseRefusedError, "refused"),
        (None, 'database "x" does not exist', DatabaseRefusedError, "refused"),
        (None, "Name or service not known", DatabaseRefusedError, "refused"),
        (None, "The requested endpoint could not be found", DatabaseRefusedError, "refused"),
        (None, "server does not support SSL, but SSL was required", DatabaseRefusedError, "ref"),
    ],
)
def test_what_the_server_says_becomes_an_error_that_says_whether_to_try_again(
    sqlstate: str | None, words: str, kind: type[Exception], expected: str
) -> None:
    named = POSTGRES.named_error(said(sqlstate, words))
    assert type(named) is kind
    assert str(named).startswith("NEON_HOST h ")
    assert expected in str(named)
    assert words in str(named)


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03"])
def test_a_mistake_in_a_statement_is_left_as_it_is(sqlstate: str) -> None:
    assert POSTGRES.named_error(said(sqlstate, "deadlock detected")) is None


def forms(password: str) -> list[str]:
    """The same password as people write it, also where it should have been encoded."""
    return [
        make_conninfo(host="h", user="u", password=password, dbname="d"),
        f"host=h user=u dbname=d password={password}",
        f"host=h user=u password={password} dbname=d",
        f"password={password}",
        f"postgresql://u:{quote(password, safe='')}@h/d",
        f"postgresql://u:{quote(password)}@h/d",
        f"postgresql://u:{password}@h/d",
        f"postgresql://h/d?user=u&password={quote(password, safe='')}",
        f"postgresql://h/d?user=u&password={password}",
        password,
    ]


@given(password=PASSWORDS, before=st.text(max_size=10), number=st.integers(0, 9))
@example(password="«a@b/c:d?e#f%g»", before="", number=6)
@example(password="«it's \\ 'quoted' \"too\"»", before="", number=0)
@example(password="«two\nlines»", before="", number=3)
def test_no_password_is_left_in_a_text(password: str, before: str, number: int) -> None:
    conninfo = forms(password)[number]
    text = f"{before} error in {conninfo}: for {password} or {quote(password, safe='')}"
    try:
        conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        shown = redacted(conninfo, conninfo)
        assert password not in shown
    else:
        shown = redacted(text, conninfo)
    known = conninfo_to_dict_or_none(conninfo)
    if known is None or known == password:
        assert " ".join(password.split()) not in shown


def conninfo_to_dict_or_none(conninfo: str) -> str | None:
    try:
        return str(conninfo_to_dict(conninfo).get("password"))
    except psycopg.ProgrammingError:
        return None


def test_the_password_of_others_is_not_shown_either() -> None:
    text = "password=abc password = 'd e f' PGPASSWORD"
    assert redacted(text, "host=h") == "password=*** password=*** PGPASSWORD"


def test_the_connection_string_is_not_in_a_representation() -> None:
    assert "hunter22" not in repr(POSTGRES)


@given(password=PASSWORDS)
def test_a_url_leads_to_the_same_database(password: str) -> None:
    conninfo = make_conninfo(
        host="h", port=5433, user="ü", password=password, dbname="d/e", sslmode="disable"
    )
    postgres = Postgres(conninfo=conninfo, name="x")
    assert conninfo_to_dict(postgres.url) == conninfo_to_dict(conninfo)
    assert parts_of(postgres.url) == conninfo_to_dict(conninfo)


@pytest.mark.parametrize("host", ["::1", "/var/run/postgresql", "h"])
def test_a_url_holds_any_kind_of_host(host: str) -> None:
    postgres = Postgres(conninfo=make_conninfo(host=host, dbname="d", user="u"), name="x")
    assert conninfo_to_dict(postgres.url)["host"] == host


@given(password=PASSWORDS)
def test_pairs_are_read_as_libpq_reads_them(password: str) -> None:
    conninfo = make_conninfo(host="h", user="u u", password=password, dbname="d")
    assert parts_of(conninfo) == conninfo_to_dict(conninfo)


@given(
    text=st.builds(
        lambda user, word, rest: f"postgresql://{user}:{word}@h{rest}",
        st.text("abc%4@:/", max_size=4),
        st.text("abc%04@:/?#&='", max_size=8),
        st.sampled_from(["", "/", "/d", ":1/d", "/d?sslmode=require", ":x", "/d?a"]),
    )
)
def test_a_url_is_read_as_libpq_reads_it_or_refused(text: str) -> None:
    try:
        ours = parts_of(text)
    except ValueError:
        return
    theirs = {k: str(v) for k, v in conninfo_to_dict(text).items() if v}
    assert ours == theirs


def test_another_database_of_the_same_server() -> None:
    other = POSTGRES.database("postgres")
    assert conninfo_to_dict(other.conninfo)["dbname"] == "postgres"
    assert conninfo_to_dict(other.conninfo)["password"] == "hunter22"
