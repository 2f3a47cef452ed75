"""From a sighting to a message that people have, over a real Postgres, webhook and mail server."""

import logging
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from outreach_assets.steps.alerts.build_channels import mail_server, open_channels
from outreach_assets.steps.alerts.causes import (
    AlertsNotMigratedError,
    Kind,
    Sighting,
    Trouble,
    claim,
    list_alerts,
    note_sightings,
)
from outreach_assets.steps.alerts.channels import (
    AlertNotSentError,
    AlertRefusedError,
    Channel,
    Message,
)
from outreach_assets.steps.alerts.delivery import deliver
from outreach_assets.steps.alerts.mail import Mail, MailServer
from outreach_assets.steps.alerts.webhook import Webhook
from outreach_core.postgres import Postgres
from tests.given import given_sql
from tests.servers.rclone_s3 import make_certificate
from tests.servers.receivers import PASSWORD, SECRET_PATH, USER, Chat, Post, receivers

START = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
UI = "http://ui.example.test"
OPS, BOSS = "ops@example.test", "boss@example.test"
PROJECT = Path(__file__).parents[4]
TELLER = """
import sys
from outreach_assets.steps.alerts.delivery import deliver
from outreach_assets.steps.alerts.webhook import Webhook
from outreach_core.postgres import Postgres
postgres = Postgres(conninfo=sys.stdin.read(), name="the test's")
deliver(postgres, [Webhook(url=sys.argv[1])], ui_url="http://ui.example.test", seconds=60)
"""
A_MESSAGE = Message(title="t", text="t & <u>")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outreach_assets.steps.alerts.channels.PAUSE_SECONDS", 0.01)


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Chat, Post]]:
    with receivers() as running:
        yield running


@pytest.fixture
def chat(both: tuple[Chat, Post]) -> Chat:
    chat, _ = both
    chat.texts.clear()
    chat.answers.clear()
    chat.requests = 0
    return chat


@pytest.fixture
def post(both: tuple[Chat, Post]) -> Post:
    _, post = both
    post.mails.clear()
    post.refused.clear()
    return post


def server_of(post: Post, **changes: object) -> MailServer:
    given = {"port": post.port, "security": "none", "user": USER, "password": PASSWORD, **changes}
    return mail_server(host="127.0.0.1", **given)


@pytest.fixture
def channels(chat: Chat, post: Post) -> list[Channel]:
    return open_channels(
        webhook_url=chat.url,
        email_to=f"{OPS},{BOSS}",
        email_from="outreach@example.test",
        server=server_of(post),
    )


class Watch:
    """What a sensor does at each tick, told here what it sees."""

    def __init__(self, postgres: Postgres, channels: list[Channel]) -> None:
        self.postgres, self.channels, self.minutes = postgres, channels, 0

    def sees(self, sentence: str | None, *states: str) -> list[str | None]:
        self.note(sentence, *states)
        return self.tells()

    def note(self, sentence: str | None, *states: str) -> None:
        """One run found this in these states, in WV when none is named; None: they are well."""
        self.minutes += 1
        sightings = [
            Sighting(
                cause=f"state:{state}",
                at=START + timedelta(minutes=self.minutes),
                link=f"runs/run-{self.minutes}",
                trouble=Trouble(kind=Kind.HELD, place=state, sentence=sentence)
                if sentence
                else None,
            )
            for state in states or ("WV",)
        ]
        note_sightings(self.postgres, sightings, [c.key for c in self.channels])

    def tells(self) -> list[str | None]:
        return deliver(self.postgres, self.channels, ui_url=UI, seconds=60)


@pytest.fixture
def watch(postgres: Postgres, channels: list[Channel]) -> Watch:
    return Watch(postgres, channels)


def test_a_cause_is_told_once_when_it_comes_when_it_changes_and_when_it_goes(
    watch: Watch, chat: Chat, post: Post
) -> None:
    watch.sees("12 companies have no key")
    watch.sees("12 companies have no key")
    watch.sees("13 companies have no key")
    watch.sees(None)
    watch.sees(None)
    watch.sees("13 companies have no key")
    expected = [
        f"held: WV\n12 companies have no key\n{UI}/runs/run-1",
        f"held: WV (changed)\n13 companies have no key\n{UI}/runs/run-3",
        f"recovered: WV (was: held)\n{UI}/runs/run-4",
        f"held: WV\n13 companies have no key\n{UI}/runs/run-6",
    ]
    assert chat.texts == expected
    for address in (OPS, BOSS):
        assert post.texts_to(address) == expected


def test_another_run_or_version_is_not_another_cause(watch: Watch, chat: Chat) -> None:
    watch.sees("run 0f3b0f0e-16a4-4c55-8a21-6f0f8f9f0a11 published 20260504030201")
    watch.sees("run 9c9b0f0e-26a4-4c55-8a21-6f0f8f9f0a22 published 20260505030201")
    assert len(chat.texts) == 1


def test_an_older_sighting_changes_nothing(watch: Watch, chat: Chat) -> None:
    watch.sees("12 companies have no key")
    watch.sees(None)
    watch.minutes = 0
    watch.sees("12 companies have no key")
    assert [text.partition(":")[0] for text in chat.texts] == ["held", "recovered"]


def test_what_one_run_held_is_one_message(watch: Watch, chat: Chat, post: Post) -> None:
    states = ["AK", "AL", "AR", "AZ", "CA", "CO", "CT", "DC", "DE", "FL"]
    watch.sees("the same", *states)
    title = "held: AK, AL, AR, AZ, CA, CO, CT, DC, and 2 more"
    assert chat.texts == [f"{title}\nthe same\n{UI}/runs/run-1"]
    assert {mail["Subject"] for mail in post.mails} == {f"[outreach] {title}"}
    watch.sees(None, *states)
    assert len(chat.texts) == 2


def test_two_ticks_at_once_send_one_message(watch: Watch, chat: Chat, post: Post) -> None:
    watch.note("12 companies have no key")
    with ThreadPoolExecutor(4) as pool:
        for ticking in [pool.submit(watch.tells) for _ in range(4)]:
            ticking.result()
    assert len(chat.texts) == 1
    assert len(post.mails) == 2


def test_two_that_see_the_same_at_once_open_one_alert(watch: Watch, chat: Chat) -> None:
    def look(_: int) -> None:
        Watch(watch.postgres, watch.channels).sees("12 companies have no key")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, range(4)))
    assert len(list_alerts(watch.postgres, only_open=False, most=10)) == 1
    assert len(chat.texts) == 1


def test_a_channel_that_was_down_is_told_once_when_it_is_back(
    watch: Watch, chat: Chat, post: Post
) -> None:
    chat.stop()
    try:
        outcomes = watch.sees("12 companies have no key")
        assert [bool(problem) for problem in outcomes] == [True, False, False]
        assert len(post.mails) == 2
    finally:
        chat.start()
    watch.tells()
    watch.tells()
    assert len(chat.texts) == 1
    assert len(post.mails) == 2


def test_what_came_and_went_while_a_channel_was_down_is_told_as_such(
    watch: Watch, chat: Chat
) -> None:
    chat.stop()
    try:
        watch.sees("12 companies have no key")
        watch.sees(None)
    finally:
        chat.start()
    watch.tells()
    title = "held: WV (recovered since)"
    assert chat.texts == [f"{title}\n12 companies have no key\n{UI}/runs/run-2"]


def test_a_claim_whose_owner_died_is_told_by_the_next(watch: Watch, chat: Chat) -> None:
    watch.note("12 companies have no key")
    assert len(claim(watch.postgres, "webhook")) == 1
    watch.tells()
    assert chat.texts == []
    given_sql(watch.postgres, "UPDATE shq.alert_deliveries SET not_before = now()")
    watch.tells()
    assert len(chat.texts) == 1


def test_who_is_killed_between_sending_and_marking_repeats_an_alert_and_loses_none(
    watch: Watch, chat: Chat
) -> None:
    watch.note("12 companies have no key")
    with subprocess.Popen(
        [sys.executable, "-c", TELLER, chat.url], stdin=subprocess.PIPE, cwd=PROJECT, text=True
    ) as teller:
        chat.on_message = teller.kill
        teller.communicate(watch.postgres.conninfo, timeout=60)
    chat.on_message = None
    assert (teller.returncode, len(chat.texts)) == (-signal.SIGKILL, 1)
    watch.tells()
    assert len(chat.texts) == 1  # the claim of the dead stands for five minutes
    given_sql(watch.postgres, "UPDATE shq.alert_deliveries SET not_before = now()")
    watch.tells()
    watch.tells()
    assert len(chat.texts) == 2


def test_one_refused_receiver_does_not_keep_the_others_from_theirs(
    watch: Watch, chat: Chat, post: Post
) -> None:
    post.refused[OPS] = "550"
    problems = [problem for problem in watch.sees("12 companies have no key") if problem]
    assert len(problems) == 1
    assert "address 1 of OUTREACH_ALERT_EMAIL_TO" in problems[0]
    assert "550" in problems[0]
    assert OPS not in problems[0]
    assert (len(post.texts_to(BOSS)), len(chat.texts)) == (1, 1)
    post.refused.clear()
    watch.tells()
    assert post.texts_to(OPS) == []  # not asked again before an hour is over
    given_sql(watch.postgres, "UPDATE shq.alert_deliveries SET not_before = '-infinity'")
    watch.tells()
    assert (len(post.texts_to(OPS)), len(post.texts_to(BOSS))) == (1, 1)


def test_one_refused_message_does_not_keep_the_next(watch: Watch, chat: Chat) -> None:
    chat.answers = [(400, {})]
    watch.note("first", "WV")
    watch.note("second", "PA")
    watch.tells()
    assert [text.splitlines()[0] for text in chat.texts] == ["held: PA"]
    (pa, wv) = list_alerts(watch.postgres, only_open=True, most=10)
    assert pa.deliveries["webhook"]["told"] == "yes"
    assert "400" in str(wv.deliveries["webhook"]["trouble"])


def test_a_channel_that_is_new_is_told_what_is_open_and_not_what_was(
    watch: Watch, chat: Chat, post: Post
) -> None:
    every, watch.channels = watch.channels, watch.channels[:1]
    watch.sees("12 companies have no key", "PA")
    watch.sees(None, "PA")
    watch.sees("12 companies have no key", "WV")
    watch.channels = every
    watch.tells()
    assert post.mails == []
    watch.sees("12 companies have no key", "WV")
    assert [mail["Subject"] for mail in post.mails] == ["[outreach] held: WV"] * 2


def test_without_the_tables_the_cure_is_named(
    empty_postgres: Postgres, channels: list[Channel]
) -> None:
    with pytest.raises(AlertsNotMigratedError, match="outreach db migrate"):
        Watch(empty_postgres, channels).tells()


def test_a_server_in_trouble_is_asked_again(chat: Chat) -> None:
    chat.answers = [(503, {}), (429, {"Retry-After": "0"})]
    Webhook(url=chat.url).send(A_MESSAGE)
    assert (chat.requests, chat.texts) == (3, ["t &amp; &lt;u&gt;"])


def test_a_long_retry_after_is_left_to_a_later_tick(watch: Watch, chat: Chat) -> None:
    chat.answers = [(429, {"Retry-After": "600"})]
    watch.sees("12 companies have no key")
    watch.tells()
    assert (chat.requests, chat.texts) == (1, [])


@pytest.mark.parametrize("status", [301, 400, 403, 404, 410])
def test_a_refusal_is_not_asked_again(chat: Chat, status: int) -> None:
    chat.answers = [(status, {"Location": chat.url})]
    with pytest.raises(AlertRefusedError, match=str(status)):
        Webhook(url=chat.url).send(A_MESSAGE)
    assert chat.requests == 1


def webhook_down(chat: Chat) -> Channel:
    return Webhook(url=f"http://127.0.0.1:1{SECRET_PATH}")


def webhook_refusing(chat: Chat) -> Channel:
    chat.answers = [(403, {})]
    return Webhook(url=chat.url)


def webhook_unspeakable(chat: Chat) -> Channel:
    return Webhook(url=f"http://127.0.0.1:99999{SECRET_PATH}")


def webhook_without_tls(chat: Chat) -> Channel:
    return Webhook(url=chat.url.replace("http:", "https:"))


@pytest.mark.parametrize(
    "broken", [webhook_down, webhook_refusing, webhook_unspeakable, webhook_without_tls]
)
def test_no_error_nor_log_of_a_webhook_holds_its_url(
    chat: Chat, broken: Callable[[Chat], Channel], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises((AlertNotSentError, AlertRefusedError)) as raised:
        broken(chat).send(A_MESSAGE)
    shown = [*traceback.format_exception(raised.value), caplog.text, repr(broken(chat))]
    assert "hunter22" not in "".join(shown)


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"password": "hunter22-wrong"}, AlertRefusedError, "OUTREACH_SMTP_PASSWORD"),
        ({"password": "hunter22-ü"}, AlertRefusedError, "plain ASCII"),
        ({"security": "starttls"}, AlertRefusedError, "OUTREACH_SMTP_SECURITY"),
        ({"security": "tls"}, AlertNotSentError, "OUTREACH_SMTP_SECURITY"),
        ({"port": 1}, AlertNotSentError, "cannot be reached"),
        ({"user": "", "password": ""}, AlertRefusedError, "530"),
    ],
    ids=["password", "letters", "starttls", "tls", "port", "login"],
)
def test_a_mail_server_that_does_not_take_us_is_named(
    post: Post, changes: dict[str, object], kind: type[Exception], says: str
) -> None:
    mail = Mail(server=server_of(post, **changes), sender="a@b.test", receiver=OPS, number=1)
    with pytest.raises(kind) as raised:
        mail.send(A_MESSAGE)
    assert says in str(raised.value)
    assert "hunter22" not in f"{raised.value}{mail!r}"
    assert OPS not in f"{raised.value}{mail!r}"


def test_mail_is_encrypted_and_its_server_must_be_who_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    post = Post(certificate)
    post.start()
    try:
        server = server_of(post, security="starttls")
        mail = Mail(server=server, sender="a@b.test", receiver=OPS, number=1)
        with pytest.raises(AlertNotSentError, match="CERTIFICATE_VERIFY_FAILED"):
            mail.send(A_MESSAGE)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        mail.send(A_MESSAGE)
    finally:
        post.stop()
    assert len(post.mails) == 1
