"""Alerts to a chat, by the incoming webhook it offers.

Its URL is a secret, since whoever knows it can post: no error here holds it, nor keeps as its cause
one that does.
"""

import logging
import time
from dataclasses import dataclass, field
from http import HTTPStatus

import requests

from outreach_assets.steps.alerts.channels import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    AlertNotSentError,
    AlertRefusedError,
    Message,
    pauses,
)

PATIENCE_SECONDS = 2.0
"""A Retry-After up to this is waited for; a longer one is left to a later call."""

SETTING = "OUTREACH_ALERT_WEBHOOK_URL"
MAY_PASS = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """A chat's incoming webhook: Slack, Mattermost, Rocket.Chat, and Discord behind `/slack`."""

    url: str = field(repr=False)
    key: str = "webhook"
    name: str = "webhook"

    def send(self, message: Message) -> None:
        """Post it; the chat has it when the answer is 2xx."""
        # At DEBUG it logs the path of what it asks for, which is the secret.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
        for pause in pauses():
            try:
                self._post(message)
            except AlertNotSentError as error:
                wait = max(error.retry_after_seconds, pause)
                if pause == 0 or wait > PATIENCE_SECONDS:
                    raise
                time.sleep(wait)
            else:
                return

    def _post(self, message: Message) -> None:
        try:
            # Streamed and closed: how long the answer's body is does not matter.
            with requests.post(
                self.url,
                json={"text": _escaped(message.text)},
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as answer:
                status, wait = answer.status_code, answer.headers.get("Retry-After", "")
        # Each of these prints the URL: only what kind it is may be said, and no cause kept.
        except requests.exceptions.Timeout:
            raise AlertNotSentError(f"{SETTING}: no answer in {ANSWER_SECONDS} s") from None
        except requests.exceptions.SSLError:
            raise AlertNotSentError(
                f"{SETTING}: the server's certificate is not accepted"
            ) from None
        except requests.exceptions.ConnectionError:
            raise AlertNotSentError(f"{SETTING}: the server cannot be reached") from None
        except requests.exceptions.RequestException as error:
            raise AlertRefusedError(
                f"{SETTING} cannot be posted to ({type(error).__name__}): check its value"
            ) from None
        _judge(status, wait)


def _judge(status: int, retry_after: str) -> None:
    if 200 <= status < 300:
        return
    if status >= 500 or status in MAY_PASS:
        seconds = float(retry_after) if retry_after.isdigit() else 0.0
        raise AlertNotSentError(
            f"{SETTING}: the server answered {status}", retry_after_seconds=seconds
        )
    raise AlertRefusedError(
        f"{SETTING}: the server answered {status}: make a new webhook there, or mend its value"
    )


def _escaped(text: str) -> str:
    """The three characters that Slack takes for its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
