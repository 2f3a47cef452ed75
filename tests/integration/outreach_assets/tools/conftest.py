"""Tasks of the user anna in a database and a folder of a test's own."""

from pathlib import Path

import pytest

from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from outreach_core.users import add_user
from tests.integration.outreach_assets.tools.task_at_hand import TasksAtHand, clock


@pytest.fixture
def tasks(postgres: Postgres, tmp_path: Path) -> TasksAtHand:
    migrate(postgres)
    with postgres.connect() as connection:
        add_user(connection, "anna", is_operator=False, now=clock())
    return TasksAtHand(postgres=postgres, home=tmp_path)
