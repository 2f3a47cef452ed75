"""What a column is: the type its values have, and what they stand for.

By how the values are written, and where that leaves it open, by the column's name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.profile_my_data.forms import BY_NAME, DATES_ONLY, INTEGER, Family
from outreach_assets.tools.profile_my_data.values import Values
from outreach_assets.tools.reading.columns import literal
from outreach_core.states import STATE_CODES

TYPE_SHARE = 0.95
MEANS_SHARE = 0.8
FEW_CATEGORIES, MOST_CATEGORIES, CATEGORY_SHARE = 50, 1000, 0.05

BY_FAMILY = {
    Family.EMAIL: "email",
    Family.URL: "url",
    Family.UUID: "id",
    Family.NETWORK: "ip address",
    Family.NATIONAL: "social security number",
    Family.CARD: "card number",
    Family.PHONE: "phone",
    Family.MOMENT: "date",
    Family.TRUTH: "boolean",
}

NAMED = {
    "phone": re.compile(r"phone|mobile|\bcell\b|\bfax\b|\btel\b|telephone"),
    "zip": re.compile(r"\bzip|postal|postcode"),
    "money": re.compile(r"amount|price|revenue|salary|\bcost|total|\busd\b|\beur\b|budget|\bfee\b"),
    "id": re.compile(r"\bid\b|\bkey\b|\bcode\b|\buuid\b|\bnumber\b|\bno\b"),
    "name": re.compile(r"(first|last|full|middle|sur|given|family|contact|person) ?name|^name$"),
    "birth": re.compile(r"birth|\bdob\b"),
    "address": re.compile(r"street|address (line|1|2)|^address$"),
}


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a column was found to be."""

    type: str
    means: str
    fits: int
    """Rows whose value is of that type, or says that."""

    families: Mapping[Family, int]
    """Rows by how they are written."""


def is_named(name: str, what: str) -> bool:
    """Whether the column's name, its words taken apart, speaks of it."""
    words = re.sub(r"[^a-z0-9]+", " ", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()).strip()
    return bool(NAMED[what].search(words))


def meaning(duck: Duck, values: Values, name: str) -> Meaning:
    """The type and meaning of the column."""
    families = {family: values.in_family(family) for family in Family}
    kind, typed = _type(values, families)
    means, fits = _means(duck, values, name, kind, families)
    return Meaning(
        type=kind,
        means=means,
        fits=typed if fits is None else fits,
        families={family: n for family, n in families.items() if n},
    )


def _type(values: Values, families: Mapping[Family, int]) -> tuple[str, int]:
    """The type, and the rows that are of it."""
    if not values.filled:
        return "empty", 0
    enough = TYPE_SHARE * values.filled
    if families[Family.NUMBER] >= enough and not values.has_codes:
        numbers = sum(one.numbers for one in values.written.values())
        whole = form_rows(values, INTEGER)
        return ("integer" if families[Family.NUMBER] == whole else "decimal"), numbers
    if families[Family.MOMENT] >= enough:
        only_dates = sum(form_rows(values, name) for name in DATES_ONLY)
        return ("date" if only_dates == families[Family.MOMENT] else "timestamp"), _moments(values)
    if families[Family.TRUTH] >= enough:
        return "boolean", families[Family.TRUTH]
    return "text", values.filled


def _moments(values: Values) -> int:
    """Rows that say a time: 2/30/2024 is written like one and is none."""
    return sum(one.moments for one in values.written.values())


def form_rows(values: Values, name: str) -> int:
    """Rows written in the form of this name."""
    found = values.written.get(BY_NAME[name])
    return found.rows if found else 0


def _means(
    duck: Duck, values: Values, name: str, kind: str, families: Mapping[Family, int]
) -> tuple[str, int | None]:
    """The meaning, and the rows that say it where that differs from the type's."""
    if kind == "empty":
        return "empty", None
    enough = MEANS_SHARE * values.filled
    for family, means in BY_FAMILY.items():
        if families[family] >= enough:
            return means, _moments(values) if family is Family.MOMENT else families[family]
    if is_named(name, "phone"):
        digits = _rows(duck, values, r"\+?[0-9]{7,15}") + families[Family.PHONE]
        if digits >= enough:
            return "phone", digits
    if is_named(name, "zip"):
        return "zip", _rows(duck, values, r"[0-9]{5}(?:-?[0-9]{4})?")
    states = _states(duck, values)
    if states >= enough and (values.distinct > 2 or "state" in name.lower()):
        return "state", states
    return _by_counts(values, name, kind)


def _by_counts(values: Values, name: str, kind: str) -> tuple[str, int | None]:
    if kind in ("integer", "decimal"):
        amount = _amount(values, name)
        if amount:
            return amount, None
    is_single = values.distinct == values.filled and values.filled > 1
    repeats = values.distinct <= CATEGORY_SHARE * values.filled or (
        values.distinct <= FEW_CATEGORIES and values.distinct * 2 <= values.filled
    )
    if is_named(name, "name"):
        means = "name"
    elif is_named(name, "id") and kind != "decimal" and (is_single or not repeats):
        means = "id"
    elif kind == "text" and repeats and values.distinct <= MOST_CATEGORIES:
        means = "category"
    else:
        means = "number" if kind in ("integer", "decimal") else "text"
    return means, None


def _amount(values: Values, name: str) -> str | None:
    """Money or percent, when the numbers are written so or the column is called so."""
    enough = MEANS_SHARE * values.filled
    if form_rows(values, "money") >= enough or is_named(name, "money"):
        return "money"
    return "percent" if form_rows(values, "percent") >= enough else None


def _rows(duck: Duck, values: Values, pattern: str) -> int:
    row = duck.execute(f"""
        SELECT sum(n) FROM {values.name}
        WHERE regexp_full_match(said, {literal(pattern)})""").fetchone()
    return int((row and row[0]) or 0)


def _states(duck: Duck, values: Values) -> int:
    """Rows that hold the code of a state; a column of many values holds none."""
    if values.distinct > 500:
        return 0
    codes = ", ".join(literal(code) for code in STATE_CODES)
    row = duck.execute(
        f"SELECT sum(n) FROM {values.name} WHERE upper(said) IN ({codes})"
    ).fetchone()
    return int((row and row[0]) or 0)
