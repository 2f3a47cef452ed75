"""Whatever the rows are, what was extracted is what was exported: nothing lost, nothing changed."""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from outreach_assets.tables.catalogue import TABLES
from outreach_assets.tables.table import Verdict
from outreach_core.postgres import Postgres
from outreach_core.states import UNASSIGNED
from tests.given import export_states, given_rows, given_sql

TEXT = st.none() | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8
)
ARRAY = st.none() | st.lists(TEXT, max_size=3)
STATE = st.sampled_from(["WV", "PA", "wv", "", None, "ZZ"])
EMAIL = TEXT | st.sampled_from(["a@b.c", "a@b", "@b.c", "a@b.c\n", "ä@ö.ü"])
# Postgres has no -0.00 and gives every value two places.
HUNDREDTHS = st.integers(-99999, 99999).map(lambda n: Decimal(n).scaleb(-2))
COMPANY = st.fixed_dictionaries(
    {
        "company_name": TEXT,
        "website_url": TEXT | st.just("x.y"),
        "address_state": STATE,
        "keywords": ARRAY,
        "employee_count": st.none() | st.integers(-(2**31), 2**31 - 1),
        "data_quality_score": st.none() | HUNDREDTHS,
    }
)
PERSON = st.fixed_dictionaries(
    {
        "company_unique_id": st.none() | st.sampled_from(["c0", "c1", "c2", "c9", "nobody"]),
        "email": EMAIL,
        "title": TEXT,
        "skills": ARRAY,
        "email_verified": st.none() | st.booleans(),
    }
)
Rows = list[dict[str, object]]


def keyed(rows: Rows, key: str, letter: str) -> Rows:
    return [{key: f"{letter}{number}", **row} for number, row in enumerate(rows)]


def exported(exports: Path, name: str, columns: list[str]) -> Counter[str]:
    """Every exported row of the table, as text, however often it is there."""
    listed = ", ".join(columns)
    found: Counter[str] = Counter()
    with duckdb.connect() as duck:
        for verdict in Verdict:
            files = f"{exports}/outreach/*/{name}/{verdict}/*.parquet"
            rows = duck.execute(f"SELECT {listed} FROM read_parquet('{files}')").fetchall()
            found.update(repr(row) for row in rows)
    return found


# Few examples of many rows: an example costs an extract, a row next to nothing.
@pytest.mark.slow
@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(companies=st.lists(COMPANY, max_size=25), people=st.lists(PERSON, max_size=25))
def test_what_is_exported_is_what_was_there(
    postgres: Postgres, companies: Rows, people: Rows
) -> None:
    given_sql(postgres, "TRUNCATE marketing.company_master, marketing.people_master")
    companies = keyed(companies, "company_unique_id", "c")
    people = keyed(people, "unique_id", "p")
    given_rows(postgres, companies, people)
    with TemporaryDirectory() as folder:
        export_states(postgres, Path(folder), ["PA", "WV", UNASSIGNED])
        for table, rows in zip(TABLES, (companies, people), strict=True):
            if rows:
                columns = sorted(rows[0])
                found = exported(Path(folder) / "exports", table.name, columns)
                there = Counter(repr(tuple(row[name] for name in columns)) for row in rows)
                assert (found - there, there - found) == (Counter(), Counter())
