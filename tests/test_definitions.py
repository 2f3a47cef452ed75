"""The code location as Dagster loads it, with an empty environment: what the graph promises."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import dagster as dg
import pytest

from outreach_assets.assets.chain import chain, sources
from outreach_assets.assets.chain_checks import chain_checks
from outreach_assets.assets.tables import build_tables
from outreach_assets.definitions import build_defs
from outreach_assets.steps.kill_switches import KillSwitches
from outreach_assets.tables.catalogue import TABLES
from outreach_core.settings import PROJECT_FOLDER, Settings
from outreach_core.states import ALL_STATES
from tests.servers.outreach_dev import clean_environment

GROUPS = {
    "neon": ["neon/company_master", "neon/people_master"],
    "extract": ["duckdb/companies_raw", "duckdb/people_raw"],
    "validate": [f"duckdb/{t}_{v}" for t in ("companies", "people") for v in ("bad", "good")],
    "export": [
        *(f"parquet/{t}_{v}" for t in ("companies", "people") for v in ("bad", "good")),
        "duckdb/verdict_changes",
    ],
    "upload": [
        *(f"b2/{t}_{v}" for t in ("companies", "people") for v in ("bad", "good")),
        "b2/manifest",
    ],
    "record": ["neon/audit_log", "neon/validation_failures_log"],
}
KINDS = {"postgres", "duckdb", "parquet", "s3", "json"}
WITHOUT_COLUMNS = {
    "b2/manifest",
    "duckdb/verdict_changes",
    "neon/audit_log",
    "neon/validation_failures_log",
}
LOAD = """
from outreach_assets.assets.tables import build_tables
from outreach_assets.definitions import defs
print(*sorted(spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()))
"""
ASSETS = [*sources(), *chain()]
by_key = pytest.mark.parametrize("asset", ASSETS, ids=lambda asset: asset.key.to_user_string())


def run(words: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    """What the words came to, with nothing of ours in the environment but a home."""
    return subprocess.run(
        words,
        env=clean_environment(home),
        cwd=PROJECT_FOLDER,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("definitions") / "home"


@pytest.fixture(scope="module")
def loaded(home: Path) -> subprocess.CompletedProcess[str]:
    """The code location, loaded by a process of its own."""
    return run([sys.executable, "-c", LOAD], home)


def test_the_code_location_loads_with_an_empty_environment(
    loaded: subprocess.CompletedProcess[str],
) -> None:
    assert loaded.stdout.split() == sorted(
        [
            *(f"backup/{name}" for name in ("aws_s3", "backblaze_b2", "local", "scaleway")),
            *(f"backup/{name}" for name in ("neon", "neon_drill", "restore_drill", "verified")),
            "b2/audit_log",
            "b2/morning_report",
            "b2/restore_drill",
            "b2/retention",
            "b2/task_inbox",
            "b2/task_outputs",
            "b2/task_upkeep",
            "b2/usage",
            "b2/validation_failures",
            "b2/verified_snapshots",
            "duckdb/workbench",
            *(key for keys in GROUPS.values() for key in keys),
        ]
    )


def test_loading_writes_nothing(loaded: subprocess.CompletedProcess[str], home: Path) -> None:
    assert loaded.returncode == 0
    assert not home.exists()


@pytest.mark.slow
def test_dagster_finds_the_workspace_valid(tmp_path: Path) -> None:
    dagster = str(Path(sysconfig.get_path("scripts")) / "dagster")
    done = run([dagster, "definitions", "validate", "-w", "workspace.yaml"], tmp_path / "home")
    assert done.returncode == 0, done.stderr


def test_every_asset_is_in_the_group_of_its_verb() -> None:
    found = {(asset.group_name, asset.key.to_user_string()) for asset in ASSETS}
    assert found == {(group, key) for group, keys in GROUPS.items() for key in keys}


@by_key
def test_an_asset_says_what_it_is(asset: dg.AssetSpec) -> None:
    assert asset.description
    assert asset.description[0].isupper() or asset.description.startswith("`")


@by_key
def test_an_asset_has_an_owner(asset: dg.AssetSpec) -> None:
    assert list(asset.owners) == ["team:outreach"]


@by_key
def test_an_asset_says_where_it_rests(asset: dg.AssetSpec) -> None:
    assert asset.kinds & KINDS


@by_key
def test_a_table_gives_every_column_a_type_and_a_meaning(asset: dg.AssetSpec) -> None:
    if asset.key.to_user_string() in WITHOUT_COLUMNS:
        pytest.skip("no table of rows")
    columns = asset.metadata["dagster/column_schema"].columns
    assert len(columns) >= 29
    assert [c.name for c in columns if not (c.type and c.description)] == []


@pytest.mark.parametrize("verdict", ["duckdb", "parquet", "b2"])
@pytest.mark.parametrize("table", ["companies", "people"])
def test_bad_rows_have_their_reasons_beside_the_sources_columns(verdict: str, table: str) -> None:
    schemas = {a.key.to_user_string(): a.metadata.get("dagster/column_schema") for a in ASSETS}
    good, bad = schemas[f"{verdict}/{table}_good"], schemas[f"{verdict}/{table}_bad"]
    assert [c.name for c in bad.columns] == [*(c.name for c in good.columns), "validation_errors"]


@pytest.mark.parametrize("asset", chain(), ids=lambda asset: asset.key.to_user_string())
def test_the_chain_is_partitioned_by_state(asset: dg.AssetSpec) -> None:
    assert asset.partitions_def is not None
    assert asset.partitions_def.get_partition_keys() == list(ALL_STATES)


@pytest.mark.parametrize("check", chain_checks(), ids=lambda check: check.key.to_user_string())
def test_a_check_says_what_must_be_true(check: dg.AssetCheckSpec) -> None:
    assert check.description
    assert check.description.endswith(".")


def test_the_daemon_is_given_its_sensor_and_its_clock() -> None:
    defs = build_defs(Settings())
    assert {s.name for s in defs.sensors or ()} == {
        "abandoned_runs_sensor",
        "changed_states_sensor",
        "alerts_sensor",
        "failures_found_sensor",
        "inbox_sensor",
        "owed_objects_sensor",
        "run_outcomes_sensor",
        "task_uploads_sensor",
    }
    assert {s.name for s in defs.schedules or ()} == {
        "audit_export_schedule",
        "backup_schedule",
        "backup_drill_schedule",
        "backup_verify_schedule",
        "backup_database_schedule",
        "backup_database_drill_schedule",
        "export_failures_schedule",
        "nightly_refresh_schedule",
        "restore_drill_schedule",
        "retention_schedule",
        "morning_report_schedule",
        "store_usage_schedule",
        "task_upkeep_schedule",
        "verify_snapshots_schedule",
    }


def test_a_sensor_and_a_schedule_say_why_they_are_on_or_off_at_first() -> None:
    defs = build_defs(Settings())
    for clock in (*(defs.sensors or ()), *(defs.schedules or ())):
        at_first = "On" if clock.default_status.value == "RUNNING" else "Off"
        assert f"{at_first} at first: " in (clock.description or ""), clock.name


def test_states_per_run_cuts_a_backfill_into_runs() -> None:
    assert (
        build_tables(None, TABLES, KillSwitches()).backfill_policy == dg.BackfillPolicy.single_run()
    )
    assert build_tables(5, TABLES, KillSwitches()).backfill_policy == dg.BackfillPolicy.multi_run(5)


@pytest.mark.parametrize("severity", ["warn", "error"])
def test_rows_are_judged_by_the_severity_in_the_settings(severity: str) -> None:
    defs = build_defs(Settings(outreach_company_not_valid=severity))
    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    assert f"`company_not_valid` ({severity})" in str(specs["duckdb/people_bad"].description)


def test_what_is_published_has_a_freshness_policy() -> None:
    with_policy = {a.key.to_user_string() for a in ASSETS if a.freshness_policy is not None}
    assert with_policy == set(GROUPS["upload"])


def test_schedules_run_at_the_settings_times_in_their_zone() -> None:
    fields = [name for name in Settings.model_fields if name.endswith("_schedule")]
    times = {name: f"{minute} 2 * * *" for minute, name in enumerate(fields)}
    settings = Settings(outreach_schedule_timezone="America/New_York", **times)
    found = {s.name: s for s in build_defs(settings).schedules or ()}
    assert {(n, s.cron_schedule, s.execution_timezone) for n, s in found.items()} == {
        (name.removeprefix("outreach_"), time, "America/New_York") for name, time in times.items()
    }
