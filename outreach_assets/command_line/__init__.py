"""The `outreach` command, one file per group of commands.

Heavy imports (Dagster, DuckDB, the stores) happen inside the commands, so that `--help` is quick.
"""
