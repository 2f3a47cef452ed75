"""The one door to Postgres: every connection this project opens with psycopg is opened here.

Safe behind a transaction pooler (Neon's `-pooler` hosts are PgBouncer in transaction mode): no
prepared statements, no session state; use `SET LOCAL` and transaction-level locks only. DuckDB's
own connection is opened in outreach_assets/steps/extract.py from `Postgres.conninfo`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote

import psycopg
from psycopg import conninfo as libpq
from psycopg.rows import TupleRow

from outreach_core.connection_string import ENCODE, SCHEMES, URL_FORM, parts_of
from outreach_core.errors import PermanentError, RetryableError

Connection = psycopg.Connection[TupleRow]
DatabaseError = psycopg.Error
DataError = psycopg.DataError
IntegrityError = psycopg.IntegrityError
DeadlockDetected = psycopg.errors.DeadlockDetected
InsufficientPrivilege = psycopg.errors.InsufficientPrivilege
LockNotAvailable = psycopg.errors.LockNotAvailable
SerializationFailure = psycopg.errors.SerializationFailure
UndefinedColumn = psycopg.errors.UndefinedColumn
UndefinedSchema = psycopg.errors.InvalidSchemaName
UndefinedTable = psycopg.errors.UndefinedTable

CONNECT_TIMEOUT_SECONDS = 15  # a suspended Neon compute takes a few seconds to wake
# What a server, or the way to it, says in these words will be the same next time.
REFUSALS = re.compile(
    r"password authentication failed|role .* does not exist|database .* does not exist"
    r"|no pg_hba.conf entry|invalid connection option|missing \"=\"|invalid (sslmode|port|integer)"
    r"|could not translate host name|Name or service not known|no password supplied"
    r"|does not support SSL|certificate|requested endpoint|endpoint (ID|is disabled|could not)",
    re.IGNORECASE,
)
PASSWORD_PAIR = re.compile(r"password\s*=\s*('(?:[^'\\]|\\.)*'|\S+)")
PASSING = re.compile(r"Temporary failure in name resolution", re.IGNORECASE)
DISK_FULL, TOO_MANY_CONNECTIONS, STATEMENT_CANCELLED = "53100", "53300", "57014"


CURE = ": check NEON_HOST, NEON_DATABASE, NEON_USER and NEON_PASSWORD, or NEON_CONNECTION_STRING"


class DatabaseUnreachableError(RetryableError):
    """No answer from the server, or the connection was lost."""


class DatabaseRefusedError(PermanentError):
    """The server answered and said no: wrong password, no such database, no permission, no room."""


class Database(Protocol):
    """What lends connections: a Postgres, or a pool on one."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def connect(self) -> AbstractContextManager[Connection]:
        """One connection, in a transaction of its own."""


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """Where a database is and how to get in. `conninfo` holds the password and is never shown."""

    conninfo: str = field(repr=False)
    name: str
    """What messages call it: `NEON_HOST ep-x.neon.tech`, `the embedded PostgreSQL`."""

    @classmethod
    def at(
        cls, *, host: str, port: int, database: str, user: str, password: str, sslmode: str
    ) -> "Postgres":
        """The database at this address, named by its host."""
        conninfo = libpq.make_conninfo(
            host=host, port=port, dbname=database, user=user, password=password, sslmode=sslmode
        )
        return cls(conninfo=conninfo, name=f"NEON_HOST {host}")

    @contextmanager
    def connect(self, *, autocommit: bool = False) -> Iterator[Connection]:
        """One connection; commits when the block ends well, rolls back when it raises.

        Raises DatabaseUnreachableError or DatabaseRefusedError, also for a connection that is lost
        inside the block. Neither message holds the connection string.
        """
        self._check_conninfo()
        with (
            self.errors(),
            psycopg.connect(
                self.conninfo,
                autocommit=autocommit,
                prepare_threshold=None,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                application_name="outreach",
            ) as connection,
        ):
            yield connection

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn psycopg's connection errors inside the block into ours, without the secret."""
        try:
            yield
        except InsufficientPrivilege as error:
            says = self.redacted(error.diag.message_primary or "permission denied")
            raise DatabaseRefusedError(f"{self.name}: {says}: grant it to NEON_USER") from None
        except psycopg.OperationalError as error:
            named = self.named_error(error)
            if named is None:
                raise
            raise named from None  # psycopg prints the whole connection string on a typo

    def named_error(
        self, error: psycopg.OperationalError
    ) -> DatabaseUnreachableError | DatabaseRefusedError | None:
        """Ours for a connection that failed, None for a mistake in a statement."""
        says = self.redacted(str(error))
        code = error.sqlstate or ""
        if code and not code.startswith(("08", "57", "53", "28")):
            return None
        if code == DISK_FULL:
            return DatabaseRefusedError(
                f"{self.name} has no room on its disk: {says} (free some there)"
            )
        if code.startswith("28") or (REFUSALS.search(says) and not PASSING.search(says)):
            return DatabaseRefusedError(f"{self.name} refused the connection: {says}{CURE}")
        if code.startswith("53") and code != TOO_MANY_CONNECTIONS:
            return DatabaseUnreachableError(f"{self.name} is short of memory or a limit: {says}")
        if code == STATEMENT_CANCELLED:
            return DatabaseUnreachableError(f"{self.name} stopped a statement: {says}")
        return DatabaseUnreachableError(f"{self.name} cannot be reached: {says}")

    def _check_conninfo(self) -> None:
        """Raise DatabaseRefusedError for one that libpq cannot read, in our words.

        libpq's own would hold the word it stumbled over, which may be the password.
        """
        try:
            if self.conninfo.startswith(SCHEMES):
                parts_of(self.conninfo)
            libpq.conninfo_to_dict(self.conninfo)
        except (ValueError, psycopg.ProgrammingError) as error:
            says = str(error) if isinstance(error, ValueError) else f"expected {URL_FORM}; {ENCODE}"
            raise DatabaseRefusedError(f"{self.name}: the connection string {says}") from None

    def redacted(self, text: str) -> str:
        """The text without our password, our whole connection string or any `password=`."""
        return redacted(text, self.conninfo)

    @property
    def url(self) -> str:
        """The same as `postgresql://user:password@host:port/database`, for who wants a URL."""
        parts = dict(libpq.conninfo_to_dict(self.conninfo))
        host, port = parts.pop("host", "localhost"), parts.pop("port", "5432")
        user, password = (quote(str(parts.pop(k, "")), safe="") for k in ("user", "password"))
        database = quote(str(parts.pop("dbname", "postgres")), safe="")
        host = f"[{host}]" if ":" in str(host) else quote(str(host), safe=",")
        options = "&".join(f"{k}={quote(str(v), safe='')}" for k, v in parts.items())
        return f"postgresql://{user}:{password}@{host}:{port}/{database}" + (
            f"?{options}" if options else ""
        )

    def database(self, dbname: str) -> "Postgres":
        """The same server, another database."""
        return Postgres(conninfo=libpq.make_conninfo(self.conninfo, dbname=dbname), name=self.name)


def execute_together(
    connection: Connection, statements: Sequence[str], values: Mapping[str, object]
) -> list[TupleRow]:
    """Run the statements in one round trip, all or none of them; the rows of the last.

    Each sees what was committed before it began, so the second knows what the first has waited for.
    psycopg puts the values in as literals, for only a text without parameters may be several.
    """
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(";".join(statements).encode(), values)
        while cursor.nextset():
            pass
        return cursor.fetchall()


def redacted(text: str, conninfo: str) -> str:
    """The text on one line, without the connection string or the password in it."""
    secrets = [conninfo]
    try:
        password = str(libpq.conninfo_to_dict(conninfo).get("password") or "")
    except psycopg.ProgrammingError:
        # A string libpq cannot read may show any part of itself in an error.
        secrets += re.split(r"[\s@:/?&=]+", conninfo)
    else:
        secrets += [password, quote(password, safe=""), *_as_written(conninfo)]
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return " ".join(PASSWORD_PAIR.sub("password=***", text).split())


def _as_written(conninfo: str) -> list[str]:
    """The password of a URL with the encoding its writer chose."""
    found = re.match(r"postgres(?:ql)?://[^:@/]*:([^@/]*)@", conninfo)
    return [found[1]] if found else []
