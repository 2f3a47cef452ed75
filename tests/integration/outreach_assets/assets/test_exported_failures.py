"""Failures from a run to the store: the asset, the sensor that asks for it, the check on them."""

import json

import dagster as dg
import pytest

from b2_resources.object_store import get_bytes
from b2_resources.resource import B2Resource
from outreach_assets.assets.failures import EXPORTED_FAILURES, build_failures
from outreach_assets.resources import NeonResource, PrivateDuckDBResource
from sensors.failures_found import failures_found_sensor
from tests.given import a_company, given_rows, given_sql
from tests.integration.outreach_assets.assets.chain_at_hand import ChainAtHand


def given_failures(chain: ChainAtHand) -> None:
    good = [a_company(f"c{number}") for number in range(20)]
    given_rows(chain.postgres, [*good, a_company("bad", website_url=None)])
    chain.run(["WV"])


def exported(chain: ChainAtHand) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [build_failures("bad-rows/")],
        resources={
            "neon": NeonResource(connection_string=chain.postgres.url),
            "b2": B2Resource(local_root=str(chain.home / "store")),
            "private_duckdb": PrivateDuckDBResource(home=str(chain.home)),
        },
        instance=chain.instance,
    )


def asked(chain: ChainAtHand) -> dg.SkipReason | dg.RunRequest:
    context = dg.build_sensor_context(
        instance=chain.instance,
        resources={"neon": NeonResource(connection_string=chain.postgres.url)},
    )
    result = failures_found_sensor(context)
    assert isinstance(result, dg.SkipReason | dg.RunRequest)
    return result


def test_what_a_run_has_found_is_asked_for_exported_once_and_not_asked_for_again(
    chain: ChainAtHand,
) -> None:
    assert isinstance(asked(chain), dg.SkipReason)
    given_failures(chain)
    request = asked(chain)
    assert isinstance(request, dg.RunRequest)
    assert request.tags["outreach/failures"] == "1"

    [event] = exported(chain).asset_materializations_for_node("validation_failures")
    assert event.asset_key == EXPORTED_FAILURES
    assert event.metadata["dagster/row_count"].value == 1
    [reason] = event.metadata["open_reasons"].records  # type: ignore[attr-defined]
    assert reason.data == {"of": "company", "reason": "Missing website", "records": 1}
    [key] = [stored.key for stored in chain.store.list_objects("bad-rows/")]
    [row] = json.loads(get_bytes(chain.store, key))
    assert (row["company_id"], row["fail_reason"]) == ("bad", "Missing website")

    assert isinstance(asked(chain), dg.SkipReason)
    [event] = exported(chain).asset_materializations_for_node("validation_failures")
    assert event.metadata["dagster/row_count"].value == 0


@pytest.mark.slow
def test_a_failure_that_waits_for_more_than_a_day_fails_the_check(chain: ChainAtHand) -> None:
    given_failures(chain)
    [check] = exported(chain).get_asset_check_evaluations()
    assert check.passed
    # In a batch that its worker has not let go of: another transaction holds it.
    given_sql(
        chain.postgres,
        "UPDATE marketing.validation_failures_log "
        "SET exported_to_b2 = false, created_at = now() - interval '2 days'",
        "UPDATE shq.failure_batches SET status = 'claimed', exported_at = NULL",
    )
    with chain.postgres.connect() as other:
        other.execute("SELECT FROM shq.failure_batches FOR UPDATE")
        [check] = exported(chain).get_asset_check_evaluations()
    assert (check.passed, check.metadata["late"].value) == (False, 1)


@pytest.mark.slow
def test_after_an_export_that_failed_the_next_is_not_asked_for_at_once(chain: ChainAtHand) -> None:
    given_failures(chain)
    job = dg.define_asset_job(
        "export_failures_job", selection=dg.AssetSelection.assets(EXPORTED_FAILURES)
    )
    defs = dg.Definitions(
        assets=[build_failures("bad-rows/")],
        jobs=[job],
        resources={
            "neon": NeonResource(connection_string="postgresql://nobody@127.0.0.1:1/none"),
            "b2": B2Resource(local_root=str(chain.home / "store")),
            "private_duckdb": PrivateDuckDBResource(home=str(chain.home)),
        },
        executor=dg.in_process_executor,
    )
    tags = {"outreach/once": "true"}
    ran = defs.resolve_job_def("export_failures_job").execute_in_process(
        instance=chain.instance, raise_on_error=False, tags=tags
    )
    assert not ran.success
    skipped = asked(chain)
    assert isinstance(skipped, dg.SkipReason)
    assert "ten minutes" in (skipped.skip_message or "")
