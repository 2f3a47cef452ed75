"""`outreach users`: who may use the HTTP API, and the tokens they do it with."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.show import print_json, print_table

if TYPE_CHECKING:
    from outreach_core.postgres import Postgres
    from outreach_core.users import NewToken

app = typer.Typer(no_args_is_help=True, help="Who may use the HTTP API, and their tokens.")

Name = Annotated[str, typer.Argument(help="Lower-case letters, digits and -, such as anna.")]


@app.command("add")
def add_command(
    name: Name,
    *,
    operator: Annotated[
        bool, typer.Option("--operator", help="May read /metrics, which are about everybody.")
    ] = False,
    admin: Annotated[
        bool, typer.Option("--admin", help="May see and change which folders are backed up where.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """A new user, and a first token, which is shown now and never again.

    Examples: `outreach users add anna` · `outreach users add ada --admin` ·
    `outreach users add prometheus --operator --json`
    """
    from outreach_core.users import add_user  # noqa: PLC0415

    with _postgres().connect() as connection:
        made = add_user(connection, name, is_operator=operator, is_administrator=admin, now=_now())
    _show_token(made, as_json=as_json)


@app.command("token")
def token_command(name: Name, *, as_json: AsJson = False) -> None:
    """One more token for a user; the others stay good.

    Example: `outreach users token anna`
    """
    from outreach_core.users import add_token  # noqa: PLC0415

    with _postgres().connect() as connection:
        made = add_token(connection, name, now=_now())
    _show_token(made, as_json=as_json)


@app.command("revoke")
def revoke_command(
    name: Name,
    token: Annotated[
        str | None, typer.Option("--token", help="Only this one, by its id in `users list`.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Refuse a user's tokens from now on: all of them, or one. The user's tasks stay.

    Examples: `outreach users revoke anna` · `outreach users revoke anna --token 1f0c22a9`
    """
    from outreach_core.users import revoke_tokens  # noqa: PLC0415

    with _postgres().connect() as connection:
        revoked = revoke_tokens(connection, name, token, now=_now())
    if as_json:
        print_json({"user": name, "revoked": revoked})
    else:
        typer.echo(f"{name}: revoked {', '.join(revoked)}")


@app.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """All users, and the ids of the tokens that are good.

    Examples: `outreach users list` · `outreach users list --json`
    """
    from outreach_core.users import list_users  # noqa: PLC0415

    with _postgres().connect() as connection:
        users = list_users(connection)
    if as_json:
        print_json({"users": [vars(user) for user in users]})
        return
    rows = [
        [
            user.user_id,
            ", ".join(
                role
                for role, has in (
                    ("operator", user.is_operator),
                    ("administrator", user.is_administrator),
                )
                if has
            )
            or None,
            f"{user.created_at:%Y-%m-%d %H:%M}",
            ", ".join(user.tokens) or None,
        ]
        for user in users
    ]
    print_table(f"{len(users)} users", ["user", "may more", "since", "tokens"], rows)


def _show_token(made: "NewToken", *, as_json: bool) -> None:
    if as_json:
        print_json({"user": made.user_id, "token": made.token, "token_id": made.token_id})
        return
    typer.echo(f"user {made.user_id}, token {made.token_id}; keep it, it is not shown again:")
    typer.echo(made.token)


def _postgres() -> "Postgres":
    from outreach_core.neon import open_neon  # noqa: PLC0415

    return open_neon(load_settings())


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 an edge: the moment of the deed
