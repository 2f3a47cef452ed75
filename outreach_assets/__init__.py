"""From Neon to Parquet and B2: tables and rules, the steps, and the Dagster graph around them."""
