"""`outreach failures`: bad rows, to the people who mend them and back."""

import typer

from outreach_assets.command_line.failure_exports import batches_command, export_command

app = typer.Typer(no_args_is_help=True, help="Bad rows, to the people who mend them and back.")
app.command("export")(export_command)
app.command("batches")(batches_command)
