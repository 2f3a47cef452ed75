"""The forms a value can be written in, as regular expressions, and what number or time each says.

A form is about how one value looks; what a whole column means is in meanings.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from outreach_assets.tools.reading.columns import literal


class Family(StrEnum):
    """Forms that are the same kind of value."""

    NUMBER = "number"
    MOMENT = "moment"
    TRUTH = "boolean"
    EMAIL = "email"
    URL = "url"
    UUID = "uuid"
    NETWORK = "ip address"
    NATIONAL = "social security number"
    CARD = "card number"
    PHONE = "phone"


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way to write a value."""

    name: str
    family: Family
    pattern: str
    """The whole of the value, blanks around it taken off, matches."""

    parsed: str = "NULL"
    """SQL over `said` for the number or the time it says; NULL when it says none."""

    is_apart: bool = False
    """No other form matches what it does, so it may be tried first."""


DIGITS = r"[0-9]"
CURRENCY = r"(?:[$€£¥]|USD|EUR|GBP|CAD|AUD|CHF)"
AMOUNT = rf"{DIGITS}[0-9.,]*"
MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"


def _number(text: str) -> str:
    return f"TRY_CAST({text} AS DOUBLE)"


def _time(*formats: str) -> str:
    return f"try_strptime(said, [{', '.join(literal(one) for one in formats)}])"


_BARE = "regexp_replace(said, '[^0-9.,]', '', 'g')"
# Most money is written like $1.50, and the regular expressions for all other ways are dear.
_MONEY = f"""coalesce(TRY_CAST(ltrim(said, '$') AS DOUBLE),
    CASE WHEN regexp_matches(said, '^[-(]|-[^0-9]*[0-9]') THEN -1 ELSE 1 END
    * TRY_CAST(CASE WHEN regexp_matches(said, ',[0-9]{{1,2}}[^0-9]*$')
        THEN replace(replace({_BARE}, '.', ''), ',', '.')
        ELSE replace({_BARE}, ',', '') END AS DOUBLE))"""

INTEGER, SLASHED = "integer", "1/2/2024"

FORMS: Sequence[Form] = (
    Form(
        name=INTEGER,
        family=Family.NUMBER,
        pattern=r"[+-]?[0-9]{1,18}",
        parsed=_number("said"),
    ),
    Form(
        name="decimal",
        family=Family.NUMBER,
        pattern=r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][+-]?[0-9]{1,3})?",
        parsed=_number("said"),
    ),
    Form(
        name="1,234.5",
        family=Family.NUMBER,
        pattern=r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?",
        parsed=_number("replace(said, ',', '')"),
    ),
    Form(
        name="1.234,5",
        family=Family.NUMBER,
        pattern=r"[+-]?(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+),[0-9]+",
        parsed=_number("replace(replace(said, '.', ''), ',', '.')"),
    ),
    Form(
        name="money",
        family=Family.NUMBER,
        pattern=rf"[-+(]?\s?{CURRENCY}\s?-?{AMOUNT}\)?|[-+(]?{AMOUNT}\s?{CURRENCY}\)?",
        parsed=_MONEY,
        is_apart=True,
    ),
    Form(
        name="percent",
        family=Family.NUMBER,
        pattern=r"[+-]?[0-9]+(?:[.,][0-9]+)?\s?%",
        parsed=_number("replace(rtrim(said, '% '), ',', '.')"),
    ),
    Form(
        name="2024-01-02",
        family=Family.MOMENT,
        pattern=r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
        parsed="TRY_CAST(said AS TIMESTAMP)",
    ),
    Form(
        name="2024-01-02 03:04:05",
        family=Family.MOMENT,
        pattern=r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
        r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?",
        parsed="TRY_CAST(said AS TIMESTAMP)",
        is_apart=True,
    ),
    Form(
        name="2024/01/02",
        family=Family.MOMENT,
        pattern=r"[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}",
        parsed=_time("%Y/%m/%d"),
    ),
    Form(
        name=SLASHED,
        family=Family.MOMENT,
        pattern=r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}",
        parsed=_time("%m/%d/%Y"),
    ),
    Form(
        name="2.1.2024",
        family=Family.MOMENT,
        pattern=r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}",
        parsed=_time("%d.%m.%Y"),
    ),
    Form(
        name="Jan 2, 2024",
        family=Family.MOMENT,
        pattern=rf"(?i:{MONTH})[a-z]* [0-9]{{1,2}},? [0-9]{{4}}",
        parsed=_time("%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y"),
    ),
    Form(
        name="2 Jan 2024",
        family=Family.MOMENT,
        pattern=rf"[0-9]{{1,2}}[ -](?i:{MONTH})[a-z]*[ -][0-9]{{4}}",
        parsed=_time("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%B-%Y"),
    ),
    Form(name="true/false", family=Family.TRUTH, pattern=r"(?i:true|false)"),
    Form(name="yes/no", family=Family.TRUTH, pattern=r"(?i:yes|no)"),
    Form(name="t/f, y/n", family=Family.TRUTH, pattern=r"(?i:[tfyn])"),
    Form(
        name="email",
        family=Family.EMAIL,
        pattern=r"[^@\s,;<>]+@[^@\s,;<>.]+(?:\.[^@\s,;<>.]+)+",
    ),
    Form(name="http(s)://…", family=Family.URL, pattern=r"(?i:https?|ftp)://[^\s]+"),
    Form(
        name="www.example.com",
        family=Family.URL,
        pattern=r"(?i:www\.[^\s@]+|(?:[a-z0-9-]+\.)+(?:com|org|net|io|co|us|edu|gov|info|biz|dev|"
        r"example)(?:/[^\s]*)?)",
    ),
    Form(
        name="uuid",
        family=Family.UUID,
        pattern=r"(?i:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})",
    ),
    Form(
        name="IPv4",
        family=Family.NETWORK,
        pattern=r"(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})",
    ),
    Form(name="123-45-6789", family=Family.NATIONAL, pattern=r"[0-9]{3}-[0-9]{2}-[0-9]{4}"),
    Form(
        name="card",
        family=Family.CARD,
        pattern=r"[0-9]{4}[ -][0-9]{4,6}[ -][0-9]{4,5}(?:[ -][0-9]{4})?",
    ),
    Form(
        name="+13045551234",
        family=Family.PHONE,
        pattern=r"\+[1-9][0-9]{7,14}",
    ),
    Form(
        name="(304) 555-1234",
        family=Family.PHONE,
        pattern=r"(?:\+?1[ .-]?)?\([0-9]{3}\) ?[0-9]{3}[ .-]?[0-9]{4}(?: ?(?:x|ext\.?) ?[0-9]+)?",
    ),
    Form(
        name="304-555-1234",
        family=Family.PHONE,
        pattern=r"(?:\+?1[ .-])?[0-9]{3}[ .-][0-9]{3}[ .-][0-9]{4}(?: ?(?:x|ext\.?) ?[0-9]+)?",
    ),
    Form(
        name="+44 20 7946 0000",
        family=Family.PHONE,
        pattern=r"\+[0-9]{1,3}(?:[ .()-]{1,2}[0-9]{1,5}){2,6}",
    ),
)
"""In the order in which they are tried: the first that matches is the value's form."""

BY_NAME = {form.name: form for form in FORMS}
PLACES = {form.name: place for place, form in enumerate(FORMS)}
"""How a form is called in tables: a number is grouped by faster than a name."""

DATES_ONLY = {
    form.name for form in FORMS if form.family is Family.MOMENT and "03:04" not in form.name
}


def of(families: set[Family]) -> list[Form]:
    """The forms of these families, in order."""
    return [form for form in FORMS if form.family in families]


def form_sql(forms: Sequence[Form]) -> str:
    """SQL over `said` for the place of its form; NULL for none of these.

    A number in E.164 is an integer with a plus before it: the phone is asked first.
    """
    tried = sorted(forms, key=lambda form: form.name != "+13045551234")
    cases = " ".join(
        f"WHEN regexp_full_match(said, {literal(form.pattern)}) THEN {PLACES[form.name]}"
        for form in tried
    )
    return f"(CASE {cases} END)::TINYINT" if cases else "NULL::TINYINT"


def parsed_sql(forms: Sequence[Form], family: Family, *, is_day_first: bool = False) -> str:
    """SQL over `said` and `form` for the number or time it says; NULL where it says none."""
    cases = " ".join(
        f"WHEN {PLACES[form.name]} THEN {_parsed(form, is_day_first=is_day_first)}"
        for form in forms
        if form.family is family
    )
    nothing = "NULL::DOUBLE" if family is Family.NUMBER else "NULL::TIMESTAMP"
    return f"CASE form {cases} ELSE NULL END" if cases else nothing


def _parsed(form: Form, *, is_day_first: bool) -> str:
    if form.name == SLASHED and is_day_first:
        return _time("%d/%m/%Y")
    return form.parsed
