"""A place of each test's own, its tables made and empty."""

from pathlib import Path

import dagster as dg
import pytest

from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from tests.integration.sensors.place import Place


@pytest.fixture
def instance(tmp_path: Path) -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral(tempdir=str(tmp_path))


@pytest.fixture
def place(postgres: Postgres, instance: dg.DagsterInstance, tmp_path: Path) -> Place:
    migrate(postgres)
    return Place(postgres=postgres, instance=instance, home=tmp_path)
