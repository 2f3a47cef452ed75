"""The work, in plain Python and SQL: extract, validate, export, upload, record. No Dagster."""
