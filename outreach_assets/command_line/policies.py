"""`outreach policies`: which folder is backed up where."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.show import print_json, print_table
from outreach_core.policies import FolderPolicy, Source, deciding_policy

if TYPE_CHECKING:
    from outreach_core.postgres import Postgres

To = Annotated[list[str] | None, typer.Option("--to", help="A destination; may be repeated.")]
Include = Annotated[list[str] | None, typer.Option(help="Only such files; rclone's patterns.")]
Exclude = Annotated[list[str] | None, typer.Option(help="No such files; rclone's patterns.")]
Recursive = Annotated[
    bool | None, typer.Option("--recursive/--own-files", help="With subfolders, or without.")
]
Versions = Annotated[
    bool | None,
    typer.Option("--versions/--no-versions", help="Keep what was replaced or deleted there."),
]
Encrypted = Annotated[
    bool | None,
    typer.Option(
        "--encrypt/--plain",
        help="Encrypt contents, not names, with OUTREACH_BACKUP_PASSPHRASE: who loses it loses "
        "the backup.",
    ),
]

app = typer.Typer(no_args_is_help=True, help="Which folder is backed up where.")


@app.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """All policies: the folder, its destinations, and what of it.

    Examples: `outreach policies list` · `outreach policies list --json`
    """
    from outreach_core.policy_table import list_policies  # noqa: PLC0415 imports psycopg

    found = list_policies(_postgres())
    if as_json:
        print_json({"policies": [_as_object(policy) for policy in found]})
        return
    print_table(
        f"{len(found)} policies",
        ["id", "name", "folder", "to", "what of it"],
        [
            [
                policy.folder_id,
                policy.name,
                f"{policy.source}: {policy.path}",
                ", ".join(policy.destinations),
                _what(policy),
            ]
            for policy in found
        ],
    )


@app.command("add")
def add_command(  # noqa: PLR0913, PLR0917 a command's options are its parameters
    folder_id: Annotated[str, typer.Argument(help="What the policy is called by from now on.")],
    path: Annotated[str, typer.Argument(help="The folder.")],
    to: To = None,
    name: Annotated[str | None, typer.Option(help="For people; the id when not given.")] = None,
    source: Annotated[Source, typer.Option(help="What kind of place it is in.")] = Source.LOCAL,
    include: Include = None,
    exclude: Exclude = None,
    *,
    recursive: Recursive = True,
    versions: Versions = True,
    encrypted: Encrypted = False,
) -> None:
    """Back a folder up from the next run on.

    Examples: `outreach policies add docs /srv/docs --to local --to aws_s3` ·
    `outreach policies add img /srv/img --to backblaze_b2 --exclude "*.tmp" --no-versions`
    """
    from outreach_core.audit import command_event  # noqa: PLC0415 imports psycopg
    from outreach_core.policy_table import add_policy  # noqa: PLC0415

    policy = FolderPolicy(
        folder_id=folder_id,
        name=name or folder_id,
        path=path,
        source=source,
        destinations=_known(to or ()),
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        recursive=bool(recursive),
        keep_versions=bool(versions),
        encrypted=bool(encrypted),
    )
    add_policy(_postgres(), policy, command_event)
    typer.echo(f"{folder_id}: {path} goes to {', '.join(policy.destinations)}")


@app.command("set")
def set_command(  # noqa: PLR0913 a command's options are its parameters
    folder_id: Annotated[str, typer.Argument(help="The policy's id.")],
    path: Annotated[str | None, typer.Option(help="Another folder.")] = None,
    to: To = None,
    name: Annotated[str | None, typer.Option(help="Another name for people.")] = None,
    include: Include = None,
    exclude: Exclude = None,
    *,
    recursive: Recursive = None,
    versions: Versions = None,
    encrypted: Encrypted = None,
) -> None:
    """Change a policy; what is not given stays. An empty --include or --exclude removes them all.

    Examples: `outreach policies set docs --to local --exclude "*.tmp"` ·
    `outreach policies set docs --exclude ""`
    """
    from outreach_core.audit import command_event  # noqa: PLC0415 imports psycopg
    from outreach_core.policy_table import get_policy, update_policy  # noqa: PLC0415

    postgres = _postgres()
    given: dict[str, Any] = {
        "path": path,
        "name": name,
        "destinations": _known(to) if to else None,
        "include": _patterns(include),
        "exclude": _patterns(exclude),
        "recursive": recursive,
        "keep_versions": versions,
        "encrypted": encrypted,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    update_policy(postgres, replace(get_policy(postgres, folder_id), **changes), command_event)
    typer.echo(f"{folder_id}: changed")


@app.command("remove")
def remove_command(folder_id: Annotated[str, typer.Argument(help="The policy's id.")]) -> None:
    """Back the folder up no more. What was backed up stays where it is.

    Example: `outreach policies remove docs`
    """
    from outreach_core.audit import command_event  # noqa: PLC0415 imports psycopg
    from outreach_core.policy_table import remove_policy  # noqa: PLC0415

    remove_policy(_postgres(), folder_id, command_event)
    typer.echo(f"{folder_id}: removed; what was backed up stays where it is")


@app.command("toggle")
def toggle_command(folder_id: Annotated[str, typer.Argument(help="The policy's id.")]) -> None:
    """Switch a policy off, or on again.

    Example: `outreach policies toggle docs`
    """
    from outreach_core.audit import command_event  # noqa: PLC0415 imports psycopg
    from outreach_core.policy_table import toggle_policy  # noqa: PLC0415

    policy = toggle_policy(_postgres(), folder_id, command_event)
    typer.echo(f"{folder_id}: {'on' if policy.enabled else 'off'}")


@app.command("explain")
def explain_command(
    file: Annotated[str, typer.Argument(help="A file's path.")],
    source: Annotated[Source, typer.Option(help="What kind of place it is in.")] = Source.LOCAL,
    *,
    as_json: AsJson = False,
) -> None:
    """Say which policy decides for a file, and where it goes.

    Examples: `outreach policies explain /srv/docs/a.txt` ·
    `outreach policies explain docs/a.txt --source google_drive --json`
    """
    from outreach_core.policy_table import list_policies  # noqa: PLC0415 imports psycopg

    path = str(Path(file).absolute()) if source is Source.LOCAL else file
    policy = deciding_policy(list_policies(_postgres()), source, path)
    to = policy.destinations if policy and policy.takes(path) else ()
    if as_json:
        decides = _as_object(policy) if policy else None
        print_json({"file": path, "policy": decides, "destinations": to})
    elif policy is None:
        typer.echo(f"{path}: no enabled policy covers it")
    elif to:
        typer.echo(f"{path}: {policy.folder_id} ({policy.path}) sends it to {', '.join(to)}")
    else:
        typer.echo(f"{path}: {policy.folder_id} ({policy.path}) leaves it out by its patterns")


def _postgres() -> "Postgres":
    from outreach_core.neon import open_neon  # noqa: PLC0415 imports psycopg

    return open_neon(load_settings())


def _known(names: "list[str] | tuple[str, ...]") -> tuple[str, ...]:
    """The destinations, if there can be such. Raises DestinationError for others."""
    from outreach_core.destinations import check_names  # noqa: PLC0415 imports pydantic

    check_names(load_settings(), names)
    return tuple(names)


def _patterns(given: list[str] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(pattern for pattern in given if pattern)


def _what(policy: FolderPolicy) -> str:
    parts = [
        "" if policy.enabled else "OFF",
        "" if policy.recursive else "own files only",
        f"only {' '.join(policy.include)}" if policy.include else "",
        f"not {' '.join(policy.exclude)}" if policy.exclude else "",
        "" if policy.keep_versions else "no versions",
        "encrypted" if policy.encrypted else "",
    ]
    return ", ".join(filter(None, parts)) or "all"


def _as_object(policy: FolderPolicy) -> dict[str, Any]:
    return {**vars(policy), "source": policy.source.value}
