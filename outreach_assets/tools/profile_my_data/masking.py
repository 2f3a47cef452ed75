"""What of a value may be shown: everything personal is replaced before it reaches a report."""

import re

HIDDEN = "•••"
LONGEST_SHOWN = 80
LOOKED_AT = 400
"""A longer value is cut before it is looked at: the patterns take quadratic time in its length."""

EMAIL = re.compile(r"([^\s@,;<>\"'=]?)[^\s@,;<>\"'=]*@([^\s@,;<>\"']+\.[^\s@,;<>\"']+)")
PERSONAL_NUMBER = re.compile(
    r"(?<![0-9.])(?:"
    r"\+[0-9][0-9 ().-]{6,18}[0-9]"  # a phone in any country
    r"|\(?[0-9]{3}\)?[ .-]{1,2}[0-9]{3}[ .-][0-9]{4}"  # a phone as written in the US
    r"|[0-9]{3}-[0-9]{2}-[0-9]{4}"  # a social security number
    r"|[0-9]{4}[ -][0-9]{4,6}[ -][0-9]{4,5}(?:[ -][0-9]{4})?"  # a card
    r")(?![0-9]|\.[0-9])"
)
SHOWN_DIGITS = 2


def masked(value: str, *, is_personal: bool) -> str:
    """The value as it may be shown: of a personal column its first character and no more."""
    value = value[:LOOKED_AT]
    if is_personal and "@" not in value:
        return value[:1] + HIDDEN
    if is_personal:
        return EMAIL.sub(rf"\1{HIDDEN}@\2", value) if EMAIL.fullmatch(value.strip()) else HIDDEN
    return without_personal(value)


def without_personal(value: str) -> str:
    """A value of any other column, without the addresses and numbers inside it; cut when long."""
    shown = PERSONAL_NUMBER.sub(_last_digits, EMAIL.sub(rf"\1{HIDDEN}@\2", value))
    return shown if len(shown) <= LONGEST_SHOWN else shown[: LONGEST_SHOWN - 1] + "…"


def _last_digits(found: re.Match[str]) -> str:
    return HIDDEN + re.sub(r"[^0-9]", "", found[0])[-SHOWN_DIGITS:]
