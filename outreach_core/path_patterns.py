"""Patterns for files in rclone's filter syntax, and whether a path matches one.

https://rclone.org/filtering/: rclone itself goes by the same patterns when it lists a folder; here
they answer which policy takes a file without asking it. What policies are is in policies.py.
"""

import re
from functools import cache
from unicodedata import normalize

from outreach_core.errors import PermanentError

TOKEN = re.compile(
    r"(?P<expression>\{\{.*?\}\}(?!\}))|(?P<stars>\*+)|(?P<escaped>\\.)"
    r"|(?P<set>\[\^?(?:\\.|[^\]\\])+\])|(?P<plain>.)",
    re.DOTALL,
)
"""What a pattern is made of."""


class WrongPatternError(PermanentError):
    """A pattern that rclone could not read."""


def matches(pattern: str, path: str) -> bool:
    """True when the pattern takes the file; `path` is relative to the policy's folder, with `/`.

    The two may be written in different forms of Unicode. Raises WrongPatternError.
    """
    return compiled(normalize("NFC", pattern)).search(normalize("NFC", path)) is not None


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    r"""The pattern as a regular expression to search a path with. Raises WrongPatternError.

    A leading `/` ties it to the folder's top, a trailing one takes all below a folder; `*` and `?`
    stay within a name, `**` does not; `[a-z]`, `{a,b}`, `{{regular expression}}` and `\` work too.
    """
    if not pattern.strip("/") or "\n" in pattern or "\r" in pattern:
        raise _wrong(pattern, "it is empty, or has a line end in it")
    whole = pattern + "**" if pattern.endswith("/") else pattern
    start = "^" if whole.startswith("/") else "(^|/)"
    try:
        return re.compile(f"{start}{_translated(whole.removeprefix('/'))}\\Z", re.DOTALL)
    except (re.error, ValueError) as error:
        raise _wrong(pattern, str(error)) from None


def _translated(text: str) -> str:
    """Raises ValueError saying what is wrong."""
    parts: list[str] = []
    is_open = False
    for token in TOKEN.finditer(text):
        said = token[0]
        if is_open and said in ("{", ",", "}"):
            if said == "{":
                raise ValueError("a { inside of another")
            parts.append("|" if said == "," else ")")
            is_open = said == ","
        elif token.lastgroup == "plain" and said in "[]{}\\":
            if said != "{":
                raise ValueError(f"a {said} alone")
            parts.append("(?:")
            is_open = True
        else:
            parts.append(_piece(str(token.lastgroup), said))
    if is_open:
        raise ValueError("a { without its }")
    return "".join(parts)


def _piece(kind: str, said: str) -> str:
    match kind:
        case "expression":
            return f"(?:{said[2:-2]})"
        case "stars" if len(said) > 2:
            raise ValueError("too many stars")
        case "stars":
            return "[^/]*" if said == "*" else ".*"
        case "set":
            return said[:2] + said[2:].replace("[", "\\[")
        case "escaped":
            return re.escape(said[1])
    return "[^/]" if said == "?" else re.escape(said)


def _wrong(pattern: str, why: str) -> WrongPatternError:
    return WrongPatternError(
        f"the pattern {pattern!r} cannot be read: {why} (https://rclone.org/filtering/)"
    )
