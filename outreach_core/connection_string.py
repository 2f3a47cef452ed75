"""What a Postgres connection string says, read without libpq: settings are checked before it loads.

Both forms are read, `postgresql://user:password@host:port/database?sslmode=…` and `key=value …`.
No message here holds any part of the string, because any part may be the password.
"""

import re
from urllib.parse import unquote

URL_FORM = "postgresql://user:password@host/database?sslmode=require"
SCHEMES = ("postgresql://", "postgres://")
ENCODE = "letters of the password that mean something in a URL are written %40 for @, %2F for /, "
ENCODE += "%3A for :, %3F for ?, %23 for #, %25 for %"
PAIR = re.compile(
    r"\s*(?P<name>[a-z_]+)\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<plain>(?:[^\s\\]|\\.)*))",
    re.DOTALL,
)


def parts_of(text: str) -> dict[str, str]:
    """The string's parts by libpq's names: host, port, dbname, user, password and the rest.

    A part that is not given is left out. Raises ValueError saying what is wrong and what was
    expected, for a person, without any part of the string.
    """
    parts = _url_parts(text) if text.startswith(SCHEMES) else _pairs(text)
    if not parts.get("host") and not parts.get("hostaddr"):
        raise ValueError(f"names no host: expected {URL_FORM}")
    if not re.fullmatch(r"\d{1,5}(,\d{1,5})*|", parts.get("port", "")):
        raise ValueError(f"the port is no number; {ENCODE}")
    return parts


def _url_parts(text: str) -> dict[str, str]:
    """As libpq reads a URL: the user and password end at the first @ that comes before any /."""
    if re.search("%(?!(?!00)[0-9A-Fa-f]{2})", text):
        raise ValueError(f"holds a % that begins no %XX; {ENCODE}")
    if re.search(r"\s", text):
        raise ValueError(f"holds a space or line end: expected {URL_FORM}")
    rest = text.split("://", 1)[1]
    before = re.match("[^@/]*@", rest)
    account = before[0][:-1] if before else None
    where, _, query = rest[before.end() if before else 0 :].partition("?")
    hosts, _, database = where.partition("/")
    if "@" in where:
        raise ValueError(f"holds a second @; {ENCODE}")
    if "@" in query or "/" in database:
        raise ValueError(f"cannot be told apart into its parts; {ENCODE}")
    user, _, password = (account or "").partition(":")
    found = {"user": user, "password": password, "dbname": database, **_hosts(hosts)}
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        if not equals or not re.fullmatch("[A-Za-z_]+", name):
            raise ValueError(f"after ? expected name=value pairs joined by &; {ENCODE}")
        found[name] = value
    try:
        return {name: unquote(value, errors="strict") for name, value in found.items() if value}
    except UnicodeDecodeError:  # its own words hold what it could not read
        raise ValueError(f"holds a %XX that is no UTF-8; {ENCODE}") from None


def _hosts(hosts: str) -> dict[str, str]:
    names, ports = [], []
    for place in hosts.split(","):
        if place.startswith("["):  # [::1]:5432
            name, _, port = place[1:].partition("]")
            port = port.removeprefix(":")
        else:
            name, _, port = place.partition(":")
        names.append(name)
        ports.append(port)
    return {"host": ",".join(names), "port": ",".join(ports) if any(ports) else ""}


def _pairs(text: str) -> dict[str, str]:
    if text.startswith("psql"):
        raise ValueError(f"begins with the command psql: take only what follows, {URL_FORM}")
    if re.match(r"[\w+:.-]+://", text):
        raise ValueError(f"is not a postgresql:// URL: expected {URL_FORM}")
    found: dict[str, str] = {}
    position = 0
    while position < len(text.rstrip()):
        pair = PAIR.match(text, position)
        if pair is None or not (pair.end() == len(text) or text[pair.end()].isspace()):
            raise ValueError(
                f"is neither a URL nor key=value pairs: expected {URL_FORM}, or "
                "host=… dbname=… user=… password='…' with every value that holds spaces in '…'"
            )
        value = pair["quoted"] if pair["quoted"] is not None else pair["plain"]
        found[pair["name"]] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        position = pair.end()
    return {name: value for name, value in found.items() if value}
