"""What one setting's value must look like. Each check gives the value back or says what it expects.

The settings and what must agree among them are in settings.py. Messages are the second half of
`B2_BUCKET is 'x': …`; they are raised as ValueError, which pydantic collects.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from outreach_core.connection_string import SCHEMES, URL_FORM, parts_of
from outreach_core.states import UnknownStateError, checked_states

CRON_FIELDS = {
    "minute": (0, 59, ""),
    "hour": (0, 23, ""),
    "day": (1, 31, ""),
    "month": (1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
    "weekday": (0, 6, "sun mon tue wed thu fri sat"),
}
"""The first and the last of each, and their names."""

CRON_EXAMPLE = "15 2 * * *"
NO_SUCH_DAY = {("30", "2"), ("31", "2"), ("31", "4"), ("31", "6"), ("31", "9"), ("31", "11")}
SEVERITIES = ("warn", "error")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
B2_DOMAIN = ".backblazeb2.com"
B2_ENDPOINT_FORM = f"https://s3.<region>{B2_DOMAIN}"
THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


def without_wrapping(value: str) -> str:
    """A value as it was meant: quotes or spaces around it would become part of it."""
    if value != value.strip():
        raise ValueError("has spaces or a line end around it: remove them")
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"`":
        raise ValueError("has quotes around it, which would be part of the value: remove them")
    return value


def one_of(value: str, known: tuple[str, ...]) -> str:
    """One of the known words, capitals or not."""
    if value.lower() in known:
        return value.lower()
    near = difflib.get_close_matches(value.lower(), known, n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    raise ValueError(f"expected one of {', '.join(known)}{meant}")


def yes_or_no(value: object) -> bool:
    """True or false, in these words and no others: `on`, `1` or `y` may be slips."""
    words = {"true": True, "false": False}
    if str(value).lower() not in words:
        raise ValueError("expected true or false")
    return words[str(value).lower()]


def host_name(value: str) -> str:
    """A host and nothing else."""
    if "://" in value or "@" in value:
        raise ValueError(
            "expected a host name alone, such as ep-x.eu-central-1.aws.neon.tech; "
            "a whole URL goes into NEON_CONNECTION_STRING"
        )
    if re.search(r":\d+$", value) and value.count(":") == 1:
        raise ValueError("expected a host name alone; its port goes into NEON_PORT")
    if not re.fullmatch(r"[\w.:-]+|/.*", value):  # libpq takes a socket's folder too
        raise ValueError("expected a host name alone, such as ep-x.eu-central-1.aws.neon.tech")
    return value


def endpoint(value: str) -> str:
    """An S3 endpoint: a scheme and a host, without account or bucket."""
    if "@" in value:
        raise ValueError(
            f"holds an account: expected {B2_ENDPOINT_FORM}; "
            "the key goes into B2_KEY_ID and B2_APPLICATION_KEY"
        )
    try:
        parts = urlsplit(value if "://" in value else f"https://{value}")
        host = parts.hostname or ""
        _ = parts.port  # raises when it is no number
    except ValueError:  # what it says of IPv6 would be a riddle
        raise ValueError(f"expected {B2_ENDPOINT_FORM}") from None
    if "://" not in value and host:
        raise ValueError(f"expected the scheme too: https://{parts.netloc}")
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"expected {B2_ENDPOINT_FORM}")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(
            f"expected nothing after the host: {parts.scheme}://{parts.netloc}; "
            "the bucket goes into B2_BUCKET"
        )
    if parts.scheme == "http" and host not in THIS_MACHINE:
        raise ValueError(
            "http shows everything to everyone on the way, and is taken for this machine only: "
            f"write https://{host}"
        )
    if host.endswith(B2_DOMAIN) and not re.fullmatch(
        rf"s3\.[a-z0-9-]+{re.escape(B2_DOMAIN)}", host
    ):
        inner = re.search(r"(?:^|\.)s3\.([a-z0-9-]+)\.backblazeb2\.com$", host)
        if inner:
            raise ValueError(
                f"expected https://s3.{inner[1]}{B2_DOMAIN}; the bucket goes into B2_BUCKET"
            )
        raise ValueError(f"expected {B2_ENDPOINT_FORM}, as the bucket's page at Backblaze shows it")
    return value


def has_account(value: str) -> bool:
    """True for a URL that holds a user or a password, which no message may show."""
    return "@" in value


def endpoint_region(value: str) -> str | None:
    """The region that a Backblaze endpoint names; None for other servers."""
    host = urlsplit(value).hostname or ""
    found = re.fullmatch(rf"s3\.([a-z0-9-]+){re.escape(B2_DOMAIN)}", host)
    return found[1] if found else None


def region_name(value: str) -> str:
    """A region's name."""
    if not re.fullmatch(r"[A-Za-z0-9-]+", value):
        raise ValueError("expected a region such as us-west-004: the endpoint's part after `s3.`")
    return value


def event_secret(value: str) -> str:
    """The signing secret of an event rule."""
    if not re.fullmatch(r"[A-Za-z0-9]{32}", value):
        raise ValueError(
            "expected the signing secret of the bucket's event rule: 32 letters and digits"
        )
    return value


def bucket_name(value: str) -> str:
    """A bucket's name alone."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}", value):
        raise ValueError("expected the bucket's name alone: letters, digits and -, no s3:// or /")
    return value


def key_prefix(value: str) -> str:
    """How keys in a store may begin."""
    if value.startswith("/") or re.search(r"//|\\|(^|/)\.\.?(/|$)", value):
        raise ValueError("expected the beginning of a key, such as validation-failures/")
    return value


def folder(value: Path, *, below: Path) -> Path:
    """A folder that is there or can come to be: nothing on the way to it is a file.

    A relative one is taken from `below`.
    """
    try:
        whole = below / value.expanduser()
    except RuntimeError:
        raise ValueError("expected a folder: there is no user of that name") from None
    for place in (whole, *whole.parents):
        if place.exists():
            if not place.is_dir():
                which = "it" if place == whole else str(place)
                raise ValueError(f"expected a folder, and {which} is a file")
            break
    return value


def connection_string(value: str) -> str:
    """A Postgres connection string, a URL or key=value pairs."""
    parts_of(value)
    return value


def direct_url(value: str) -> str:
    """A Postgres URL whose host is no transaction pooler: Dagster's storage keeps session state."""
    plain = re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", value)
    if not plain.startswith(SCHEMES):
        raise ValueError(f"expected {URL_FORM}")
    if is_pooler(parts_of(plain)["host"]):
        raise ValueError(
            "its host is a transaction pooler, which does not keep the session that Dagster's "
            "storage needs: take the direct host, the same without `-pooler`"
        )
    return value


def is_pooler(host: str) -> bool:
    """True for Neon's PgBouncer hosts."""
    return "-pooler" in host.split(".", maxsplit=1)[0]


def shares_by_state(value: object) -> object:
    """`WY=0.25,PR=0.5`: a share for each state named."""
    if not isinstance(value, str):
        return value
    shares = {}
    for pair in value.split(","):
        found = re.fullmatch(r"\s*(\w+)\s*=\s*(\d*\.?\d+)\s*", pair)
        if found is None:
            raise ValueError("expected a share for each state, such as WY=0.25,PR=0.5")
        try:
            (state,) = checked_states([found[1]])
        except UnknownStateError as error:
            raise ValueError(str(error)) from None
        if state in shares:
            raise ValueError(f"{state} is named twice")
        shares[state] = float(found[2])
    return shares


def parts_of_a_whole(shares: Mapping[str, float]) -> Mapping[str, float]:
    """None above 1: a percentage by mistake would switch the check off."""
    for state, share in shares.items():
        if share > 1:
            raise ValueError(f"{state} is {share:g}: expected a share, 0 to 1")
    return shares


def time_zone(value: str) -> str:
    """A time zone by its name."""
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("expected a time zone such as UTC or America/New_York") from None
    return value


def cron_schedule(value: str) -> str:
    """A time that comes again, as cron writes it."""
    fields = value.split()
    if len(fields) != len(CRON_FIELDS):
        raise ValueError(
            f"expected {len(CRON_FIELDS)} fields, {' '.join(CRON_FIELDS)}, such as {CRON_EXAMPLE}"
        )
    for field, (name, (first, last, words)) in zip(fields, CRON_FIELDS.items(), strict=True):
        if not all(_is_cron(part, first, last, words.split()) for part in field.split(",")):
            raise ValueError(f"its {name} is {field!r}: expected *, or {first} to {last}")
    day, month = fields[2:4]
    if (day, month) in NO_SUCH_DAY:
        raise ValueError(f"there is no day {day} in month {month}")
    return value


def _is_cron(part: str, first: int, last: int, words: list[str]) -> bool:
    """True for `*`, `5`, `mon`, `1-5`, and for `*/2` and `1-5/2`."""
    found = re.fullmatch(r"(\*|(\w+)(-(\w+))?)(/([1-9]\d?))?", part.lower(), re.ASCII)
    if found is None:
        return False
    ends = [
        words.index(end) + first if end in words else int(end) if end.isdecimal() else -1
        for end in found.group(2, 4)
        if end is not None
    ]
    low, *high = ends or [first, last]
    reach = high[0] - low if high else 0
    in_order = reach > 0 or not high
    return in_order and int(found[6] or 0) <= reach and all(first <= e <= last for e in ends)
