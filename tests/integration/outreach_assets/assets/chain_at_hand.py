"""The chain in this process, around a database and a folder of a test's own."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from b2_resources.local_store import LocalStore
from b2_resources.resource import B2Resource
from outreach_assets.definitions import build_defs
from outreach_assets.jobs import REFRESH_TABLES
from outreach_assets.resources import NeonResource, PrivateDuckDBResource
from outreach_core.audit import events_of_run
from outreach_core.postgres import Postgres
from outreach_core.settings import Settings
from outreach_core.states import ALL_STATES


@dataclass(frozen=True, kw_only=True)
class ChainAtHand:
    """`run` is what a launched run does, without the processes around it."""

    postgres: Postgres
    home: Path
    instance: dg.DagsterInstance

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.home / "store")

    def run(
        self,
        states: Sequence[str] = ALL_STATES,
        *,
        config: Mapping[str, Any] | None = None,
        selection: Sequence[str] | None = None,
        **settings: Any,
    ) -> dg.ExecuteInProcessResult:
        """The chain, or the selected assets, over neighbouring states; failing is a result too."""
        self._let_a_second_pass()
        resources = {
            "neon": NeonResource(connection_string=self.postgres.url),
            "b2": B2Resource(local_root=str(self.home / "store")),
            "private_duckdb": PrivateDuckDBResource(home=str(self.home)),
        }
        defs = build_defs(Settings(outreach_home=self.home, **settings), resources)
        return defs.resolve_job_def(REFRESH_TABLES).execute_in_process(
            instance=self.instance,
            raise_on_error=False,
            asset_selection=selection and [dg.AssetKey.from_user_string(key) for key in selection],
            tags={
                "dagster/asset_partition_range_start": states[0],
                "dagster/asset_partition_range_end": states[-1],
                "outreach/once": "true",
            },
            run_config={
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                "ops": {"outreach_tables": {"config": dict(config or {})}},
            },
        )

    def _let_a_second_pass(self) -> None:
        """A version is a run's start to the second, and comes after the one before."""
        started = [record.start_time or 0 for record in self.instance.get_run_records(limit=1)]
        while started and int(time.time()) <= int(started[0]):
            time.sleep(0.02)

    def endings(self, result: dg.ExecuteInProcessResult) -> dict[str, Mapping[str, Any]]:
        """The details of the run's audit rows, by state."""
        with self.postgres.connect() as connection:
            rows = events_of_run(connection, result.run_id)
            return {str(details["state"]): details for details in rows}
