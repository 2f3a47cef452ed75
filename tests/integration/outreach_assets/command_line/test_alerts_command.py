"""`outreach alerts` and what the doctor says of the channels, with real receivers."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from click.testing import Result
from typer.testing import CliRunner

from outreach_assets.command_line.main import app
from outreach_assets.steps.alerts.build_channels import build_channels
from outreach_assets.steps.alerts.causes import Kind, Sighting, Trouble, note_sightings
from outreach_assets.steps.alerts.check import check_channels
from outreach_core.errors import SettingsError
from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from outreach_core.settings import load_settings
from tests.servers.receivers import PASSWORD, USER, Chat, Post, receivers

OPS, BOSS = "ops@example.test", "boss@example.test"


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Chat, Post]]:
    """Receivers, and the settings that name them."""
    monkeypatch.setattr("outreach_assets.steps.alerts.channels.PAUSE_SECONDS", 0.01)
    with receivers() as (chat, post):
        for variable, value in {
            "OUTREACH_ALERT_WEBHOOK_URL": chat.url,
            "OUTREACH_ALERT_EMAIL_TO": f"{OPS}, {BOSS}",
            "OUTREACH_ALERT_EMAIL_FROM": "outreach@example.test",
            "OUTREACH_SMTP_HOST": "127.0.0.1",
            "OUTREACH_SMTP_PORT": str(post.port),
            "OUTREACH_SMTP_USER": USER,
            "OUTREACH_SMTP_PASSWORD": PASSWORD,
            "OUTREACH_SMTP_SECURITY": "none",
        }.items():
            monkeypatch.setenv(variable, value)
        yield chat, post


def outreach(*words: str) -> Result:
    return CliRunner().invoke(app, ["alerts", *words])


def found_by_the_doctor() -> dict[str, tuple[str, str]]:
    findings = check_channels(build_channels(load_settings()))
    return {f.check: (f.result.value, f"{f.found} {f.cure}") for f in findings}


def test_a_test_message_goes_out_by_each_channel(both: tuple[Chat, Post]) -> None:
    chat, post = both
    ran = outreach("test", "--json")
    assert ran.exit_code == 0
    assert json.loads(ran.stdout) == {
        "channels": {
            "webhook": "sent",
            "mail, address 1 of OUTREACH_ALERT_EMAIL_TO": "sent",
            "mail, address 2 of OUTREACH_ALERT_EMAIL_TO": "sent",
        }
    }
    assert len(chat.texts) == len(post.texts_to(OPS)) == len(post.texts_to(BOSS)) == 1


def test_a_channel_that_does_not_take_the_test_is_named_without_secrets(
    both: tuple[Chat, Post],
) -> None:
    chat, post = both
    chat.stop()
    post.refused[BOSS] = "550"
    ran = outreach("test")
    assert ran.exit_code == 1
    webhook, first, second = ran.stdout.splitlines()
    assert webhook == "webhook: OUTREACH_ALERT_WEBHOOK_URL: the server cannot be reached"
    assert first == "mail, address 1 of OUTREACH_ALERT_EMAIL_TO: sent"
    assert "550" in second
    assert not any(secret in ran.output for secret in ("hunter22", OPS, BOSS))


def test_a_test_without_a_channel_says_what_to_set() -> None:
    ran = outreach("test")
    assert isinstance(ran.exception, SettingsError)
    assert "OUTREACH_ALERT_WEBHOOK_URL" in str(ran.exception)


def test_the_doctor_asks_each_server_and_sends_nothing(both: tuple[Chat, Post]) -> None:
    chat, post = both
    assert {name: result for name, (result, _) in found_by_the_doctor().items()} == {
        "alerts: webhook": "ok",
        "alerts: mail": "ok",
    }
    assert (chat.requests, post.mails) == (0, [])


def test_the_doctor_names_a_server_that_is_away_and_a_login_that_is_refused(
    both: tuple[Chat, Post], monkeypatch: pytest.MonkeyPatch
) -> None:
    both[0].stop()
    monkeypatch.setenv("OUTREACH_SMTP_PASSWORD", "hunter22-wrong")
    found = found_by_the_doctor()
    assert {result for result, _ in found.values()} == {"problem"}
    assert "Connection refused" in found["alerts: webhook"][1]
    assert "OUTREACH_SMTP_PASSWORD" in found["alerts: mail"][1]
    assert "hunter22" not in str(found)


def test_the_doctor_says_that_alerts_are_off() -> None:
    assert found_by_the_doctor()["alerts"][0] == "ok"


def test_the_list_shows_what_is_open_and_who_knows(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEON_CONNECTION_STRING", postgres.url)
    migrate(postgres)

    def note(minute: int, state: str, sentence: str | None) -> None:
        trouble = sentence and Trouble(kind=Kind.HELD, place=state, sentence=sentence)
        sighting = Sighting(
            cause=f"state:{state}",
            at=datetime(2026, 5, 4, 3, minute, tzinfo=UTC),
            link="runs/r",
            trouble=trouble or None,
        )
        note_sightings(postgres, [sighting], ["webhook"])

    note(1, "PA", "too many bad")
    note(2, "PA", None)
    note(3, "WV", "too many bad")
    [wv] = json.loads(outreach("list", "--open", "--json").stdout)["alerts"]
    assert (wv["cause"], wv["closed_at"]) == ("state:WV", None)
    assert wv["link"] == "http://127.0.0.1:3000/runs/r"
    assert wv["deliveries"]["webhook"]["told"] is None
    assert [a["place"] for a in json.loads(outreach("list", "--json").stdout)["alerts"]] == [
        "WV",
        "PA",
    ]
    monkeypatch.setenv("COLUMNS", "200")
    table = outreach("list").stdout
    assert "too many bad" in table
    assert "webhook: not yet" in table
