"""`outreach users`, on a real database."""

import json

import pytest
from click.testing import Result
from typer.testing import CliRunner

from outreach_assets.command_line.main import app
from outreach_core.postgres import Postgres
from outreach_core.users import UserError


def outreach(*words: str) -> Result:
    return CliRunner().invoke(app, ["users", *words])


def test_a_user_is_made_listed_and_shut_out(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEON_CONNECTION_STRING", postgres.url)
    monkeypatch.setenv("NEON_SSLMODE", "disable")
    made = json.loads(outreach("add", "anna", "--operator", "--json").stdout)
    more = outreach("token", "anna").stdout.splitlines()[-1]
    assert {len(made["token"]), len(more)} == {46}
    listed = json.loads(outreach("list", "--json").stdout)["users"]
    assert [(u["user_id"], u["is_operator"], len(u["tokens"])) for u in listed] == [
        ("anna", True, 2)
    ]
    assert "anna" in outreach("list").stdout
    gone = outreach("revoke", "anna", "--token", made["token_id"])
    assert gone.stdout == f"anna: revoked {made['token_id']}\n"
    assert len(json.loads(outreach("revoke", "anna", "--json").stdout)["revoked"]) == 1
    assert isinstance(outreach("add", "anna").exception, UserError)
