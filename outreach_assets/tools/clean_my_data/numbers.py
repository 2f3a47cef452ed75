"""Numbers as a spreadsheet or a database takes them: SQL over a column's values.

Plain numbers are left as they are written, leading zeros and all: they may be somebody's id.
"""

from dataclasses import dataclass

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.clean_my_data.meant import Meant
from outreach_assets.tools.reading.columns import literal

CURRENCY = r"(?:[$€£¥₹]|US\$|USD|EUR|GBP|CAD|AUD|CHF|JPY|INR)"
GROUPED_BY_COMMA = r"[1-9][0-9]{0,2}(?:,[0-9]{3})+"
GROUPED_BY_POINT = r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+"
GROUPED_BY_BLANK = r"[1-9][0-9]{0,2}(?:[ '\x{2019}][0-9]{3})+"
AMOUNT = (
    rf"(?:{GROUPED_BY_COMMA}(?:\.[0-9]+)?|{GROUPED_BY_POINT}(?:,[0-9]+)?"
    rf"|{GROUPED_BY_BLANK}(?:[.,][0-9]+)?|[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)"
)
PLAIN = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
SIGNED = rf"[+-]?\s?{CURRENCY}?\s?-?{AMOUNT}\s?{CURRENCY}?|\({CURRENCY}?\s?{AMOUNT}\s?{CURRENCY}?\)"

LIKE = f"regexp_full_match(value, {literal(f'{PLAIN}|{SIGNED}')})"

BARE = f"regexp_replace(value, {literal(r'[^0-9.,]')}, '', 'g')"
"""Digits and marks only."""

IS_NEGATIVE = "regexp_matches(value, '[-(]')"
ENOUGH_GROUPED = 3
"""So many values like 1,234 and none that contradicts: the comma groups."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How many values can only be read with a decimal point, only with a comma, or both ways."""

    point: int
    comma: int
    grouped_by_comma: int
    currencies: int

    @property
    def mark(self) -> str | None:
        """The decimal mark; None where the values do not say it, or contradict each other."""
        if self.comma and not self.point:
            return ","
        if (self.point or self.grouped_by_comma >= ENOUGH_GROUPED) and not self.comma:
            return "."
        return None


def meant_numbers(duck: Duck, table: str) -> Meant:
    """How the table's values are numbers."""
    plain = f"regexp_full_match(value, {literal(PLAIN)})"
    if duck.execute(f"SELECT bool_and({plain}) FROM {table}").fetchone() == (True,):
        return Meant(after="value", left="NULL::VARCHAR")
    evidence = _evidence(duck, table)
    sign = f"CASE WHEN {IS_NEGATIVE} THEN '-' ELSE '' END"
    digits = {
        ".": f"replace({BARE}, ',', '')",
        ",": f"replace(replace({BARE}, '.', ''), ',', '.')",
        None: f"CASE WHEN contains({BARE}, ',') THEN NULL ELSE {BARE} END",
    }[evidence.mark]
    keeps_points = evidence.mark != "," or not evidence.comma
    is_grouped = f"regexp_full_match(value, {literal('[+-]?' + GROUPED_BY_POINT)})"
    kept = plain if keeps_points else f"{plain} AND NOT {is_grouped}"
    number = f"{sign} || {digits}"
    after = f"""
        CASE WHEN {kept} THEN value WHEN {evidence.currencies} > 1 THEN NULL
        WHEN regexp_full_match({number}, {literal(PLAIN)}) AND {LIKE} THEN {number} END"""
    left = f"""
        CASE WHEN NOT {LIKE} THEN 'no number'
        WHEN {evidence.currencies} > 1 THEN 'the column has more than one currency'
        ELSE 'the comma could be a decimal mark or not' END"""
    says = f"decimal mark {evidence.mark}" if evidence.mark else None
    return Meant(after=after, left=left, says=says)


def _evidence(duck: Duck, table: str) -> Evidence:
    point = rf"[0-9]*\.(?:[0-9]{{0,2}}|[0-9]{{4,}})|0*\.[0-9]+|{GROUPED_BY_COMMA}\.[0-9]+"
    point += r"|[0-9]{4,}\.[0-9]+|[1-9][0-9]{0,2}(?:,[0-9]{3}){2,}"
    comma = rf"[0-9]*,(?:[0-9]{{0,2}}|[0-9]{{4,}})|0*,[0-9]+|{GROUPED_BY_POINT},[0-9]+"
    comma += r"|[0-9]{4,},[0-9]+|[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,}"
    currency = f"nullif(upper(trim(regexp_extract(value, {literal(CURRENCY)}))), '')"
    row = (
        duck.execute(f"""
        SELECT count(*) FILTER (regexp_full_match(bare, {literal(point)})),
            count(*) FILTER (regexp_full_match(bare, {literal(comma)})),
            count(*) FILTER (regexp_full_match(bare, {literal(GROUPED_BY_COMMA)})),
            count(DISTINCT {currency})
        FROM (SELECT value, {BARE} AS bare FROM {table} WHERE {LIKE})""").fetchone()
        or (0,) * 4
    )
    return Evidence(point=row[0], comma=row[1], grouped_by_comma=row[2], currencies=row[3])
