"""Do the alert channels answer? Asked without sending a message to anybody."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit
from urllib.request import getproxies

from outreach_assets.steps.alerts.channels import (
    CONNECT_SECONDS,
    AlertNotSentError,
    AlertRefusedError,
    Channel,
)
from outreach_assets.steps.alerts.mail import Mail
from outreach_assets.steps.alerts.webhook import SETTING, Webhook
from outreach_core.findings import Finding, Result

CHECK = "alerts"
TRY = "`outreach alerts test` shows whether a message arrives"


def check_channels(channels: list[Channel]) -> Iterator[Finding]:
    """A finding for the webhook and one for the mail server, one alone where alerts are off."""
    if not channels:
        yield Finding(check=CHECK, result=Result.OK, found="off: no OUTREACH_ALERT_ setting is set")
    for channel in channels:
        if isinstance(channel, Webhook):
            yield _check_webhook(channel)
    mails = [channel for channel in channels if isinstance(channel, Mail)]
    if mails:
        yield _check_mail(mails)


def _check_webhook(webhook: Webhook) -> Finding:
    parts = urlsplit(webhook.url)
    check = f"{CHECK}: webhook"
    if parts.scheme in getproxies():  # the proxy is asked for it, not this machine
        return Finding(check=check, result=Result.OK, found=f"behind a proxy; {TRY}")
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return Finding(
            check=check,
            result=Result.PROBLEM,
            # `strerror` alone: an error about a name may hold it.
            found=f"{SETTING}: its server cannot be reached: {error.strerror or 'no answer'}",
            cure=f"check {SETTING} for a typing mistake, and the network",
        )
    return Finding(check=check, result=Result.OK, found=f"its server takes connections; {TRY}")


def _check_mail(mails: list[Mail]) -> Finding:
    check, server = f"{CHECK}: mail", mails[0].server
    try:
        with server.session() as session:
            session.noop()
    except (AlertNotSentError, AlertRefusedError) as error:
        return Finding(
            check=check,
            result=Result.PROBLEM,
            found=str(error),
            cure="check the OUTREACH_SMTP_ settings with who runs that server",
        )
    login = "and the login" if server.user else "without a login"
    return Finding(
        check=check,
        result=Result.OK,
        found=f"{server.host}:{server.port} answers ({server.security}) {login}, "
        f"{len(mails)} addresses; {TRY}",
    )
