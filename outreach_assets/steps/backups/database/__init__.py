"""The project's database as Parquet at every destination, and back into an empty PostgreSQL."""
