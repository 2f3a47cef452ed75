"""The asset that watches what the store costs, materialized for real."""

from pathlib import Path

import dagster as dg
import pytest

from b2_resources.local_store import LocalStore
from b2_resources.resource import B2Resource
from b2_resources.s3_store import S3Store
from outreach_assets.assets.usage import USAGE, build_usage
from tests.servers.rclone_s3 import RcloneS3


def materialized(store: B2Resource, budget: float, home: Path) -> dg.ExecuteInProcessResult:
    instance = dg.DagsterInstance.ephemeral(tempdir=str(home))
    return dg.materialize([build_usage(budget)], resources={"b2": store}, instance=instance)


def numbers(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    [event] = result.asset_materializations_for_node("store_usage")
    assert event.asset_key == USAGE
    return {name: value.value for name, value in event.metadata.items()}


def test_a_folder_is_counted_and_costs_nothing(tmp_path: Path) -> None:
    LocalStore(tmp_path / "store").put_bytes("a/b", b"12345")
    found = numbers(materialized(B2Resource(local_root=str(tmp_path / "store")), 0, tmp_path))
    assert (found["objects"], found["bytes"], found["month_dollars"]) == (1, 5, 0)


@pytest.mark.parametrize(("budget", "passed"), [(0.0, False), (1.0, True)])
def test_a_bucket_above_its_budget_is_a_warning(
    tmp_path: Path, *, budget: float, passed: bool
) -> None:
    with RcloneS3(tmp_path / "s3", "bucket") as server:
        config = server.config("bucket")
        S3Store(config).put_bytes("a/b", b"x" * 100_000)
        result = materialized(
            B2Resource(
                storage_mode="s3",
                endpoint=config.endpoint,
                region=config.region,
                key_id=config.key_id,
                application_key=config.application_key,
                bucket="bucket",
            ),
            budget,
            tmp_path,
        )
    assert numbers(result)["bytes"] == 100_000
    [check] = result.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (passed, dg.AssetCheckSeverity.WARN)
