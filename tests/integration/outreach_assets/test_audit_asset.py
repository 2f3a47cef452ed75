"""The asset that exports the audit log and the check that it is whole, materialized for real."""

from pathlib import Path

import dagster as dg

from b2_resources.resource import B2Resource
from outreach_assets.assets.audit import AUDIT_EXPORT, audit_log_export
from outreach_assets.resources import NeonResource, PrivateDuckDBResource
from outreach_core.postgres import Postgres
from tests.tampering import given_days, given_events, tamper


def materialized(postgres: Postgres, home: Path) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral(tempdir=str(home)) as instance:
        return dg.materialize(
            [audit_log_export],
            instance=instance,
            resources={
                "neon": NeonResource(connection_string=postgres.conninfo),
                "b2": B2Resource(local_root=str(home / "store")),
                "private_duckdb": PrivateDuckDBResource(home=str(home)),
            },
        )


def test_finished_days_are_exported_and_the_chain_is_checked(
    postgres: Postgres, tmp_path: Path
) -> None:
    given_events(postgres, 6)
    given_days(postgres, [3, 2])
    first = materialized(postgres, tmp_path)
    [event] = first.asset_materializations_for_node("audit_log_export")
    numbers = {name: value.value for name, value in event.metadata.items()}
    assert event.asset_key == AUDIT_EXPORT
    assert (numbers["days"], numbers["closing_position"]) == (2, 5)
    assert numbers["dagster/row_count"] == 5
    [check] = first.get_asset_check_evaluations()
    assert check.passed
    tamper(postgres, "DELETE FROM shq.audit_log WHERE chain_position = 4")
    [check] = materialized(postgres, tmp_path).get_asset_check_evaluations()
    assert not check.passed
    assert "position 4 was removed" in str(check.metadata["breaks"].value)
