"""What in a column is about a person, by how it is written, what is inside it, or its name."""

from collections.abc import Sequence

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.profile_my_data.forms import Family, form_sql, of
from outreach_assets.tools.profile_my_data.meanings import Meaning, is_named
from outreach_assets.tools.profile_my_data.report import Sensitive
from outreach_assets.tools.profile_my_data.values import Values
from outreach_assets.tools.reading.columns import literal

WHOLE, INSIDE, NAME = "whole value", "inside text", "column name"

BY_FAMILY = {
    Family.EMAIL: "email address",
    Family.PHONE: "phone number",
    Family.NATIONAL: "social security number",
    Family.CARD: "card number",
    Family.NETWORK: "IP address",
}
EMBEDDED = {
    "email address": r"[^\s@]+@[^\s@]+\.[^\s@]+",
    "social security number": r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b",
    "card number": r"\b[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]{4}\b|\b[0-9]{15,16}\b",
    "phone number": r"\+[0-9][0-9 ().-]{6,18}[0-9]|\(?[0-9]{3}\)?[ .-]{1,2}[0-9]{3}[ .-][0-9]{4}\b",
}
PERSONAL_SHARE = 0.02
"""A column with fewer personal values is shown, the personal parts of its values masked."""


def is_personal(found: Sequence[Sensitive]) -> bool:
    """Whether the column's values may not be shown at all."""
    return any(one.how in (WHOLE, NAME) for one in found)


def sensitive_found(duck: Duck, values: Values, name: str, found: Meaning) -> list[Sensitive]:
    """What was found, the most frequent kind first."""
    whole = {
        family: rows
        for family in BY_FAMILY
        if (rows := found.families.get(family, 0)) and rows >= PERSONAL_SHARE * values.filled
    }
    kinds: dict[str, Sensitive] = {}
    for kind, rows in _inside(duck, values, found, set(whole)).items():
        kinds[kind] = Sensitive(kind=kind, rows=rows, how=INSIDE)
    for kind in _by_name(name, found):
        kinds[kind] = Sensitive(kind=kind, rows=values.filled, how=NAME)
    for family, rows in whole.items():
        kinds[BY_FAMILY[family]] = Sensitive(kind=BY_FAMILY[family], rows=rows, how=WHOLE)
    return sorted(kinds.values(), key=lambda one: (-one.rows, one.kind))


def _by_name(name: str, found: Meaning) -> list[str]:
    kinds = []
    if found.means == "name" and is_named(name, "name"):
        kinds.append("person name")
    if found.means == "phone":
        kinds.append("phone number")
    if is_named(name, "birth"):
        kinds.append("date of birth")
    if is_named(name, "address") and found.means in ("text", "category"):
        kinds.append("street address")
    return kinds


def _inside(duck: Duck, values: Values, found: Meaning, whole: set[Family]) -> dict[str, int]:
    """Rows of text that hold something personal among other words.

    Every value is looked at, but for those that are known to be personal as a whole.
    """
    if found.type != "text" or sum(map(values.in_family, whole)) == values.filled:
        return {}
    counts = ", ".join(
        f"sum(n) FILTER (regexp_matches(said, {literal(pattern)}))" for pattern in EMBEDDED.values()
    )
    others = f"WHERE {form_sql(of(whole))} IS NULL"
    # One quick look first: few values hold an @ or seven digits and signs in a row.
    looked_at = duck.execute(f"""
        SELECT {counts} FROM (FROM {values.name} {others})
        WHERE contains(said, '@') OR regexp_matches(said, '[0-9][0-9 ().-]{{5,}}[0-9]')""")
    row = looked_at.fetchone()
    return {kind: int(n) for kind, n in zip(EMBEDDED, row or (), strict=True) if n}
