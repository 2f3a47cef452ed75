"""`outreach failures`: bad rows, to the people who mend them and back."""

import typer

app = typer.Typer(no_args_is_help=True, help="Bad rows, to the people who mend them and back.")
