"""A backfill in the UI with a state that must not be published."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from b2_resources.local_store import LocalStore
from outreach_core.postgres import Postgres
from tests.end_to_end.conftest import CHAIN
from tests.end_to_end.published import audit_rows, half_published
from tests.given import given_sql
from tests.servers.outreach_dev import OutreachDev

pytestmark = [
    pytest.mark.xdist_group("dagster"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]


@contextmanager
def spoilt(neon: Postgres, state: str) -> Iterator[None]:
    """Every company of the state without its website, and with it again afterwards."""
    given_sql(
        neon,
        "CREATE TABLE public.websites AS SELECT company_unique_id, website_url "
        f"FROM marketing.company_master WHERE address_state = '{state}'",
        f"UPDATE marketing.company_master SET website_url = NULL WHERE address_state = '{state}'",
    )
    try:
        yield
    finally:
        given_sql(
            neon,
            "UPDATE marketing.company_master c SET website_url = w.website_url "
            "FROM public.websites w WHERE w.company_unique_id = c.company_unique_id",
            "DROP TABLE public.websites",
        )


def test_a_backfill_publishes_all_but_the_held_state_and_fails_naming_it(
    dev: OutreachDev, neon: Postgres, store: LocalStore
) -> None:
    with spoilt(neon, "DE"):
        [run] = dev.ended_backfill(dev.launch_backfill(CHAIN, ("DC", "DE", "FL")))
    statuses = {row["state"]: row["status"] for row in audit_rows(neon, run["id"])}
    assert statuses["DE"] == "held"
    assert {statuses["DC"], statuses["FL"]} <= {"published", "unchanged"}
    assert run["status"] == "FAILURE"
    events = dev.events(run["id"])
    [failure] = [e for e in events if e["__typename"] == "ExecutionStepFailureEvent"]
    said = str(failure["error"])
    assert "DE held: " in said
    assert "companies are bad" in said
    failed = [
        event["evaluation"]["checkName"]
        for event in events
        if event["__typename"] == "AssetCheckEvaluationEvent" and not event["evaluation"]["success"]
    ]
    assert set(failed) - {"every_number_arrived"} == {"few_are_bad"}  # the sample has odd numbers
    assert half_published(store) == []
