"""Do DuckDB and its Postgres extension work here? Asked without a database or a network."""

import duckdb

from outreach_assets.steps.extract import load_scanner
from outreach_assets.steps.private_duckdb import Limits, private_duckdb
from outreach_core.findings import Finding, Result


def check_duckdb(limits: Limits) -> Finding:
    """A run's own DuckDB opens within its limits and loads the extension from its wheel."""
    try:
        with private_duckdb(limits) as duck:
            load_scanner(duck)
    except (duckdb.Error, OSError) as error:
        return Finding(
            check="DuckDB",
            result=Result.PROBLEM,
            found=" ".join(str(error).split()),
            cure="run `uv sync`: duckdb and duckdb-extension-postgres-scanner of the same version "
            "belong together; OUTREACH_HOME must be writable",
        )
    return Finding(
        check="DuckDB",
        result=Result.OK,
        found=f"{duckdb.__version__} and its Postgres extension load from this machine, "
        f"{limits.memory_mb} MB of memory, {limits.temp_gb} GB to spill",
    )
