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
    """How the table's values are dates; `asked` is what the user says of day and month.

    Makes the table `dates`: a value's ISO form with the day first, and with the month first.
    """
    duck.execute(f"CREATE OR REPLACE TEMP TABLE dates AS {_both_ways(table)}")
    order = asked if asked is not DateOrder.AUTO else _evidence(duck).order
    either = """
        CASE WHEN by_day IS NULL THEN by_month WHEN by_month IS NULL OR by_day = by_month
        THEN by_day END"""
    known = {DateOrder.DAY_FIRST: "by_day", DateOrder.MONTH_FIRST: "by_month"}
    left = f"""
        CASE WHEN regexp_full_match(value, {literal(SHORT_YEAR)}) THEN 'the year has two digits'
        WHEN by_day <> by_month THEN 'day and month could be either' ELSE 'no date' END"""
    says = None if order is DateOrder.AUTO else str(order)
    return Meant(after=known.get(order, either), left=left, says=says, relation="dates")


def _evidence(duck: Duck) -> Evidence:
    row = duck.execute("""
        SELECT count(*) FILTER (by_day IS NOT NULL AND by_month IS NULL),
            count(*) FILTER (by_month IS NOT NULL AND by_day IS NULL) FROM dates""").fetchone()
    return Evidence(day_first=row[0] if row else 0, month_first=row[1] if row else 0)


def _both_ways(table: str) -> str:
    """SQL for value, by_day, by_month; one inside the other, so that each is evaluated once."""
    parts = {
        "big": (BIG_FIRST, "['y', 'm', 'd', 'clock', 'zone']"),
        "small": (SMALL_FIRST, "['d', 'm', 'y', 'clock', 'zone']"),
        "month_first": (MONTH_FIRST, "['m', 'd', 'y', 'clock', 'zone']"),
        "day_first": (DAY_FIRST, "['d', 'm', 'y', 'clock', 'zone']"),
    }
    extracted = ", ".join(
        f"regexp_extract(value, {literal(f'^(?:{pattern})$')}, {names}) AS {form}"
        for form, (pattern, names) in parts.items()
    )
    said = ", ".join(
        f"concat({', '.join(f'{form}.{part}' for form in parts)}) AS {part}"
        for part in ("y", "m", "d", "clock", "zone")
    )
    months = ", ".join(literal(month) for month in MONTHS)
    # At most one form matches; of the others every part is empty.
    return f"""
        SELECT value, CASE WHEN TRY_CAST(y || '-' || m || '-' || d AS DATE) IS NOT NULL
                THEN y || '-' || m || '-' || d || clock END AS by_day,
            CASE WHEN NOT is_small THEN by_day
                WHEN TRY_CAST(y || '-' || d || '-' || m AS DATE) IS NOT NULL
                THEN y || '-' || d || '-' || m || clock END AS by_month
        FROM (
            SELECT value, is_small, y, lpad(d, 2, '0') AS d,
                lpad(coalesce(list_position([{months}], lower(left(m, 3)))::VARCHAR, m), 2, '0')
                    AS m,
                CASE WHEN clock = '' THEN '' WHEN TRY_CAST({_clock("clock")} AS TIME) IS NOT NULL
                    THEN 'T' || {_clock("clock")} || trim(zone) END AS clock
            FROM (SELECT value, small.y <> '' AS is_small, {said}
                FROM (SELECT value, {extracted} FROM {table})))"""


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
