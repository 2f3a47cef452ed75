"""`outreach failures`: bad rows, to the people who mend them and back."""

import typer

from outreach_assets.command_line.failure_exports import batches_command, export_command
from outreach_assets.command_line.failure_lists import list_command, stats_command
from outreach_assets.command_line.failure_repair import repair_command

app = typer.Typer(no_args_is_help=True, help="Bad rows, to the people who mend them and back.")
app.command("export")(export_command)
app.command("batches")(batches_command)
app.command("list")(list_command)
app.command("stats")(stats_command)
app.command("repair")(repair_command)
