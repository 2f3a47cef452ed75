"""The sensor over random edits, held against an oracle that reads every row: it misses no state,
and asks for none that is as it was."""

import random
from collections import Counter

import pytest

from outreach_core.postgres import Connection, Postgres
from outreach_core.states import ALL_STATES, STATE_CODES, UNASSIGNED
from tests.given import COMPANY_MASTER, PEOPLE_MASTER, a_company, a_person, given_rows
from tests.integration.sensors.place import Place

STATES = ("OH", "PA", "WI", "WV", "WY", None, "XX")

Contents = dict[str, list[str]]


def edits(random_: random.Random, fresh: int) -> list[tuple[str, bytes, tuple[object, ...]]]:
    """One edit of each kind, with its values chosen; which rows they meet is up to the table."""
    company, person = f"c{random_.randrange(60)}", f"p{random_.randrange(150)}"
    other, state = f"c{random_.randrange(70)}", random_.choice(STATES)
    word = random_.choice(["Acme", "", None, "Zoë", "a'b"])
    C, P = COMPANY_MASTER, PEOPLE_MASTER  # noqa: N806 short in the statements
    return [
        ("insert company", f"INSERT INTO {C} (company_unique_id, address_state) VALUES (%s, %s)"
         .encode(), (f"n{fresh}", state)),
        ("insert person", f"INSERT INTO {P} (unique_id, company_unique_id) VALUES (%s, %s)"
         .encode(), (f"n{fresh}", other)),
        ("edit", f"UPDATE {C} SET company_name = %s WHERE company_unique_id = %s"
         .encode(), (word, company)),
        ("edit and say when", f"UPDATE {P} SET title = %s, updated_at = clock_timestamp() "
         "WHERE unique_id = %s".encode(), (word, person)),
        ("edit a list", f"UPDATE {P} SET skills = skills || %s::text WHERE unique_id = %s"
         .encode(), (word, person)),
        ("delete company", f"DELETE FROM {C} WHERE company_unique_id = %s".encode(), (company,)),
        ("delete person", f"DELETE FROM {P} WHERE unique_id = %s".encode(), (person,)),
        ("company moves with its people", f"UPDATE {C} SET address_state = %s "
         "WHERE company_unique_id = %s".encode(), (state, company)),
        ("person moves", f"UPDATE {P} SET company_unique_id = %s WHERE unique_id = %s"
         .encode(), (other, person)),
        ("no change", f"UPDATE {P} SET title = title, skills = skills WHERE unique_id = %s"
         .encode(), (person,)),
        ("no change of many", f"UPDATE {C} SET company_name = company_name".encode(), ()),
        ("two swap a value", f"UPDATE {P} a SET email = b.email FROM {P} b "
         "WHERE (a.unique_id, b.unique_id) IN ((%s, %s), (%s, %s))".encode(),
         (person, "p7", "p7", person)),
    ]  # fmt: skip


def contents(connection: Connection) -> Contents:
    """Every row of both tables, by state, read in full and placed here."""
    found: Contents = {state: [] for state in ALL_STATES}
    state_of: dict[object, str] = {}
    for key, state, row in connection.execute(
        f"SELECT company_unique_id, address_state, t::text FROM {COMPANY_MASTER} t".encode()
    ):
        state_of[key] = state if state in STATE_CODES else UNASSIGNED
        found[state_of[key]].append(f"company {row}")
    for company, row in connection.execute(
        f"SELECT company_unique_id, t::text FROM {PEOPLE_MASTER} t".encode()
    ):
        found[state_of.get(company, UNASSIGNED)].append(f"person {row}")
    return {state: sorted(rows) for state, rows in found.items()}


def given_people_of_many_states(postgres: Postgres) -> None:
    companies = [a_company(f"c{n}", address_state=STATES[n % len(STATES)]) for n in range(60)]
    people = [
        a_person(f"p{n}", company_unique_id=f"c{n % 65}", email=f"{n}@x.example")
        for n in range(150)
    ]
    given_rows(postgres, companies, people)


@pytest.mark.slow
@pytest.mark.parametrize("number", [100, pytest.param(1_000, marks=pytest.mark.slow)])
def test_over_random_edits_no_state_is_missed_or_asked_for_without_need(
    place: Place, number: int
) -> None:
    given_people_of_many_states(place.postgres)
    place.run_all_changed()
    random_ = random.Random(20260101)  # noqa: S311 no secret
    done: Counter[str] = Counter()
    with place.postgres.connect(autocommit=True) as connection:
        before = contents(connection)
        while sum(done.values()) < number:
            for _ in range(random_.randrange(1, 9)):
                name, statement, values = random_.choice(edits(random_, sum(done.values())))
                connection.execute(statement, values)
                done[name] += 1
            now = contents(connection)
            assert place.asked() == [s for s in ALL_STATES if now[s] != before[s]]
            place.run_all_changed()
            before = now
    assert min(done.values()) > number / 50
    assert len(done) == 12
