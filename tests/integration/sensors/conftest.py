"""A place of each test's own, its tables made and empty."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from tests.integration.sensors.place import Place


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster")) as opened:
        yield opened


@pytest.fixture
def place(postgres: Postgres, instance: dg.DagsterInstance, tmp_path: Path) -> Place:
    migrate(postgres)
    return Place(postgres=postgres, instance=instance, home=tmp_path)
