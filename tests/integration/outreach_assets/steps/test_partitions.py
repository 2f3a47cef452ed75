"""Every row lands in exactly one state, the same whichever states are asked for together."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from outreach_assets.steps.export import Judged
from outreach_assets.steps.kill_switches import KillSwitches, tripped
from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tables.catalogue import TABLES
from outreach_assets.tables.people import PEOPLE
from outreach_assets.tables.table import Table
from outreach_core.postgres import Postgres
from outreach_core.states import ALL_STATES, UNASSIGNED
from tests.given import (
    a_company,
    a_duck,
    a_person,
    extracted,
    given_rows,
    given_sql,
    judge,
    raw_rows,
)

UNKNOWN_STATES = [None, "", "XX", "wv", " WV", "WV ", "West Virginia", "unassigned", "WV\n"]
NO_COMPANY = [None, "", "no such company", "C1", "c1 "]

Placed = list[tuple[object, ...]]


@pytest.fixture
def duck(tmp_path: Path) -> Iterator[Duck]:
    with a_duck(tmp_path) as opened:
        yield opened


def placed(postgres: Postgres, home: Path, table: Table, states: Sequence[str]) -> Placed:
    with a_duck(home) as duck:
        extracted(duck, postgres, TABLES, states)
        return raw_rows(duck, table)


def states_of(rows: Placed) -> dict[object, object]:
    return {key: state for state, key, _ in rows}


def given_every_kind_of_row(postgres: Postgres) -> None:
    """A company of each unknown state, one each of WV and PA, people of all and of none."""
    companies = [a_company(f"u{n}", address_state=s) for n, s in enumerate(UNKNOWN_STATES)]
    companies += [a_company("c1"), a_company("c2", address_state="PA")]
    people = [a_person(f"p-{c['company_unique_id']}", **only_company(c)) for c in companies]
    people += [a_person(f"n{n}", company_unique_id=c) for n, c in enumerate(NO_COMPANY)]
    given_rows(postgres, companies, people)


def only_company(company: dict[str, object]) -> dict[str, object]:
    return {"company_unique_id": company["company_unique_id"]}


@pytest.mark.parametrize("states", [ALL_STATES, (UNASSIGNED,)], ids=["all", "unassigned"])
def test_rows_without_a_known_state_go_to_unassigned(
    postgres: Postgres, tmp_path: Path, states: Sequence[str]
) -> None:
    given_every_kind_of_row(postgres)
    companies = states_of(placed(postgres, tmp_path, TABLES[0], states))
    people = states_of(placed(postgres, tmp_path, PEOPLE, states))
    for number in range(len(UNKNOWN_STATES)):
        assert companies[f"u{number}"] == people[f"p-u{number}"] == UNASSIGNED
    assert {people[f"n{number}"] for number in range(len(NO_COMPANY))} == {UNASSIGNED}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_states_alone_some_or_all_have_the_same_rows(
    postgres: Postgres, tmp_path: Path, table: Table
) -> None:
    given_every_kind_of_row(postgres)
    together = placed(postgres, tmp_path, table, ALL_STATES)
    some = placed(postgres, tmp_path, table, ("PA", "WV", UNASSIGNED))
    alone = [placed(postgres, tmp_path, table, (state,)) for state in ("PA", "WV", UNASSIGNED)]
    assert together == some == sorted(row for rows in alone for row in rows)


def test_all_partitions_together_hold_every_row_once(postgres: Postgres, tmp_path: Path) -> None:
    given_every_kind_of_row(postgres)
    for table in TABLES:
        with postgres.connect() as connection:
            query = f"SELECT {table.key} FROM {table.source} ORDER BY 1"
            there = sorted(key for (key,) in connection.execute(query.encode()).fetchall())
        rows = placed(postgres, tmp_path, table, ALL_STATES)
        assert sorted(str(key) for _, key, _ in rows) == there


def test_a_state_without_rows_is_empty(postgres: Postgres, duck: Duck) -> None:
    given_every_kind_of_row(postgres)
    found = extracted(duck, postgres, TABLES, ("OH",))
    assert [found[table.name].rows for table in TABLES] == [{}, {}]


def given_repeated_companies(postgres: Postgres, first: str, second: str) -> None:
    """Company c1 twice, in a table that has lost its primary key, and one person of it."""
    given_rows(postgres)
    given_sql(
        postgres,
        "ALTER TABLE marketing.company_master DROP CONSTRAINT company_master_pkey",
    )
    companies = [a_company("c1", address_state=state) for state in (first, second)]
    given_rows(postgres, companies, [a_person()])


def why_held(judged: Judged, state: str) -> list[str]:
    verdicts = {name: by_state[state] for name, by_state in judged.verdicts.items()}
    return [one.says for one in tripped(KillSwitches(), state, verdicts, None)]


@pytest.mark.parametrize("states", [ALL_STATES, ("WV",)], ids=["all", "some"])
def test_a_company_that_is_there_twice_does_not_double_its_people(
    postgres: Postgres, duck: Duck, states: Sequence[str]
) -> None:
    given_repeated_companies(postgres, "WV", "WV")
    assert extracted(duck, postgres, TABLES, states)["people"].rows == {"WV": 1}


@pytest.mark.parametrize("states", [ALL_STATES, ("WV",)], ids=["all", "some"])
def test_a_company_that_is_there_twice_holds_its_state(
    postgres: Postgres, duck: Duck, states: Sequence[str]
) -> None:
    given_repeated_companies(postgres, "WV", "WV")
    held = why_held(judge(duck, postgres, states), "WV")
    assert held == ["1 companies have a key that another one has too"]


@pytest.mark.parametrize(("first", "second"), [("PA", "WV"), ("XX", "WV"), (None, "wv")])
def test_a_person_of_a_company_in_two_states_is_in_one_of_them(
    postgres: Postgres, tmp_path: Path, first: str | None, second: str
) -> None:
    given_repeated_companies(postgres, first, second)
    together = placed(postgres, tmp_path, PEOPLE, ALL_STATES)
    alone = [placed(postgres, tmp_path, PEOPLE, (state,)) for state in ("PA", "WV", UNASSIGNED)]
    assert len(together) == 1
    assert together == [row for rows in alone for row in rows]


def test_a_row_without_a_key_holds_its_state(postgres: Postgres, duck: Duck) -> None:
    given_rows(postgres)
    given_sql(
        postgres,
        "ALTER TABLE marketing.people_master DROP CONSTRAINT people_master_pkey",
        "ALTER TABLE marketing.people_master ALTER unique_id DROP NOT NULL",
    )
    given_rows(postgres, [a_company()], [{**a_person(), "unique_id": None}])
    held = why_held(judge(duck, postgres), "WV")
    assert held == ["1 people have no key"]
