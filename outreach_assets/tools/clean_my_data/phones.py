"""Phone numbers as E.164, by Google's rules (phonenumbers): Python over a column's values."""

import csv
from pathlib import Path

import phonenumbers

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.clean_my_data.meant import Meant
from outreach_assets.tools.reading.columns import literal

LIKE = (
    r"(regexp_full_match(value, '\+?[0-9().\-/ ]{7,30}(?: ?(?i:x|ext\.?|#) ?[0-9]{1,6})?') "
    "AND length(regexp_replace(value, '[^0-9]', '', 'g')) BETWEEN 7 AND 21)"
)
"""Worth asking the library about."""

IS_PUNCTUATED = "NOT regexp_full_match(value, '[0-9.]*')"
"""Ten bare digits are as likely to be an id."""

US_WRITING = r"\(?[2-9][0-9]{2}\)?[ .-]{0,2}[0-9]{3}[ .-]?[0-9]{4}"
SAMPLE = 500
BATCH = 10_000


def e164(said: str, region: str) -> tuple[str | None, str | None]:
    """The number as E.164, or why it is left."""
    try:
        number = phonenumbers.parse(said, region)
    except phonenumbers.NumberParseException:
        return None, "no phone number"
    if not phonenumbers.is_valid_number(number):
        return None, "no phone number that exists"
    if number.extension:
        return None, "E.164 has no extension"
    text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    # Outside +1, prefixes that only some countries have could make it another number next time.
    if number.country_code != 1 and phonenumbers.parse(text) != number:
        return None, "E.164 would say another number"
    return text, None


def usual_sql(region: str) -> str:
    """SQL for the E.164 of a US number in a usual writing; NULL for all that e164 has to look at.

    By the library's own patterns; asking it takes 30 microseconds a number (measured).
    """
    of_us = phonenumbers.PhoneMetadata.metadata_for_region("US")
    kinds = (of_us.fixed_line, of_us.mobile, of_us.toll_free) if of_us else ()
    exists = "|".join(f"(?:{kind.national_number_pattern})" for kind in kinds if kind)
    written = rf"\+1[ .-]?{US_WRITING}"
    if region == "US":
        written += rf"|(?:1[ .-])?{US_WRITING}"
    digits = "right(regexp_replace(value, '[^0-9]', '', 'g'), 10)"
    return f"""CASE WHEN regexp_full_match(value, {literal(written)})
        AND regexp_full_match({digits}, {literal(exists)}) THEN '+1' || {digits} END"""


def share_of_phones(duck: Duck, table: str, region: str) -> float:
    """The share of a sample of the values that are phone numbers: always the same sample."""
    counted = duck.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    every = max(counted[0] // SAMPLE, 1)
    sample = duck.execute(
        f"SELECT value FROM {table} WHERE hash(value) % {every} = 0 ORDER BY value"
    ).fetchall()
    if not sample:
        return 0.0
    left = [e164(value, region)[1] for (value,) in sample]
    return sum(reason in (None, "E.164 has no extension") for reason in left) / len(sample)


def meant_phones(duck: Duck, table: str, region: str, folder: Path) -> Meant:
    """How the table's values are phone numbers; makes the table `phones`.

    What was written in an earlier turn is known in the table `e164_numbers`, and not asked again.
    """
    duck.execute("CREATE TEMP TABLE IF NOT EXISTS e164_numbers (value VARCHAR)")
    duck.execute(f"""
        CREATE OR REPLACE TEMP TABLE usual AS
        SELECT value, e164 FROM (SELECT value, {usual_sql(region)} AS e164 FROM {table})
        WHERE e164 IS NOT NULL""")
    path = folder / "phones.csv"
    # By a file: ten thousand rows at a time go through Python, and binding values costs an import.
    reader = duck.execute(f"""
        SELECT value FROM {table} ANTI JOIN e164_numbers USING (value)
        ANTI JOIN usual USING (value)""")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        while batch := reader.fetchmany(BATCH):
            for (value,) in batch:
                after, reason = e164(value, region)
                writer.writerow([value, after or "", reason or ""])
    duck.execute(f"""
        CREATE OR REPLACE TEMP TABLE phones AS
        SELECT value, nullif(e164, '') AS e164, nullif(reason, '') AS reason
        FROM read_csv({literal(str(path))}, header = false, auto_detect = false, delim = ',',
            quote = '"', escape = '"', max_line_size = 4194304, columns =
            {{value: 'VARCHAR', e164: 'VARCHAR', reason: 'VARCHAR'}})
        UNION ALL SELECT value, e164, NULL FROM usual
        UNION ALL SELECT value, value, NULL FROM {table} SEMI JOIN e164_numbers USING (value)
            ANTI JOIN usual USING (value)""")
    duck.execute("""
        INSERT INTO e164_numbers SELECT DISTINCT e164 FROM phones
        WHERE e164 IS NOT NULL AND e164 NOT IN (SELECT value FROM e164_numbers)""")
    path.unlink()
    return Meant(after="e164", left="reason", says=f"region {region}", relation="phones")
