"""Rows that are there more than once, equal or alike: SQL for which go and why."""

from collections.abc import Sequence

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.reading.columns import inner_name

NEIGHBOURS = 20
"""A row is compared with so many that follow it in its block, in the order of its letters."""


def equal_rows(duck: Duck, width: int) -> str:
    """SQL for the rows that equal an earlier one in every column."""
    columns = ", ".join(inner_name(place) for place in range(width))
    # Hashes first: few rows have one twice, and only those are held side by side.
    duck.execute(
        f"CREATE OR REPLACE TEMP TABLE hashes AS SELECT row, hash({columns}) AS h FROM rows"
    )
    return f"""
        SELECT row, 'equal to row ' || first AS reason
        FROM (SELECT row, min(row) OVER (PARTITION BY {columns}) AS first
            FROM rows SEMI JOIN (
                SELECT row FROM hashes SEMI JOIN
                (SELECT h FROM hashes GROUP BY h HAVING count(*) > 1) USING (h)) USING (row))
        WHERE row > first"""


def like_rows(duck: Duck, places: Sequence[int], similarity: float) -> str:
    """SQL for the rows that are like an earlier one that stays, in the columns at these places.

    Alike are rows with the same digits, column by column, whose letters are the same or similar.
    """
    plain = [_letters(place) for place in places]
    digits = [_digits(place) for place in places]
    duck.execute(f"""
        CREATE OR REPLACE TEMP TABLE likeness AS
        SELECT *, row_number() OVER (PARTITION BY block ORDER BY letters, row) AS nth
        FROM (SELECT min(row) AS row, list(row ORDER BY row) AS rows, letters,
                hash(digits, left(letters, 1)) AS block
            FROM (SELECT row, concat_ws('|', {", ".join(_kept(one) for one in plain)}) AS letters,
                concat_ws('|', {", ".join(_kept(one) for one in digits)}) AS digits FROM rows)
            WHERE letters || digits <> repeat('|', {2 * (len(places) - 1)})
            GROUP BY letters, digits)""")
    duck.execute(f"""
        CREATE OR REPLACE TEMP TABLE pairs AS
        SELECT least(a.row, b.row) AS first, greatest(a.row, b.row) AS second
        FROM (SELECT *, unnest(range(nth + 1, nth + {NEIGHBOURS} + 1)) AS next FROM likeness) AS a
        JOIN likeness AS b ON a.block = b.block AND a.next = b.nth
        WHERE jaro_winkler_similarity(a.letters, b.letters) >= {similarity}""")
    _resolve(duck)
    return """
        SELECT row, 'like row ' || min(first) AS reason FROM (
            SELECT unnest(rows[2:]) AS row, row AS first FROM likeness
            UNION ALL SELECT second, first FROM alike)
        GROUP BY row"""


def _letters(place: int) -> str:
    return f"regexp_replace(lower(strip_accents({inner_name(place)})), '[^\\p{{L}}]', '', 'g')"


def _digits(place: int) -> str:
    """With the point inside a number: 1.25 is not 12.5."""
    found = f"regexp_extract_all({inner_name(place)}, '[0-9]+(?:\\.[0-9]+)?')"
    return f"array_to_string({found}, '')"


def _kept(text: str) -> str:
    """An empty cell has its place between the others."""
    return f"coalesce({text}, '')"


def _resolve(duck: Duck) -> None:
    """`alike`: a row goes only for one that stays, so from the first row on."""
    duck.execute("CREATE OR REPLACE TEMP TABLE alike (second BIGINT, first BIGINT)")
    while True:
        duck.execute("""
            CREATE OR REPLACE TEMP TABLE going AS
            SELECT second, min(first) AS first FROM pairs
            WHERE first NOT IN (SELECT second FROM pairs) GROUP BY second""")
        counted = duck.execute("SELECT count(*) FROM going").fetchone()
        if not counted or not counted[0]:
            return
        duck.execute("INSERT INTO alike FROM going")
        duck.execute("""
            DELETE FROM pairs WHERE first IN (SELECT second FROM going)
            OR second IN (SELECT second FROM going)""")
