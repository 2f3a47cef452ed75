"""What can be done with a file that somebody hands in: a folder per tool, and what runs them.

Above steps/ because validate-outreach judges with the pipeline's own step. No Dagster, no store:
whoever has a file and a folder can run a tool.
"""
