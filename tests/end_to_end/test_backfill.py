"""Three states, backfilled as the UI does it, by the webserver, daemon and code server of
`outreach dev`: what is there afterwards."""

import json
import re
import time
from collections.abc import Mapping
from typing import Any

import pytest

from b2_resources.local_store import LocalStore
from b2_resources.object_store import get_bytes
from outreach_assets.assets.asked_states import states_of
from outreach_assets.assets.chain_checks import chain_checks
from outreach_assets.steps.manifest import read_manifest
from outreach_core.audit import RUN_FINISHED, EventFilter, WrittenEvent, latest_events
from outreach_core.audit_chain import check_chain
from outreach_core.postgres import Postgres
from tests.end_to_end.conftest import CHAIN, STATES, Backfilled
from tests.end_to_end.published import audit_rows, half_published, wrong_files
from tests.servers.outreach_dev import Event, OutreachDev

pytestmark = [pytest.mark.xdist_group("dagster"), pytest.mark.slow, pytest.mark.timeout(600)]

AN_EMAIL = re.compile(r"[\w.+-]{2,}@[\w-]+\.\w+")
PERSONAL = """
    SELECT DISTINCT value
    FROM marketing.company_master AS company
    LEFT JOIN marketing.people_master AS person USING (company_unique_id),
    LATERAL (VALUES (company_phone), (email), (work_phone_e164), (personal_phone_e164))
        AS personal (value)
    WHERE address_state = ANY(%s) AND length(value) > 6 AND value NOT LIKE '@%%'"""


def metadata_of(events: list[Event], key: str, state: str) -> Mapping[str, Any]:
    """What the one materialization of this asset and state says, by label."""
    (found,) = [
        event["metadataEntries"]
        for event in events
        if event["__typename"] == "MaterializationEvent"
        and (event["assetKey"]["path"], event["partition"]) == (key.split("/"), state)
    ]
    return {entry["label"]: entry for entry in found}


def test_three_neighbouring_states_are_one_run_that_succeeds(three_states: Backfilled) -> None:
    assert [run["status"] for run in three_states.runs] == ["SUCCESS"]


@pytest.mark.parametrize("key", CHAIN)
def test_every_asset_is_materialized_once_in_each_state(three_states: Backfilled, key: str) -> None:
    found = [
        event["partition"]
        for event in three_states.events
        if event["__typename"] == "MaterializationEvent"
        and event["assetKey"]["path"] == key.split("/")
    ]
    assert sorted(found) == sorted(STATES)


def test_every_check_of_the_chain_passed_once(three_states: Backfilled) -> None:
    found = [
        ("/".join(event["evaluation"]["assetKey"]["path"]), event["evaluation"]["checkName"])
        for event in three_states.events
        if event["__typename"] == "AssetCheckEvaluationEvent" and event["evaluation"]["success"]
    ]
    assert sorted(found) == sorted((c.asset_key.to_user_string(), c.name) for c in chain_checks())


@pytest.mark.parametrize("state", STATES)
def test_the_manifest_names_files_that_are_there_with_those_bytes(
    three_states: Backfilled, neon: Postgres, store: LocalStore, state: str
) -> None:
    (row,) = [r for r in audit_rows(neon, three_states.runs[0]["id"]) if r["state"] == state]
    manifest = read_manifest(get_bytes(store, row["manifest"]), row["manifest"])
    assert (len(manifest.files), wrong_files(store, manifest)) == (4, [])


def test_nothing_in_the_store_is_half_published(
    three_states: Backfilled, store: LocalStore
) -> None:
    assert half_published(store) == []


def test_each_state_has_one_audit_row(three_states: Backfilled, neon: Postgres) -> None:
    rows = audit_rows(neon, three_states.runs[0]["id"])
    assert sorted((r["state"], r["status"]) for r in rows) == [(s, "published") for s in STATES]
    assert {r["who"] for r in rows} == {f"backfill {three_states.backfill}"}


def test_the_runs_outcome_reaches_the_audit_log(three_states: Backfilled, neon: Postgres) -> None:
    """By the daemon's sensor, which looks every 30 seconds."""
    (run,) = three_states.runs
    until = time.monotonic() + 120
    found: list[WrittenEvent] = []
    while not found and time.monotonic() < until:
        time.sleep(0.5)
        with neon.connect() as connection:
            wanted = EventFilter(event_type=RUN_FINISHED, run_id=run["id"])
            found = latest_events(connection, wanted, limit=9)
    assert [event.details and event.details["status"] for event in found] == ["success"]
    assert check_chain(neon).breaks == ()


@pytest.mark.parametrize("state", STATES)
def test_the_row_counts_shown_are_the_tables(
    three_states: Backfilled, neon: Postgres, state: str
) -> None:
    with neon.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM marketing.company_master WHERE address_state = %s", (state,)
        ).fetchone()
    shown = {
        key: metadata_of(three_states.events, f"duckdb/companies_{key}", state)
        for key in ("raw", "good", "bad")
    }
    counts = {
        k: int(entries["dagster/partition_row_count"]["intRepr"]) for k, entries in shown.items()
    }
    assert row == (counts["raw"],)
    assert counts["raw"] == counts["good"] + counts["bad"]


def test_the_reasons_of_bad_rows_are_a_table(three_states: Backfilled) -> None:
    entries = metadata_of(three_states.events, "duckdb/people_bad", "WV")
    records = [json.loads(record) for record in entries["reasons"]["table"]["records"]]
    assert {r["reason"] for r in records} == {
        "email_invalid",
        "title_missing",
        "company_not_valid",
    }
    assert all(r["rows"] > 0 for r in records)


def test_the_preview_shows_rows_with_emails_masked(three_states: Backfilled) -> None:
    entries = metadata_of(three_states.events, "parquet/people_good", "WV")
    lines = entries["preview"]["mdStr"].splitlines()
    assert len(lines) == 12
    assert all("•••@" in line for line in lines[2:])


def test_no_event_holds_an_email_or_a_phone(three_states: Backfilled, neon: Postgres) -> None:
    said = json.dumps(three_states.events, ensure_ascii=False)
    with neon.connect() as connection:
        personal = [row[0] for row in connection.execute(PERSONAL, (list(STATES),))]
    assert len(personal) > 100
    assert [value for value in personal if value in said] == []
    assert AN_EMAIL.findall(said) == []


TICK = """{ ... on PythonError { message } ... on DryRunInstigationTick { evaluationResult {
    error { message } runRequests { tags { key value } } } } }"""
BY_THE_CLOCK = f"""mutation ($which: ScheduleSelector!, $at: Float) {{
    dryRun: scheduleDryRun(selectorData: $which, timestamp: $at) {TICK} }}"""
BY_THE_SENSOR = f"""mutation ($which: SensorSelector!) {{
    dryRun: sensorDryRun(selectorData: $which, cursor: "") {TICK} }}"""


@pytest.mark.parametrize(
    ("query", "which", "at"),
    [
        (BY_THE_CLOCK, {"scheduleName": "nightly_refresh_schedule"}, {"at": 1_767_233_700.0}),
        (BY_THE_SENSOR, {"sensorName": "changed_states_sensor"}, {}),
    ],
    ids=["clock", "sensor"],
)
def test_nobody_asks_for_what_was_just_published(
    dev: OutreachDev,
    three_states: Backfilled,
    query: str,
    which: dict[str, str],
    at: dict[str, float],
) -> None:
    location = {"repositoryLocationName": "outreach", "repositoryName": "__repository__"}
    found = dev.ask(query, which={**location, **which}, **at)["dryRun"]["evaluationResult"]
    assert found["error"] is None
    tags = [{t["key"]: t["value"] for t in r["tags"]} for r in found["runRequests"]]
    assert not set(STATES) & {state for one in tags for state in states_of(one)}
