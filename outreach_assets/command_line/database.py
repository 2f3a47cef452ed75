"""`outreach db`: the tables in Postgres, and made-up rows for them."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.recorded import recorded
from outreach_assets.command_line.show import print_json, print_table
from outreach_core.sample_choices import ExistingRows, SampleFacts, SampleSize, SampleTarget

if TYPE_CHECKING:
    from outreach_core.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The tables in Postgres, and sample rows.")


@app.command("migrate")
def migrate_command() -> None:
    """Make the project's tables where they are missing. Safe to run twice and at the same time.

    Tables that are there already, the two masters in production above all, are left alone.

    Example: `outreach db migrate`
    """
    from outreach_core.migrate import migrate  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    postgres = open_neon(load_settings())
    applied = migrate(postgres)
    typer.echo(
        f"{postgres.name}: " + (f"applied {', '.join(applied)}" if applied else "up to date")
    )


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Which migrations this database has.

    Example: `outreach db status --json`
    """
    from outreach_core.migrate import migration_status  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    postgres = open_neon(load_settings())
    found = migration_status(postgres)
    if as_json:
        applied = {m.name: m.applied_at for m in found}
        print_json({"database": postgres.name, "migrations": applied})
    else:
        rows = [[m.name, m.applied_at or "not applied"] for m in found]
        print_table(postgres.name, ["migration", "applied at"], rows)


@app.command()
def sample(
    size: Annotated[SampleSize, typer.Option(help="15, 37, 370 or 1,480 thousand companies.")],
    seed: Annotated[int, typer.Option(help="The same seed makes the same rows.")] = 1,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete the rows that are there first.")
    ] = False,
    into_named: Annotated[
        bool, typer.Option("--into-named-database", help="Also when NEON_* names a real database.")
    ] = False,
) -> None:
    """Fill both source tables with made-up companies and people; four people to a company.

    Examples: `outreach db sample --size demo` · `outreach db sample --size S --seed 7 --replace`
    """
    facts = fill(
        load_settings(),
        size=size,
        seed=seed,
        existing=ExistingRows.REPLACE if replace else ExistingRows.REFUSE,
        named=SampleTarget.NAMED_ON_PURPOSE if into_named else SampleTarget.NAMED,
    )
    typer.echo(f"{facts.companies:,} companies, {facts.people:,} people in {facts.seconds:.1f} s")


def fill(
    settings: "Settings",
    *,
    size: SampleSize,
    seed: int,
    existing: ExistingRows,
    named: SampleTarget = SampleTarget.NAMED,
) -> SampleFacts:
    """Load the sample with a progress display on standard error."""
    from outreach_core.audit import SAMPLE_LOADED  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415
    from outreach_core.sample_data import load_sample  # noqa: PLC0415

    postgres = open_neon(settings)
    target = SampleTarget.EMBEDDED if settings.uses_embedded_postgres else named
    with recorded(settings, SAMPLE_LOADED) as event, Progress(transient=True) as bars:
        task = bars.add_task("loading", total=1.0)
        facts = load_sample(
            postgres,
            size=size,
            seed=seed,
            target=target,
            existing=existing,
            progress=lambda table, share: bars.update(task, completed=share, description=table),
        )
        event |= {"companies": facts.companies, "people": facts.people, "seed": seed}
        event |= {"replaced": existing is ExistingRows.REPLACE}
        return facts
