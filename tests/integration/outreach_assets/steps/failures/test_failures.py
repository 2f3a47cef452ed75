"""Bad rows in marketing.validation_failures_log: one each, in words, however often repeated."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from outreach_assets.steps.failures.log import Recorded, pipeline_id, record_failures
from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tables.catalogue import TABLES
from outreach_core.postgres import Postgres
from tests.given import Row, a_company, a_duck, a_person, given_sql, judge_raw

MONDAY, TUESDAY = "20251117021500", "20251118021500"


@pytest.fixture
def duck(tmp_path: Path) -> Iterator[Duck]:
    with a_duck(tmp_path) as opened:
        yield opened


def record(
    duck: Duck,
    postgres: Postgres,
    companies: Sequence[Row] = (),
    people: Sequence[Row] = (),
    *,
    version: str = MONDAY,
) -> dict[str, Recorded]:
    judge_raw(duck, companies, people)
    found = record_failures(duck, postgres, TABLES, ["WV"], version=version, run_id="run-1")
    for table in TABLES:
        duck.execute(f"DROP VIEW {table.name}_good; DROP VIEW {table.name}_bad")
    return {name: by_state["WV"] for name, by_state in found.items()}


def log(
    postgres: Postgres, columns: str, *, table: str = "validation_failures_log"
) -> list[tuple[object, ...]]:
    with postgres.connect() as connection:
        query = f"SELECT {columns} FROM marketing.{table} ORDER BY failure_type, id"
        return connection.execute(query.encode()).fetchall()


def test_a_bad_record_is_one_row_with_its_reasons_in_words(duck: Duck, postgres: Postgres) -> None:
    companies = [a_company(), a_company("c2", company_name=None, website_url=None)]
    people = [a_person(), a_person("p2", email="x", title=None, first_name="Jo", last_name="Doe")]
    found = record(duck, postgres, companies, people)
    assert found == {
        "companies": Recorded(failures=1, new=1),
        "people": Recorded(failures=1, new=1),
    }
    columns = "company_id, person_id, company_name, person_name, fail_reason, state, pipeline_id"
    assert log(postgres, columns) == [
        ("c2", None, None, None, "Missing company name; Missing website", "WV",
         "WV-VALIDATION-20251117"),
        (None, "p2", None, "Jo Doe", "Missing or invalid email; Missing title", "WV",
         "WV-VALIDATION-20251117"),
    ]  # fmt: skip
    assert log(postgres, "exported_to_b2") == [(False,), (False,)]


def test_repeating_a_validation_adds_nothing(duck: Duck, postgres: Postgres) -> None:
    bad = [a_company(website_url=None)]
    record(duck, postgres, bad)
    assert record(duck, postgres, bad)["companies"] == Recorded(failures=1, new=0)
    assert log(postgres, "company_id") == [("c1",)]


def test_another_day_is_another_row(duck: Duck, postgres: Postgres) -> None:
    bad = [a_company(website_url=None)]
    record(duck, postgres, bad)
    record(duck, postgres, bad, version=TUESDAY)
    assert log(postgres, "pipeline_id") == [
        (pipeline_id("WV", MONDAY),),
        (pipeline_id("WV", TUESDAY),),
    ]


def test_a_reason_that_changed_is_told_until_it_is_in_an_export(
    duck: Duck, postgres: Postgres
) -> None:
    record(duck, postgres, [a_company(website_url=None)])
    record(duck, postgres, [a_company(website_url="no dot")])
    assert log(postgres, "fail_reason") == [("Invalid website",)]
    given_sql(postgres, "UPDATE marketing.validation_failures_log SET exported_to_b2 = true")
    record(duck, postgres, [a_company(website_url=None)])
    assert log(postgres, "fail_reason") == [("Invalid website",)]


def test_a_row_that_was_mended_is_visible_as_such(duck: Duck, postgres: Postgres) -> None:
    both = [a_company(website_url=None), a_company("c2", website_url=None)]
    record(duck, postgres, both)
    open_now = "company_id, mended_at IS NULL"
    view = "validation_failures_open"
    assert log(postgres, open_now, table=view) == [("c1", True), ("c2", True)]
    record(duck, postgres, both[:1])
    assert log(postgres, open_now, table=view) == [("c1", True), ("c2", False)]
    record(duck, postgres, both, version=TUESDAY)
    assert log(postgres, open_now, table=view) == [("c1", True), ("c2", True)]


def test_a_row_from_before_the_columns_is_open_until_its_state_is_validated(
    duck: Duck, postgres: Postgres
) -> None:
    given_sql(
        postgres,
        "INSERT INTO marketing.validation_failures_log (company_id, fail_reason, state, "
        "validation_timestamp, pipeline_id, failure_type, exported_to_b2) VALUES "
        "('old', 'Missing website', 'WV', '2020-01-01', 'WV-VALIDATION-20200101', 'company', NULL)",
    )
    open_now = "company_id, mended_at IS NULL"
    assert log(postgres, open_now, table="validation_failures_open") == [("old", True)]
    record(duck, postgres, [a_company()])
    assert log(postgres, open_now, table="validation_failures_open") == [("old", False)]


@pytest.mark.parametrize(
    "name",
    ["", r"\N", 'say "hi", Bob', "two\nlines", "=1+1", "Ünï 漢字 🎈", "\\", "'; DROP TABLE x"],
)
def test_a_name_arrives_as_it_is(duck: Duck, postgres: Postgres, name: str) -> None:
    record(duck, postgres, [a_company(company_name=name, website_url=None)])
    assert log(postgres, "company_name") == [(name,)]


def test_rows_without_a_key_or_with_the_same_one_do_not_stop_the_others(
    duck: Duck, postgres: Postgres
) -> None:
    bad = {"website_url": None}
    found = record(
        duck,
        postgres,
        [a_company(company_unique_id=None, **bad), a_company(**bad), a_company(**bad)],
    )
    assert found["companies"] == Recorded(failures=1, new=1)
