"""A database, a store and a Dagster instance, and what the sensor asks for there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from b2_resources.local_store import LocalStore
from b2_resources.resource import B2Resource
from outreach_assets.assets.asked_states import states_of
from outreach_assets.definitions import build_defs
from outreach_assets.jobs import REFRESH_TABLES
from outreach_assets.resources import NeonResource
from outreach_assets.steps.changed_states import changed_states, place_published_to, record_versions
from outreach_assets.steps.kill_switches import KillSwitches
from outreach_assets.steps.record import Ending, Status
from outreach_assets.tables.catalogue import TABLES
from outreach_assets.tables.table import Table
from outreach_core.postgres import Postgres
from outreach_core.settings import Settings
from sensors.changed_states import build_changed_states_sensor
from tests.given import COMPANY_MASTER, a_company, a_person, given_rows, given_sql
from tests.integration.outreach_assets.assets.chain_at_hand import ChainAtHand

SWITCHES = KillSwitches()


@dataclass(kw_only=True)
class Place:
    """A database, a store and an instance, and what the sensor says of them."""

    postgres: Postgres
    instance: dg.DagsterInstance
    home: Path
    requests: list[dg.RunRequest] = field(default_factory=list)
    """What the sensor asked for when it was last looked at."""

    events: list[dg.AssetObservation] = field(default_factory=list)
    skipped: str | None = None

    @property
    def resources(self) -> dict[str, object]:
        return {
            "neon": NeonResource(connection_string=self.postgres.conninfo),
            "b2": B2Resource(local_root=str(self.home / "store")),
        }

    @property
    def place(self) -> str:
        return place_published_to(LocalStore(self.home / "store"))

    def asked(
        self, tables: Sequence[Table] = TABLES, switches: KillSwitches = SWITCHES
    ) -> list[str]:
        """The states the sensor asks for now."""
        context = dg.build_sensor_context(self.instance, resources=self.resources)
        with context:
            found = build_changed_states_sensor(tables, switches).evaluate_tick(context)
        self.requests = list(found.run_requests or ())
        self.events = list(found.asset_events)
        self.skipped = found.skip_message
        return [state for request in self.requests for state in states_of(request.tags)]

    @property
    def chain(self) -> ChainAtHand:
        return ChainAtHand(postgres=self.postgres, home=self.home, instance=self.instance)

    def run(self, request: dg.RunRequest) -> bool:
        """What was asked for, really run; True when it succeeded."""
        return self.chain.run(states_of(request.tags)).success

    def run_all_changed(self, status: Status = Status.PUBLISHED, run_id: str = "run") -> None:
        """As if a run had ended for each state that has changed."""
        changed = changed_states(self.postgres, TABLES, SWITCHES, self.place)
        endings = {state: Ending(status=status) for state in changed}
        record_versions(self.postgres, self.place, changed, endings, run_id=run_id)

    def launch(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> str:
        """The run asked for, as far as this status."""
        job = build_defs(Settings()).resolve_job_def(REFRESH_TABLES)
        run = self.instance.create_run_for_job(job, tags=request.tags, status=status)
        return run.run_id


def given_three_neighbours(place: Place, status: Status = Status.PUBLISHED) -> None:
    """A company and a person in each of WI, WV and WY, all states as in their last run."""
    states = ("WI", "WV", "WY")
    given_rows(
        place.postgres,
        [a_company(state, address_state=state) for state in states],
        [a_person(state, company_unique_id=state) for state in states],
    )
    place.run_all_changed(status)


def edit(place: Place, *states: str, name: str = "Other") -> None:
    """Their companies get another name."""
    listed = ", ".join(f"'{state}'" for state in states)
    given_sql(
        place.postgres,
        f"UPDATE {COMPANY_MASTER} SET company_name = '{name}' WHERE address_state IN ({listed})",
    )
