"""Dates as ISO 8601: SQL over a column's values, and what the column says of day and month."""

from dataclasses import dataclass

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.clean_my_data.manifest import DateOrder
from outreach_assets.tools.clean_my_data.meant import Meant
from outreach_assets.tools.reading.columns import literal

ZONE = r"(?: ?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?))?"
CLOCK = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?: ?(?i:[ap]\.?m\.?))?"
TIME = rf"(?:(?:T|,? +)({CLOCK})({ZONE}))?"
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH = (
    r"((?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?))"
)
YEAR, DAY = "([12][0-9]{3})", "([0-9]{1,2})"

BIG_FIRST = rf"{YEAR}[-/.]{DAY}[-/.]{DAY}{TIME}"
SMALL_FIRST = rf"{DAY}[-/.]{DAY}[-/.]{YEAR}{TIME}"
MONTH_FIRST = rf"{MONTH}\.? {DAY}(?:st|nd|rd|th)?,? {YEAR}{TIME}"
DAY_FIRST = rf"{DAY}(?:st|nd|rd|th)?[ -]{MONTH}\.?,?[ -]{YEAR}{TIME}"
ISO = r"[12][0-9]{3}-[0-9]{2}-[0-9]{2}"
SHORT_YEAR = r"[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2}"
"""Recognised as a date, and left: nobody can know the century."""

ANY = f"{BIG_FIRST}|{SMALL_FIRST}|{MONTH_FIRST}|{DAY_FIRST}|{SHORT_YEAR}"
LIKE = f"regexp_full_match(value, {literal(ANY)})"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How many values can only be read with the day first, and only with the month first."""

    day_first: int
    month_first: int

    @property
    def order(self) -> DateOrder:
        """AUTO where the values do not say it, or contradict each other."""
        if self.day_first and not self.month_first:
            return DateOrder.DAY_FIRST
        if self.month_first and not self.day_first:
            return DateOrder.MONTH_FIRST
        return DateOrder.AUTO


def meant_dates(duck: Duck, table: str, asked: DateOrder) -> Meant:
    """How the table's values are dates; `asked` is what the user says of day and month."""
    day_first, month_first = _small("day"), _small("month")
    order = asked if asked is not DateOrder.AUTO else _evidence(duck, table).order
    either = f"""
        CASE WHEN {day_first} IS NULL THEN {month_first} WHEN {month_first} IS NULL THEN {day_first}
        WHEN {day_first} = {month_first} THEN {day_first} END"""
    small = {DateOrder.DAY_FIRST: day_first, DateOrder.MONTH_FIRST: month_first}.get(order, either)
    day = f"""
        CASE WHEN regexp_full_match(value, {literal(ISO)}) AND TRY_CAST(value AS DATE) IS NOT NULL
            THEN value
        WHEN regexp_full_match(value, {literal(BIG_FIRST)}) THEN {_iso(BIG_FIRST, "ymd")}
        WHEN regexp_full_match(value, {literal(SMALL_FIRST)}) THEN {small}
        WHEN regexp_full_match(value, {literal(MONTH_FIRST)}) THEN {_iso(MONTH_FIRST, "mdy")}
        WHEN regexp_full_match(value, {literal(DAY_FIRST)}) THEN {_iso(DAY_FIRST, "dmy")} END"""
    left = f"""
        CASE WHEN regexp_full_match(value, {literal(SHORT_YEAR)}) THEN 'the year has two digits'
        WHEN {day_first} IS NOT NULL AND {month_first} IS NOT NULL
            THEN 'day and month could be either' ELSE 'no date' END"""
    says = None if order is DateOrder.AUTO else str(order)
    return Meant(after=day, left=left, says=says)


def _evidence(duck: Duck, table: str) -> Evidence:
    day_first, month_first = _small("day"), _small("month")
    row = duck.execute(f"""
        SELECT count(*) FILTER ({day_first} IS NOT NULL AND {month_first} IS NULL),
            count(*) FILTER ({month_first} IS NOT NULL AND {day_first} IS NULL)
        FROM {table} WHERE regexp_full_match(value, {literal(SMALL_FIRST)})""").fetchone() or (0, 0)
    return Evidence(day_first=row[0], month_first=row[1])


def _small(first: str) -> str:
    return _iso(SMALL_FIRST, "dmy" if first == "day" else "mdy")


def _iso(pattern: str, parts: str) -> str:
    """SQL for the ISO date and time; NULL when there is no such day or time."""

    def part(number: int) -> str:
        return f"regexp_extract(value, {literal(f'^(?:{pattern})$')}, {number})"

    at = {letter: part(number) for number, letter in enumerate(parts, start=1)}
    month = f"lpad({at['m']}, 2, '0')"
    if MONTH in pattern:
        listed = ", ".join(literal(name) for name in MONTHS)
        month = f"lpad(list_position([{listed}], lower(left({at['m']}, 3)))::VARCHAR, 2, '0')"
    day = f"{at['y']} || '-' || {month} || '-' || lpad({at['d']}, 2, '0')"
    clock = _clock(part(4))
    return f"""
        CASE WHEN TRY_CAST({day} AS DATE) IS NULL THEN NULL
        WHEN {part(4)} = '' THEN {day}
        WHEN TRY_CAST({clock} AS TIME) IS NULL THEN NULL
        ELSE {day} || 'T' || {clock} || trim({part(5)}) END"""


def _clock(said: str) -> str:
    """`3:04 pm` as `15:04`; as long as it was said."""
    bare = f"regexp_replace({said}, '[ apmAPM.]+$', '')"
    hour = f"TRY_CAST(split_part({said}, ':', 1) AS INT)"
    rest = f"substr({bare}, strpos({bare}, ':'))"
    twelve = f"""
        CASE WHEN {hour} NOT BETWEEN 1 AND 12 THEN NULL
        WHEN regexp_matches({said}, '[pP]') THEN {hour} % 12 + 12 ELSE {hour} % 12 END"""
    is_twelve = f"regexp_matches({said}, '[apAP]')"
    return f"lpad((CASE WHEN {is_twelve} THEN {twelve} ELSE {hour} END)::VARCHAR, 2, '0') || {rest}"
