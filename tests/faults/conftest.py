"""Workplaces for the fault tests, quickly made from templates in one real server."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from outreach_core.sample_data import ExistingRows, SampleSize, SampleTarget, load_sample
from outreach_core.users import add_user
from tests.faults.workplace import Workplace
from tests.integration.outreach_assets.tools.task_at_hand import TasksAtHand, clock
from tests.servers.rclone_s3 import RcloneS3

MAKE_DAGSTER_TABLES = """
import sys
from outreach_assets.instance_storage import OutreachStorage
OutreachStorage(sys.argv[1])
"""


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Postgres]:
    """The maintenance database of one server; the last worker to finish lets it stop."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if hasattr(request.config, "workerinput") else base
    with EmbeddedPostgres(shared / "faults-postgres") as embedded:
        yield embedded.ensure_running().database("postgres")


@pytest.fixture(scope="session")
def rows_template(server: Postgres) -> str:
    """A database with the demo's rows, to be copied."""
    name = _create(server)
    postgres = server.database(name)
    migrate(postgres)
    load_sample(
        postgres,
        size=SampleSize.DEMO,
        seed=1,
        target=SampleTarget.EMBEDDED,
        existing=ExistingRows.REFUSE,
    )
    return name


@pytest.fixture(scope="session")
def dagster_template(server: Postgres) -> str:
    """A database with Dagster's tables, to be copied."""
    name = _create(server)
    url = server.database(name).url.replace("postgresql://", "postgresql+psycopg2://")
    subprocess.run([sys.executable, "-c", MAKE_DAGSTER_TABLES, url], check=True, timeout=120)
    return name


@pytest.fixture
def workplace(
    server: Postgres, rows_template: str, dagster_template: str, tmp_path: Path
) -> Iterator[Workplace]:
    """A folder and two databases of this test's own; published files go to a folder."""
    names = [_create(server, template) for template in (rows_template, dagster_template)]
    home = tmp_path / "home"
    home.mkdir()
    rows, dagster = (server.database(name) for name in names)
    yield Workplace(home=home, postgres=rows, dagster=dagster)
    with server.connect(autocommit=True) as connection:
        for name in names:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def tasks(server: Postgres, tmp_path: Path) -> Iterator[TasksAtHand]:
    """Tasks of the user anna, in a database and a folder of this test's own."""
    name = f"tasks_{uuid4().hex[:12]}"
    with server.connect(autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    postgres = server.database(name)
    migrate(postgres)
    with postgres.connect() as connection:
        add_user(connection, "anna", is_operator=False, now=clock())
    yield TasksAtHand(postgres=postgres, home=tmp_path)
    with server.connect(autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[RcloneS3]:
    """A real S3 server."""
    with RcloneS3(tmp_path / "s3") as running:
        yield running


@pytest.fixture
def s3_workplace(workplace: Workplace, s3: RcloneS3) -> Workplace:
    """The same; published files go to a bucket."""
    workplace.s3 = s3
    return workplace


@pytest.fixture(params=["local", "s3"])
def either_workplace(
    request: pytest.FixtureRequest, workplace: Workplace, make_s3: Callable[[], RcloneS3]
) -> Workplace:
    """A workplace with each store in turn."""
    if request.param == "s3":
        workplace.s3 = make_s3()
    return workplace


@pytest.fixture
def make_s3(tmp_path: Path) -> Iterator[Callable[[], RcloneS3]]:
    """Starts real S3 servers; all are stopped in the end."""
    running: list[RcloneS3] = []

    def start() -> RcloneS3:
        running.append(RcloneS3(tmp_path / f"s3-{len(running)}").start())
        return running[-1]

    yield start
    for one in running:
        one.stop()


def _create(server: Postgres, template: str = "template0") -> str:
    name = f"faults_{os.getpid()}_{uuid4().hex[:12]}"
    with server.connect(autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    return name
