"""One `outreach dev` for all tests of this folder, and the runs that several of them look at."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from b2_resources.build_store import STORE_FOLDER
from b2_resources.local_store import LocalStore
from outreach_assets.assets.chain import chain
from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.neon import POSTGRES_FOLDER
from outreach_core.postgres import Postgres
from tests.servers.outreach_dev import Event, OutreachDev

CHAIN = [spec.key.to_user_string() for spec in chain()]
STATES = ("WI", "WV", "WY")


@dataclass(frozen=True, kw_only=True)
class Backfilled:
    """A backfill whose runs have ended."""

    backfill: str
    runs: list[Event]
    events: list[Event]


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutreachDev]:
    with OutreachDev(tmp_path_factory.mktemp("dev") / "home") as running:
        yield running


@pytest.fixture(scope="session")
def store(dev: OutreachDev) -> LocalStore:
    return LocalStore(dev.home / STORE_FOLDER)


@pytest.fixture
def neon(dev: OutreachDev) -> Iterator[Postgres]:
    with EmbeddedPostgres(dev.home / POSTGRES_FOLDER) as embedded:
        yield embedded.ensure_running()


@pytest.fixture(scope="session")
def three_states(dev: OutreachDev) -> Backfilled:
    """The whole chain over three neighbouring states, launched as the UI launches it."""
    backfill = dev.launch_backfill(CHAIN, STATES)
    runs = dev.ended_backfill(backfill)
    events = [event for run in runs for event in dev.events(run["id"])]
    return Backfilled(backfill=backfill, runs=runs, events=events)


@pytest.fixture(scope="session")
def every_state(dev: OutreachDev, three_states: Backfilled) -> Backfilled:
    """The chain over all states, after the three were published: they have nothing new."""
    backfill = dev.launch_backfill(CHAIN)
    runs = dev.ended_backfill(backfill)
    return Backfilled(backfill=backfill, runs=runs, events=dev.events(runs[0]["id"]))
