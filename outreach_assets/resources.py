"""What the assets open: Neon, and the run's private DuckDB with the folder it works in.

The object store's resource is in b2_resources/resource.py.
"""

from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg
from pydantic import Field

from outreach_assets.steps.export import EXPORTS_FOLDER
from outreach_assets.steps.private_duckdb import Duck, Limits, private_duckdb
from outreach_core.neon import open_embedded
from outreach_core.postgres import Postgres


class NeonResource(dg.ConfigurableResource[Postgres]):
    """The database with companies and people: a connection string, or an address, or embedded.

    Give secrets as `dg.EnvVar`, so that Dagster shows the variable's name.
    """

    connection_string: str = Field(default="", description="NEON_CONNECTION_STRING.")
    host: str = Field(default="", description="NEON_HOST; a -pooler host is fine.")
    port: int = Field(default=5432, description="NEON_PORT.")
    database: str = Field(default="", description="NEON_DATABASE.")
    user: str = Field(default="", description="NEON_USER.")
    password: str = Field(default="", description="NEON_PASSWORD.")
    sslmode: str = Field(default="require", description="NEON_SSLMODE.")
    home: str = Field(
        default="",
        description="OUTREACH_HOME: where the embedded server lives when none is named above.",
    )

    def open(self) -> Postgres:
        """The database; the embedded server is started when no other is named."""
        if self.connection_string:
            return Postgres(conninfo=self.connection_string, name="NEON_CONNECTION_STRING")
        if self.host:
            return Postgres.at(
                host=self.host,
                port=self.port,
                database=self.database,
                user=self.user,
                password=self.password,
                sslmode=self.sslmode,
            )
        return open_embedded(Path(self.home))


class PrivateDuckDBResource(dg.ConfigurableResource[Duck]):
    """The run's own DuckDB and the folder for what it leaves on this machine."""

    home: str = Field(description="OUTREACH_HOME, absolute.")
    memory_mb: int = Field(default=400, description="OUTREACH_DUCKDB_MEMORY_MB.")
    temp_gb: int = Field(default=50, description="OUTREACH_DUCKDB_TEMP_GB: room to spill.")
    threads: int | None = Field(default=None, description="OUTREACH_DUCKDB_THREADS; all cores.")

    @property
    def folder(self) -> Path:
        """OUTREACH_HOME."""
        return Path(self.home)

    @property
    def exports(self) -> Path:
        """Where exported files lie, keyed as in the store."""
        return self.folder / EXPORTS_FOLDER

    @property
    def spill(self) -> Path:
        """Where what lies on the disk for the length of a run lies."""
        return self.folder / "spill"

    def open(self) -> AbstractContextManager[Duck]:
        """A database in memory, closed and its spill folder removed when the block ends."""
        return private_duckdb(
            Limits(
                memory_mb=self.memory_mb,
                temp_gb=self.temp_gb,
                threads=self.threads,
                folder=self.spill,
            )
        )
