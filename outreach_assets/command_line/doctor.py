"""`outreach doctor`: every setting and service checked, each problem with its cure."""

import typer


def doctor() -> None:
    """Later."""
    raise typer.Exit(0)
