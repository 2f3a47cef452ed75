"""`outreach demo`: everything once, on sample rows, with nothing but this machine."""

import sys

import typer

from outreach_assets.command_line.database import fill
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.failure_exports import export_everything
from outreach_assets.command_line.refresh import print_outcome, refresh_states
from outreach_core.sample_choices import ExistingRows, SampleRefusedError, SampleSize

STATE = "WV"


def demo() -> None:
    """West Virginia from a real PostgreSQL to published Parquet, on made-up rows, bad ones too.

    Safe to repeat: rows that are there already are kept, and a second run finds nothing new.

    Example: `outreach demo`
    """
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from outreach_assets.command_line.instance import prepare_home  # noqa: PLC0415

    settings = load_settings()
    prepare_home(settings)
    try:
        facts = fill(settings, size=SampleSize.DEMO, seed=1, existing=ExistingRows.REFUSE)
        typer.echo(f"made up {facts.companies:,} companies and {facts.people:,} people")
    except SampleRefusedError:
        typer.echo("the tables have rows already; using those")
    outcome = refresh_states(settings, [STATE])
    print_outcome(outcome)
    if outcome.error:
        typer.secho(f"error: {outcome.error}", fg="red", err=True)
    ending = outcome.states[STATE]
    if "manifest" in ending:
        store = build_store(settings)
        failures = [batch.key for batch in export_everything(settings)]
        typer.echo("published:")
        for key in (*ending["parquet_paths"], ending["manifest"], *failures):
            typer.echo(f"  {store.place_of(key)}")
    typer.echo(
        "\nNext:\n"
        f"  {sys.argv[0]} run --all        every state\n"
        f"  {sys.argv[0]} snapshots list   what has been published\n"
        f"  {sys.argv[0]} failures stats   what is bad, and why\n"
        f"  {sys.argv[0]} dev              the graph in the Dagster UI, on http://127.0.0.1:3000"
    )
    raise typer.Exit(outcome.exit_code)
