"""A real server for the tests that need one, shared by all workers of a test run."""

from collections.abc import Iterator
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


@pytest.fixture
def postgres(postgres_server: Postgres) -> Iterator[Postgres]:
    """An empty database of this test's own."""
    name = f"test_{uuid4().hex}"
    with postgres_server.connect(autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield postgres_server.database(name)
    with postgres_server.connect(autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(scope="module")
def migrated(postgres_server: Postgres) -> Iterator[Postgres]:
    """One database for a file's tests: users are made anew by each."""
    name = f"module_{uuid4().hex}"
    with postgres_server.connect(autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    postgres = postgres_server.database(name)
    migrate(postgres)
    yield postgres
    with postgres_server.connect(autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
