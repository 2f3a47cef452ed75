"""What the settings of the alerts must look like, alone and together.

The fields themselves are in settings.py; what is done with them in outreach_assets/steps.
"""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from outreach_core.setting_problems import SettingProblem
from outreach_core.setting_values import THIS_MACHINE

SMTP_SECURITY = ("starttls", "tls", "none")
SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}
"""The port of each security where OUTREACH_SMTP_PORT names none."""

MAIL = ("outreach_alert_email_to", "outreach_alert_email_from", "outreach_smtp_host")
"""Without one of these there is no mail."""

LOGIN = ("outreach_smtp_user", "outreach_smtp_password")
MAIL_DETAILS = ("outreach_smtp_port", *LOGIN)
ADDRESS = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+")


def webhook_url(value: str) -> str:
    """A URL to post to; a message must not hold it, for who knows it can post."""
    form = "expected https:// and the rest of the address that the chat's page shows"
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(form) from None
    if parts.scheme not in ("http", "https") or not host or re.search(r"\s", value):
        raise ValueError(form)
    if parts.scheme == "http" and host not in THIS_MACHINE:
        raise ValueError("http shows it to everyone on the way: write https://")
    return value


def ui_url(value: str) -> str:
    """Where people open the Dagster UI, for links."""
    form = "expected a URL such as https://dagster.example.com or http://127.0.0.1:3000"
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(form) from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ValueError(form)
    if parts.username is not None:
        raise ValueError("holds an account, which every message would show: remove it")
    return value


def addresses(value: str) -> str:
    """One mail address or several, with commas between them."""
    if not all(ADDRESS.fullmatch(one) for one in split_addresses(value)):
        raise ValueError("expected mail addresses alone, with commas between them")
    return value


def address(value: str) -> str:
    """One mail address, without a name around it."""
    if not ADDRESS.fullmatch(value):
        raise ValueError("expected one mail address alone, without a name or <>")
    return value


def split_addresses(value: str) -> tuple[str, ...]:
    """The addresses of a list with commas."""
    return tuple(one.strip() for one in value.split(","))


def mail_host(value: str) -> str:
    """The mail server's host and nothing else."""
    if not re.fullmatch(r"[\w.-]+|[0-9A-Fa-f:]*::[0-9A-Fa-f:]*", value):
        raise ValueError(
            "expected a host name alone, such as smtp.example.com; its port goes into "
            "OUTREACH_SMTP_PORT"
        )
    return value


def problems(given: Mapping[str, object], security: str) -> Iterator[SettingProblem]:
    """What does not go together; `given` holds the settings by name, None where not set."""
    missing = [name for name in MAIL if given[name] is None]
    wants_mail = len(missing) < len(MAIL) or any(given[name] is not None for name in MAIL_DETAILS)
    if missing and wants_mail:
        yield _missing(missing, f"{_names(MAIL)} go together, or leave out all OUTREACH_SMTP_")
    lacks = [name for name in LOGIN if given[name] is None]
    if len(lacks) == 1:
        yield _missing(lacks, f"{_names(LOGIN)} go together")
    host = given["outreach_smtp_host"]
    if security == "none" and not lacks and host is not None and host not in THIS_MACHINE:
        yield SettingProblem(
            variables=("OUTREACH_SMTP_SECURITY", "OUTREACH_SMTP_PASSWORD"),
            found="OUTREACH_SMTP_SECURITY is none and OUTREACH_SMTP_PASSWORD would be sent in "
            "the clear",
            cure="starttls or tls, or no user and password",
        )


def _missing(fields: list[str], cure: str) -> SettingProblem:
    return SettingProblem(
        variables=tuple(name.upper() for name in fields),
        found=f"{_names(fields)} not set or empty",
        cure=cure,
    )


def _names(fields: list[str] | tuple[str, ...]) -> str:
    return ", ".join(name.upper() for name in fields)
