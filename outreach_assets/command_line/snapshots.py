"""`outreach snapshots`: what has been published."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from outreach_assets.command_line import snapshot_care, snapshot_diff
from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.show import print_json, print_table
from outreach_assets.command_line.unreadable import Unreadable
from outreach_core.states import ALL_STATES, checked_states

if TYPE_CHECKING:
    from outreach_assets.steps.manifest import Manifest

app = typer.Typer(no_args_is_help=True, help="What has been published.")
app.command("diff")(snapshot_diff.diff)
app.command("verify")(snapshot_care.verify)
app.command("prune")(snapshot_care.prune)
app.command("restore")(snapshot_care.restore)


@app.command("list")
def list_command(
    state: Annotated[
        list[str] | None, typer.Option("--state", "-s", help="All versions of this state.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """The newest snapshot of every state, or all of some states.

    Examples: `outreach snapshots list` · `outreach snapshots list --state WV --json`
    """
    unreadable = Unreadable()
    found = list(
        _all_of(checked_states(state), unreadable) if state else _newest(ALL_STATES, unreadable)
    )
    if as_json:
        print_json({"snapshots": [m.model_dump() for m in found]})
    else:
        _print(found)
    unreadable.tell()


def _print(found: "Sequence[Manifest]") -> None:
    print_table(
        f"{len(found)} snapshots",
        ["state", "version", "companies good", "bad", "people good", "bad", "rules", "run"],
        [
            [
                m.state,
                m.version,
                *[f"{m.rows(t, v):,}" for t in ("companies", "people") for v in ("good", "bad")],
                m.rules,
                m.run_id[:8],
            ]
            for m in found
        ],
    )


@app.command("fetch")
def fetch_command(
    state: Annotated[
        list[str] | None, typer.Option("--state", "-s", help="Only these states.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """The newest snapshots from the store to this machine, and the workbench made anew over them.

    The receipts of all older versions come along: they are small, and show each reason over time.

    Examples: `outreach snapshots fetch` · `outreach snapshots fetch --state WV`
    """
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from outreach_assets.steps.export import EXPORTS_FOLDER  # noqa: PLC0415
    from outreach_assets.steps.snapshots.fetch import fetch_newest  # noqa: PLC0415
    from outreach_assets.steps.workbench import refresh_workbench  # noqa: PLC0415

    settings = load_settings()
    exports = settings.home / EXPORTS_FOLDER
    states = checked_states(state) if state else ALL_STATES
    store, unreadable = build_store(settings), Unreadable()
    versions: dict[str, str] = {}
    for one in states:
        with unreadable.skipped(one):
            fetched = fetch_newest(store, exports, one)
            if fetched is not None:
                versions[one] = fetched.manifest.version
                typer.echo(
                    f"{one} {fetched.manifest.version}: {fetched.files} files "
                    f"and {fetched.receipts} receipts downloaded",
                    err=True,
                )
    workbench = refresh_workbench(settings.home, exports)
    if as_json:
        print_json({"snapshots": versions, "workbench": workbench})
    else:
        typer.echo(f"{len(versions)} snapshots under {exports}")
        if workbench is not None:
            typer.echo(f"workbench: {workbench}")
    unreadable.tell()


def _newest(states: Sequence[str], unreadable: Unreadable) -> "Iterator[Manifest]":
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from outreach_assets.steps.manifest import latest_manifest  # noqa: PLC0415

    store = build_store(load_settings())
    for state in states:
        with unreadable.skipped(state):
            found = latest_manifest(store, state)
            if found is not None:
                yield found[0]


def _all_of(states: Sequence[str], unreadable: Unreadable) -> "Iterator[Manifest]":
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from outreach_assets.steps.manifest import manifest_at, manifest_versions  # noqa: PLC0415

    store = build_store(load_settings())
    for state in states:
        for version in manifest_versions(store, state):
            with unreadable.skipped(state):
                yield manifest_at(store, state, version)
