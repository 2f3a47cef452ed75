"""A real server for the tests that need one, shared by all workers of a test run."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres


@pytest.fixture(scope="session")
def postgres_server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Postgres]:
    """The maintenance database of one server; the last worker to finish lets it stop."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if hasattr(request.config, "workerinput") else base
    with EmbeddedPostgres(shared / "postgres") as embedded:
        server = embedded.ensure_running().database("postgres")
        with server.connect(autocommit=True) as connection:
            # Only a machine that loses its power could tell, and a new database costs half.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server


@pytest.fixture(scope="session")
def template(postgres_server: Postgres) -> Iterator[str]:
    """A database with all tables and no rows, to be copied: migrating takes five times as long."""
    with _database(postgres_server) as name:
        migrate(postgres_server.database(name))
        yield name


@pytest.fixture
def postgres(postgres_server: Postgres, template: str) -> Iterator[Postgres]:
    """A database of this test's own, migrated."""
    with _database(postgres_server, template) as name:
        yield postgres_server.database(name)


@pytest.fixture
def empty_postgres(postgres_server: Postgres) -> Iterator[Postgres]:
    """A database of this test's own, with nothing in it."""
    with _database(postgres_server) as name:
        yield postgres_server.database(name)


@pytest.fixture(scope="module")
def migrated(postgres_server: Postgres, template: str) -> Iterator[Postgres]:
    """One database for a file's tests: users are made anew by each."""
    with _database(postgres_server, template) as name:
        yield postgres_server.database(name)


@contextmanager
def _database(server: Postgres, template: str | None = None) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    copied = f"TEMPLATE {template} STRATEGY FILE_COPY" if template else ""
    with server.connect(autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} {copied}".encode())
    yield name
    with server.connect(autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
