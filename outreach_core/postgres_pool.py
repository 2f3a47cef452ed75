"""Connections to Postgres that a server keeps and lends out, one for each request.

A connection costs some 10 ms to make; a command makes one, a server cannot afford it. Safe behind a
transaction pooler, as in postgres.py.
"""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from psycopg_pool import ConnectionPool

from outreach_core.postgres import CONNECT_TIMEOUT_SECONDS, Connection, Postgres

MOST_CONNECTIONS = 10
WAIT_SECONDS = 10.0


class PostgresPool:
    """A pool on one database, open until it is closed; connects when first asked."""

    def __init__(self, postgres: Postgres, *, most: int = MOST_CONNECTIONS) -> None:
        self._postgres = postgres
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            postgres.conninfo,
            kwargs={
                "autocommit": True,
                "prepare_threshold": None,
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "application_name": "outreach-api",
            },
            min_size=0,
            max_size=most,
            timeout=WAIT_SECONDS,
            max_idle=60.0,
            check=_check,
            open=True,
        )

    @property
    def name(self) -> str:
        """What messages call the database."""
        return self._postgres.name

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """One connection; commits when the block ends well, rolls back when it raises.

        Raises DatabaseUnreachableError, also when all are lent out for too long, or
        DatabaseRefusedError.
        """
        with self.statements() as connection, connection.transaction():
            yield connection

    @contextmanager
    def statements(self) -> Iterator[Connection]:
        """The same where every statement stands for itself: each saves two round trips."""
        with self._postgres.errors(), self._pool.connection() as connection:
            yield connection

    def close(self) -> None:
        """Give all connections back."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _check(connection: Connection) -> None:
    """Raise when a restarted server has cut it: nobody is lent such a one.

    The end of a connection can be read without asking; a round trip for each request cannot be
    afforded. Only where something is to be read, the server is asked.
    """
    readable = select.poll()
    readable.register(connection, select.POLLIN)
    if readable.poll(0):
        ConnectionPool.check_connection(connection)
