"""Words every package shares: errors, settings, states, and the one door to Postgres.

No Dagster, no boto3, no FastAPI in here.
"""
