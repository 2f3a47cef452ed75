"""A database backed up and restored once, and everything that must be as it was."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

from outreach_assets.steps.backups.database.contents import AS_TEXT, find_contents
from outreach_assets.steps.backups.database.rebuild import rebuilding
from outreach_assets.steps.backups.database.receipt import Receipt
from outreach_assets.steps.snapshots.restore import TargetInUseError
from outreach_core.audit import AuditEvent, write_event
from outreach_core.audit_chain import check_chain
from outreach_core.migrate import migrate
from outreach_core.postgres import DatabaseRefusedError, Postgres
from outreach_core.users import add_user
from tests.database_backups import NOW, DatabaseBackups, a_database, rows_of
from tests.given import (
    a_company,
    a_failure,
    a_person,
    export_states,
    given_failures,
    given_rows,
    given_sql,
)

ODD = """
    CREATE TABLE marketing.odd (
      id            integer GENERATED ALWAYS AS IDENTITY (START 40 INCREMENT 2) PRIMARY KEY,
      any_numeric   numeric,
      bounded       numeric(5,2),
      real_         real,
      double_       double precision,
      at            timestamptz,
      local_at      timestamp(3),
      on_           date,
      clock         time with time zone,
      lasts         interval,
      words         text[],
      grid          int[][],
      document      jsonb,
      as_written    json,
      bytes         bytea,
      address       inet,
      bits          bit varying(9),
      padded        char(5),
      price         money,
      span          tstzrange,
      mood          public.mood,
      small         marketing.small DEFAULT 3,
      "Odd "" name"  text COLLATE "C",
      twice         integer GENERATED ALWAYS AS (id * 2) STORED,
      CONSTRAINT "so ""named" CHECK (bounded IS DISTINCT FROM 7)
    )"""
INSERT = "INSERT INTO marketing.odd ({}) SELECT * FROM (VALUES {}) AS given"
VALUES = {
    "any_numeric": "('NaN'::numeric), ('-Infinity'), (1e-300), (repeat('9', 60)::numeric), (0.10)",
    "bounded": "('NaN'::numeric), (-0.5)",
    "real_": "('NaN'::real), ('-0'), ('1e-45'), (0.1)",
    "double_": "('Infinity'::float8), ('5e-324'), (0.1), ('-0')",
    "at": "('infinity'::timestamptz), ('-infinity'), ('294276-12-31 23:59:59.999999+00'), "
    "('4713-01-01 00:00:00+00 BC'), ('2026-03-29 02:30:00.000001+02')",
    "local_at": "('infinity'::timestamp), ('0044-03-15 01:02:03.456 BC')",
    "on_": "('infinity'::date), ('5874897-12-31'), ('4713-01-01 BC')",
    "clock": "('24:00:00+15:59'::timetz), ('00:00:00.000001-07')",
    "lasts": "('-1 mon +2 days -03:04:05.000006'::interval), ('infinity')",
    "words": """('{}'::text[]), ('{NULL,"NULL","",","}'), ('[0:1]={a,b}'), ('{"\\"","\\\\",ä}')""",
    "grid": "('{{1,2},{3,NULL}}'::int[]), ('{}')",
    "document": """('{"b": 1.10, "a": [null, ""]}'::jsonb), ('null'), ('"\\u0001"')""",
    "as_written": """('{"b":1, "a" :1,"a":2}'::json)""",
    "bytes": "('\\x00ff0a0d'::bytea), ('')",
    "address": "('10.1.2.3/8'::inet), ('::1')",
    "bits": "(B'101'::bit varying), (B'')",
    "padded": "('a '::char(5)), ('')",
    "price": "('-1234.5'::money)",
    "span": "('empty'::tstzrange), ('[2026-01-01,)')",
    "mood": """('it''s, "so"'::public.mood)""",
    "small": "(9::marketing.small), (NULL)",
    '"Odd "" name"': "(''::text), (NULL), ('\\.'), (E'a\\n\\\\.\\nb'), (E'\\r\\n'), (' \"x\" ''')",
}
MADE = [
    "CREATE TYPE public.mood AS ENUM ('sad', 'it''s, \"so\"')",
    "CREATE DOMAIN marketing.small AS integer NOT NULL DEFAULT 1 CHECK (VALUE < 10)",
    "ALTER DOMAIN marketing.small DROP NOT NULL",
    ODD,
    "CREATE UNIQUE INDEX odd_part ON marketing.odd (lower(padded), id) WHERE id > 40",
    "CREATE SEQUENCE marketing.spare AS smallint MINVALUE -5 MAXVALUE 9 START 7 INCREMENT -3 CYCLE",
    """CREATE FUNCTION marketing.shout() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.padded := upper(NEW.padded); RETURN NEW; END $$""",
    """CREATE TRIGGER shouts BEFORE INSERT ON marketing.odd
    FOR EACH ROW EXECUTE FUNCTION marketing.shout()""",
    "ALTER TABLE marketing.odd DISABLE TRIGGER shouts",
    """CREATE SEQUENCE marketing."it's" """,
    "CREATE TABLE marketing.no_rows (only_column text)",
    "CREATE TABLE marketing.one_column (only_column text)",
    "INSERT INTO marketing.one_column VALUES (NULL), (''), ('x'), (NULL)",
    "CREATE VIEW marketing.odd_words WITH (security_barrier) AS SELECT id FROM marketing.odd",
    "CREATE MATERIALIZED VIEW marketing.counted AS SELECT count(*) FROM marketing.odd_words",
    "CREATE TABLE public.elsewhere (id integer PRIMARY KEY)",
    "CREATE VIEW marketing.looks_elsewhere AS SELECT id FROM public.elsewhere",
    "CREATE TABLE marketing.points (id integer REFERENCES public.elsewhere)",
    "SELECT setval('marketing.spare', -2, false)",
]


class Both(NamedTuple):
    """A database, and what its backup came to in an empty one."""

    backups: DatabaseBackups
    receipt: Receipt
    was: Postgres
    now: Postgres


@pytest.fixture(scope="module")
def both(postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with (
        pytest.MonkeyPatch.context() as patch,
        a_database(postgres_server) as was,
        a_database(postgres_server) as now,
    ):
        backups = DatabaseBackups(was, tmp_path_factory.mktemp("database"), patch)
        given_rows(was, [a_company(), a_company("c2", website_url=None)], [a_person()])
        given_failures(was, a_failure(), a_failure("c2"))
        inserts = [INSERT.format(column, values) for column, values in VALUES.items()]
        given_sql(was, *MADE, *inserts)
        with was.connect() as connection:
            add_user(connection, "anna", is_operator=True, now=NOW)
        receipt, outcomes = backups.back_up()
        assert [(o.destination, o.error) for o in outcomes.values()] == [("local", None)]
        backups.restore(now)
        yield Both(backups, receipt, was, now)


@pytest.mark.parametrize("column", [*VALUES, "twice"])
def test_every_value_comes_back_as_it_was(both: Both, column: str) -> None:
    query = f"SELECT id, {column}::text, {column} IS NULL FROM marketing.odd ORDER BY id"
    assert rows_of(both.now, query) == rows_of(both.was, query)


def test_a_table_of_one_column_keeps_null_and_empty_apart(both: Both) -> None:
    query = "SELECT only_column FROM marketing.one_column ORDER BY 1"
    assert rows_of(both.now, query) == [("",), ("x",), (None,), (None,)]


def test_everything_is_built_as_it_was(both: Both) -> None:
    """Tables, keys, indexes, triggers, functions, views, sequences with their values."""

    def statements(postgres: Postgres) -> set[str]:
        with postgres.connect() as connection:
            connection.execute(AS_TEXT)
            found, _ = rebuilding(connection, find_contents(connection))
        # The restoring itself was noted as one event.
        return {one.sql for one in found if "audit_log_id_seq', " not in one.sql}

    assert statements(both.now) == statements(both.was)


def test_what_is_left_out_is_named_with_its_reason(both: Both) -> None:
    found = {one.name: one.why for one in both.receipt.left_out}
    assert set(found) == {
        "owners and grants",
        "shq.user_requests, its rows",
        "shq.user_tokens, its rows",
        "constraint points_id_fkey of marketing.points",
        "view marketing.looks_elsewhere",
    }
    assert "public.elsewhere" in found["view marketing.looks_elsewhere"]
    assert rows_of(both.now, "SELECT FROM shq.user_tokens") == []
    assert rows_of(both.now, "SELECT id FROM shq.users") == [("anna",)]


def test_identities_and_sequences_go_on_where_they_were(both: Both) -> None:
    query = "INSERT INTO marketing.odd (padded) VALUES ('x') RETURNING id, padded, nextval({})"
    query = query.format("'marketing.spare'")
    assert rows_of(both.now, query) == rows_of(both.was, query)


def test_the_audit_log_is_whole_and_still_takes_nothing_back(both: Both) -> None:
    assert check_chain(both.now).breaks == ()
    with pytest.raises(DatabaseRefusedError, match="append-only: DELETE is refused"):
        given_sql(both.now, "DELETE FROM shq.audit_log")
    event = AuditEvent(event_type="t", event_source="s", details={})
    with both.now.connect() as connection:
        write_event(connection, event)
    assert check_chain(both.now).breaks == ()


@pytest.mark.slow
def test_no_migration_is_owed(both: Both) -> None:
    assert migrate(both.now) == []


def test_a_state_can_be_run_from_it(both: Both, tmp_path: Path) -> None:
    was = export_states(both.was, tmp_path / "was", ["WV"])
    now = export_states(both.now, tmp_path / "now", ["WV"])
    assert now["WV"].sources == was["WV"].sources
    assert [file.rows for file in now["WV"].files] == [1, 1, 1, 0]


def test_a_database_that_has_tables_is_refused_by_their_names(both: Both) -> None:
    with pytest.raises(TargetInUseError, match=r"already has marketing\.company_master, "):
        both.backups.restore(both.was)


def test_the_files_are_parquet_with_the_hash_of_each_row(both: Both) -> None:
    (table,) = (t for t in both.receipt.tables if t.name == "marketing.company_master")
    path = both.backups.at_home / both.receipt.version / table.file
    with duckdb.connect() as duck:
        found = duck.execute(
            f"SELECT company_name, sum(outreach_row_hash) OVER () FROM read_parquet('{path}')"
        ).fetchall()
    assert found == [("Acme", int(table.row_hash))] * 2
