"""A held state in `outreach run`: named, kept from readers, released by who says why."""

import pytest

from tests.faults.invariants import half_published
from tests.faults.workplace import STATES, Workplace, run_words
from tests.given import given_sql

PARTLY = 3
HELD, OTHERS = STATES[2], (*STATES[:2], *STATES[3:])


@pytest.mark.slow
def test_one_state_is_held_all_others_are_published_and_a_release_is_signed(
    workplace: Workplace,
) -> None:
    assert workplace.postgres is not None
    assert workplace.refresh().code == 0
    given_sql(
        workplace.postgres,
        f"UPDATE marketing.company_master SET website_url = NULL WHERE address_state = '{HELD}'",
        "UPDATE marketing.company_master SET company_name = company_name || ' Inc'",
    )

    held = workplace.refresh()

    assert held.code == PARTLY, held.said
    assert held.statuses == {**dict.fromkeys(OTHERS, "published"), HELD: "held"}
    assert "companies are bad" in held.result["states"][HELD]["error"]
    assert f"{HELD} held" in held.err
    assert half_published(workplace.store) == []

    unsigned = workplace.run(*run_words([HELD]), "--release", " ")
    assert (unsigned.code, "needs a reason" in unsigned.err) == (2, True)

    released = workplace.run(*run_words([HELD]), "--release", "sales agreed", "--json")
    assert released.code == 0, released.said
    assert released.statuses == {HELD: "published"}
    with workplace.postgres.connect() as connection:
        [said] = connection.execute(
            "SELECT details -> 'released' FROM shq.audit_log WHERE details ->> 'run_id' = %s "
            "AND details ? 'released'",
            (released.result["run_id"],),
        ).fetchone()
    assert said["because"] == "sales agreed"
    assert "@" in said["by"]
