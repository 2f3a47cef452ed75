"""Rows from a real Postgres into DuckDB: types, columns, tables, states."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.steps.source import SourceColumnMissingError, SourceTableMissingError
from outreach_assets.tables.catalogue import TABLES
from outreach_core.postgres import Postgres
from outreach_core.states import ALL_STATES
from tests.given import a_company, a_duck, a_person, extracted, given_rows, given_sql

ONE_STATE = ("WV",)
INSTANT = "TIMESTAMP WITH TIME ZONE"


@pytest.fixture
def duck(tmp_path: Path) -> Iterator[Duck]:
    with a_duck(tmp_path) as opened:
        yield opened


def one_value(duck: Duck, expression: str, table: str = "companies_raw") -> object:
    [(value,)] = duck.execute(f"SELECT {expression} FROM {table}").fetchall()
    return value


TYPED = [
    ("keywords", '\'{a,"b, c",NULL,""}\'', "VARCHAR[]", "[a, 'b, c', NULL, '']"),
    ("keywords", "'{}'", "VARCHAR[]", "[]"),
    ("keywords", "'{NULL}'", "VARCHAR[]", "[NULL]"),
    ("data_quality_score", "99.5", "DECIMAL(5,2)", "99.50"),
    ("data_quality_score", "-0.01", "DECIMAL(5,2)", "-0.01"),
    ("founded_year", "2147483647", "INTEGER", "2147483647"),
    ("created_at", "'2026-01-02 03:04:05.654321+05:30'", INSTANT, "2026-01-01 21:34:05.654321+00"),
    ("created_at", "'infinity'", INSTANT, "infinity"),
    ("created_at", "'-infinity'", INSTANT, "-infinity"),
    ("description", "''", "VARCHAR", ""),
    ("description", "E'a\\nb\\t\"🦊\" \\u0001'", "VARCHAR", 'a\nb\t"🦊" \x01'),
]


@pytest.mark.parametrize("states", [ONE_STATE, ALL_STATES], ids=["some", "all"])
def test_types_and_odd_values_survive(
    postgres: Postgres, duck: Duck, states: tuple[str, ...]
) -> None:
    given_rows(postgres)
    given_sql(
        postgres,
        *(
            f"INSERT INTO marketing.company_master (company_unique_id, address_state, {column}) "
            f"VALUES ('{number}', 'WV', {value})"
            for number, (column, value, _, _) in enumerate(TYPED)
        ),
    )
    extracted(duck, postgres, TABLES, states)
    duck.execute("SET timezone = 'UTC'")
    for number, (column, _, duck_type, text) in enumerate(TYPED):
        found = duck.execute(
            f"SELECT typeof({column}), {column}::VARCHAR FROM companies_raw "
            f"WHERE company_unique_id = '{number}'"
        ).fetchall()
        assert found == [(duck_type, text)]


def test_people_keep_their_types_through_the_scan_of_all_states(
    postgres: Postgres, duck: Duck
) -> None:
    given_rows(postgres, [a_company()], [a_person(email_verified=True, skills=["a", None, ""])])
    given_sql(postgres, "UPDATE marketing.people_master SET email_verified_at = 'infinity'")
    extracted(duck, postgres, TABLES, ALL_STATES)
    assert duck.execute(
        "SELECT email_verified, skills, email_verified_at::VARCHAR, typeof(email_verified_at), "
        "typeof(promotion_audit_log_id) FROM people_raw"
    ).fetchall() == [(True, ["a", None, ""], "infinity", "TIMESTAMP WITH TIME ZONE", "INTEGER")]


@pytest.mark.parametrize("states", [ONE_STATE, ALL_STATES], ids=["query", "all"])
def test_nan_becomes_null_and_is_counted(
    postgres: Postgres, duck: Duck, states: tuple[str, ...]
) -> None:
    given_rows(postgres, [a_company("c1"), a_company("c2", data_quality_score=0)])
    given_sql(
        postgres,
        "UPDATE marketing.company_master SET data_quality_score = 'NaN' "
        "WHERE company_unique_id = 'c1'",
    )
    found = extracted(duck, postgres, TABLES, states)
    assert found["companies"].not_finite == {"WV": 1}
    assert duck.execute(
        "SELECT company_unique_id, data_quality_score::VARCHAR FROM companies_raw ORDER BY 1"
    ).fetchall() == [("c1", None), ("c2", "0.00")]


UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
LATER = [
    ("text", "'x'", "VARCHAR", "x"),
    ("numeric", "1.5", "DOUBLE", "1.5"),
    ("numeric", "'NaN'", "DOUBLE", "nan"),
    ("numeric", "'-Infinity'", "DOUBLE", "-inf"),
    ("numeric(40,2)", "1.25", "DOUBLE", "1.25"),
    ("numeric(38,2)", "1234567890123456789.78", "DECIMAL(38,2)", "1234567890123456789.78"),
    ("numeric(3,5)", "0.00123", "DOUBLE", "0.00123"),
    ("numeric(5,-2)", "12345", "DOUBLE", "12300.0"),
    ("numeric[]", "'{1.5,NaN,NULL}'", "DOUBLE[]", "[1.5, nan, NULL]"),
    ("numeric(5,2)[]", "'{1.5,NaN}'", "DOUBLE[]", "[1.5, nan]"),
    ("jsonb", "'{\"a\": [1, null]}'", "VARCHAR", '{"a": [1, null]}'),
    ("int[][]", "'{{1,2},{3,4}}'", "VARCHAR", "{{1,2},{3,4}}"),
    ("int[]", "'{1,NULL}'", "INTEGER[]", "[1, NULL]"),
    ("bigint", "1", "BIGINT", "1"),
    ("uuid", f"'{UUID}'", "UUID", UUID),
    ("mood", "'glad'", "VARCHAR", "glad"),
    ("score", "1.5", "DECIMAL(5,2)", "1.50"),
    ("words", "'{a,NULL}'", "VARCHAR[]", "[a, NULL]"),
    ("date", "'infinity'", "DATE", "infinity"),
    ("timestamp", "'-infinity'", "TIMESTAMP", "-infinity"),
    ("float8", "'Infinity'", "DOUBLE", "inf"),
    ("interval", "'1 day'", "INTERVAL", "1 day"),
    ("bytea", "'\\x00ff'", "BLOB", "\\x00\\xFF"),
    ("varchar(3)", "'abc'", "VARCHAR", "abc"),
    ("char(3)", "'ab'", "VARCHAR", "ab"),
    ("inet", "'10.0.0.1'", "VARCHAR", "10.0.0.1/32"),
    ("time", "'10:00'", "TIME", "10:00:00"),
]


@pytest.mark.parametrize("states", [ONE_STATE, ALL_STATES], ids=["some", "all"])
def test_columns_that_production_adds_come_along_the_same_on_both_paths(
    postgres: Postgres, duck: Duck, states: tuple[str, ...]
) -> None:
    given_rows(postgres, [a_company()], [a_person()])
    given_sql(
        postgres,
        "CREATE TYPE mood AS ENUM ('glad', 'sad')",
        "CREATE DOMAIN score AS numeric(5,2)",
        "CREATE DOMAIN words AS text[]",
        *(
            f"ALTER TABLE marketing.people_master ADD later_{number} {kind} DEFAULT {value}"
            for number, (kind, value, _, _) in enumerate(LATER)
        ),
    )
    extracted(duck, postgres, TABLES, states)
    for number, (kind, _, duck_type, text) in enumerate(LATER):
        column = f"later_{number}"
        found = one_value(duck, f"(typeof({column}), {column}::VARCHAR)", "people_raw")
        assert (kind, found) == (kind, (duck_type, text))


def test_a_column_may_have_any_name(postgres: Postgres, duck: Duck) -> None:
    given_rows(postgres, [a_company()])
    given_sql(postgres, 'ALTER TABLE marketing.company_master ADD "a; ""b"" Ü\'" text DEFAULT 1')
    assert extracted(duck, postgres, TABLES, ONE_STATE)["companies"].columns[-1].name == (
        'a; "b" Ü\''
    )
    assert one_value(duck, '"a; ""b"" Ü\'"') == "1"


@pytest.mark.parametrize("states", [ONE_STATE, ALL_STATES], ids=["some", "all"])
@pytest.mark.parametrize("kind", ["numeric(6,3)", "score"])
def test_nan_in_a_numeric_that_came_to_people_is_counted_too(
    postgres: Postgres, duck: Duck, states: tuple[str, ...], kind: str
) -> None:
    given_rows(postgres, [a_company()], [a_person()])
    given_sql(
        postgres,
        "CREATE DOMAIN score AS numeric(5,2)",
        f"ALTER TABLE marketing.people_master ADD score {kind} DEFAULT 'NaN'",
    )
    assert extracted(duck, postgres, TABLES, states)["people"].not_finite == {"WV": 1}
    assert one_value(duck, "score", "people_raw") is None


def test_a_missing_column_that_a_rule_needs_is_named(postgres: Postgres, duck: Duck) -> None:
    given_rows(postgres)
    given_sql(postgres, "ALTER TABLE marketing.people_master DROP title")
    with pytest.raises(
        SourceColumnMissingError, match=r"marketing\.people_master has no column title"
    ):
        extracted(duck, postgres, TABLES, ONE_STATE)


def test_a_missing_column_that_nothing_needs_is_fine(postgres: Postgres, duck: Duck) -> None:
    given_rows(postgres, [a_company()], [a_person()])
    given_sql(postgres, "ALTER TABLE marketing.people_master DROP bio")
    found = extracted(duck, postgres, TABLES, ONE_STATE)
    assert "bio" not in {column.name for column in found["people"].columns}


def test_a_missing_table_is_named(postgres: Postgres, duck: Duck) -> None:
    given_rows(postgres)
    given_sql(postgres, "DROP TABLE marketing.people_master")
    with pytest.raises(SourceTableMissingError, match=r"marketing\.people_master"):
        extracted(duck, postgres, TABLES, ONE_STATE)
