"""Dagster's own storage: Postgres, its connections held, its events written in batches (D16).

A run over 57 states stores some 2,000 events. With a new connection for each that takes 28 s;
batched and with held connections, 4 s (measured). dagster.yaml names this class, so every process
that opens the instance gets it: webserver, daemon, runs, command line.
"""

import os
from collections.abc import Mapping
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from outreach_core.neon import open_dagster_storage
from outreach_core.settings import load_settings

EVENT_BATCH_SIZE = "200"
STATEMENT_TIMEOUT_MS = 60_000
POOL_RECYCLE_SECONDS = 3_600
MAX_OVERFLOW = 10


class OutreachStorage(DagsterPostgresStorage):
    """OUTREACH_DAGSTER_POSTGRES_URL, or a database of the embedded server when it is not set."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, inst_data=inst_data)
        for storage in (self.run_storage, self.event_log_storage, self.schedule_storage):
            storage.optimize_for_webserver(
                statement_timeout=STATEMENT_TIMEOUT_MS,
                pool_recycle=POOL_RECYCLE_SECONDS,
                max_overflow=MAX_OVERFLOW,
            )

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing to configure in dagster.yaml: the settings say where it is."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003 empty, see config_type
    ) -> "OutreachStorage":
        """The storage as this process's settings name it. Raises SettingsError."""
        # Dagster reads this variable at each event; nothing in dagster.yaml can set it.
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", EVENT_BATCH_SIZE)  # noqa: TID251
        return cls(storage_url(), inst_data)


def storage_url() -> str:
    """Where Dagster keeps its own tables, in the one form it gets right.

    `postgresql+psycopg2://`, because dagster-postgres breaks on psycopg 3 (FACTS); the direct
    host, because it wants session state, which a transaction pooler does not keep.
    """
    url = open_dagster_storage(load_settings()).url
    return "postgresql+psycopg2://" + url.split("://", 1)[1]
