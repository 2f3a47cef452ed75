"""The morning's page after a night with a held state, changes and a file that was tampered with."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from b2_resources import keys
from b2_resources.object_store import get_bytes
from b2_resources.resource import B2Resource
from outreach_assets.assets.morning import build_morning
from outreach_assets.resources import NeonResource, PrivateDuckDBResource
from outreach_assets.steps.morning import NEVER, Morning, find_morning
from outreach_assets.tables.catalogue import TABLES
from outreach_core.states import ALL_STATES
from tests.given import a_company, given_rows, given_sql
from tests.integration.outreach_assets.assets.chain_at_hand import ChainAtHand


def given_a_night(chain: ChainAtHand) -> None:
    """WI is held; WV has a company that turned bad; WY has nothing new."""
    for state in ("WI", "WV", "WY"):
        given_rows(
            chain.postgres, [a_company(f"{state}{n}", address_state=state) for n in range(10)]
        )
    chain.run(("WI", "WV", "WY"))
    given_sql(
        chain.postgres,
        "UPDATE marketing.company_master SET website_url = NULL "
        "WHERE address_state = 'WI' OR company_unique_id = 'WV3'",
    )
    chain.run(("WI", "WV", "WY"))


def morning(chain: ChainAtHand, now: datetime | None = None) -> Morning:
    exports = chain.home / "exports"
    now = now or datetime.now(UTC)
    return find_morning(chain.postgres, chain.store, exports, TABLES, now=now)


@pytest.mark.slow
def test_the_page_says_how_every_state_stands_and_what_changed(chain: ChainAtHand) -> None:
    given_a_night(chain)
    found = morning(chain)
    by_state = {one.state: one for one in found.states}
    assert list(by_state) == list(ALL_STATES)
    assert [by_state[s].status for s in ("WI", "WV", "WY")] == ["held", "published", "unchanged"]
    assert by_state["WI"].says == "10 of 10 companies are bad: 100.0%, more than 15.0%"
    assert found.statuses[NEVER] == len(ALL_STATES) - 3
    assert found.changes == {"broken by data": 1}
    chain.run(("WI", "WV", "WY"))  # finds nothing new
    assert morning(chain).changes == {"broken by data": 1}
    assert morning(chain, datetime.now(UTC) + timedelta(days=2)).changes == {}
    assert (found.problems, found.waiting) == ([], 11)
    assert found.reasons["website_url_missing"][-1].rows == 1


@pytest.mark.slow
def test_a_file_that_is_not_as_published_is_named(chain: ChainAtHand) -> None:
    given_a_night(chain)
    newest = keys.newest_key("WY", "people", "good")
    chain.store.put_bytes(newest, b"other")
    chain.store.delete(keys.newest_key("WV", "people", "bad"))
    problems = morning(chain).problems
    assert [problem.split()[0] for problem in problems] == [
        keys.newest_key("WV", "people", "bad"),
        newest,
    ]


@pytest.mark.slow
def test_a_receipt_that_cannot_be_read_hides_no_other_state(chain: ChainAtHand) -> None:
    given_a_night(chain)
    chain.store.put_bytes(keys.manifest_key("WY", "20261231000000"), b"{")
    chain.store.delete(keys.newest_key("WV", "people", "bad"))
    found = morning(chain)
    assert [problem.split()[-1] for problem in found.problems][-1] == "missing"
    assert "20261231000000.json is no manifest (Invalid JSON" in found.problems[0]
    assert found.objects > 0


@pytest.mark.slow
def test_the_asset_puts_the_page_where_people_look_and_checks_the_bucket(
    chain: ChainAtHand,
) -> None:
    given_a_night(chain)
    given_sql(
        chain.postgres,
        "INSERT INTO shq.alerts (cause, kind, subject, place, sentence, fingerprint, link, "
        "opened_at, seen_at) VALUES ('c', 'stale', '', '<b>x</b>', '<script>1</script>', 'f', "
        "'l', now(), now())",
    )
    result = dg.materialize(
        [build_morning(TABLES, "http://127.0.0.1:3000/")],
        resources={
            "neon": NeonResource(connection_string=chain.postgres.url),
            "b2": B2Resource(local_root=str(chain.home / "store")),
            "private_duckdb": PrivateDuckDBResource(home=str(chain.home)),
        },
        instance=chain.instance,
    )
    [check] = result.get_asset_check_evaluations()
    assert check.passed
    page = get_bytes(chain.store, keys.NEWEST_REPORT_KEY).decode()
    assert "10 of 10 companies are bad" in page
    assert f"http://127.0.0.1:3000/runs/{chain.instance.get_run_ids(limit=2)[1]}" in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert all(state in page for state in ALL_STATES)
