"""The chain with nothing in it yet."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from tests.integration.outreach_assets.assets.chain_at_hand import ChainAtHand


@pytest.fixture
def chain(postgres: Postgres, tmp_path: Path) -> Iterator[ChainAtHand]:
    migrate(postgres)
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster")) as instance:
        yield ChainAtHand(postgres=postgres, home=tmp_path / "home", instance=instance)
