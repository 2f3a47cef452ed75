"""Backups as assets: the real graph around real rclone and real S3 servers."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest

from outreach_assets.assets import backups as backup_assets
from outreach_assets.definitions import build_defs
from outreach_assets.resources import NeonResource
from outreach_assets.steps.backups.standing import backup_standing
from outreach_core.audit import command_event
from outreach_core.policies import FolderPolicy
from outreach_core.policy_table import add_policy
from outreach_core.postgres import Postgres
from outreach_core.settings import load_settings
from tests.backups import Backups, audited, hashes_below
from tests.pictures import dot_colours
from tests.servers.fault_proxy import Fault, FaultProxy
from tests.servers.rclone_s3 import RcloneS3

QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}


class BackupGraph(Backups):
    """The same, run by its job in an instance of this test's own."""

    instance: dg.DagsterInstance

    def materialize(
        self,
        *selection: str,
        policy: str | None = None,
        once: bool = True,
        job: str = "backup_job",
    ) -> dg.ExecuteInProcessResult:
        """The whole job, or the selected destinations; failing is a result too."""
        config = {"backups": {"config": {"policy": policy}}} if job == "backup_job" else {}
        resources = {"neon": NeonResource(connection_string=self.postgres.url)}
        return (
            build_defs(load_settings(), resources)
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                raise_on_error=False,
                asset_selection=[backup_assets.backup_key(name) for name in selection] or None,
                tags={"outreach/once": "true"} if once else {},
                run_config={"loggers": QUIET, "ops": config},
            )
        )


@pytest.fixture
def graph(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BackupGraph]:
    graph = BackupGraph(postgres, tmp_path, monkeypatch)
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as graph.instance:
        yield graph


def numbers(events: Sequence[dg.DagsterEvent]) -> dict[str, dict[str, object]]:
    """By destination, what its materialization or observation says."""
    return {
        event.asset_key.path[-1]: {
            name: value.value
            for name, value in (
                event.step_materialization_data.materialization
                if event.is_step_materialization
                else event.asset_observation_data.asset_observation
            ).metadata.items()
        }
        for event in events
        if event.asset_key is not None
    }


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, object]]:
    return numbers(result.get_asset_materialization_events())


def failure(result: dg.ExecuteInProcessResult) -> str:
    [event] = [event for event in result.all_events if event.is_step_failure]
    return str(event.step_failure_data.user_failure_data.description)


@pytest.mark.slow
def test_a_dead_destination_of_three_fails_alone_and_the_retry_heals_only_it(
    graph: BackupGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.given_files(20)
    graph.given_policy(destinations=("aws_s3", "scaleway", "local"))
    monkeypatch.setattr("outreach_assets.retries.DELAY_SECONDS", 0)
    with RcloneS3(tmp_path / "s3", "aws", "scw") as server, FaultProxy(server) as proxy:
        graph.given_bucket("aws_s3", proxy.endpoint, server, "aws")
        graph.given_bucket("scaleway", server.endpoint, server, "scw")
        proxy.rates = {Fault.ERROR_500: 1.0}
        failed = graph.materialize()
        assert not failed.success
        assert failure(failed).startswith("aws_s3 failed: docs: aws_s3 cannot be listed")
        assert set(materialized(failed)) == {"scaleway", "local"}
        observed = numbers([e for e in failed.all_events if e.is_asset_observation])
        assert {name: facts["there"] for name, facts in observed.items()} == {"aws_s3": 0}
        whole = {"files": 20, "there": 20, "sent": 20, "removed": 0, "failed": 0}
        assert whole.items() <= materialized(failed)["local"].items()
        will_retry = backup_assets.will_retry

        def healed(context: dg.AssetExecutionContext) -> bool:
            proxy.rates = {}
            return will_retry(context)

        monkeypatch.setattr(backup_assets, "will_retry", healed)
        result = graph.materialize(once=False)
    assert result.success
    assert sum(event.is_step_up_for_retry for event in result.all_events) == 1
    assert Counter(event["destination"] for event in audited(graph.postgres)[3:]) == {
        "aws_s3": 2,
        "scaleway": 1,
        "local": 1,
    }
    assert set(materialized(result)) == {"aws_s3", "scaleway", "local"}
    assert materialized(result)["aws_s3"]["there"] == 20
    assert hashes_below(tmp_path / "s3/aws/docs/files") == graph.hashes()


def test_what_cannot_pass_is_not_tried_again(graph: BackupGraph) -> None:
    graph.given_files(1)
    graph.given_policy(destinations=("scaleway", "local"))
    result = graph.materialize(once=False)
    assert "scaleway failed: docs: scaleway: set OUTREACH_BACKUP_SCALEWAY_B" in failure(result)
    assert set(materialized(result)) == {"local"}
    assert not any(event.is_step_up_for_retry for event in result.all_events)


def test_a_selected_destination_and_a_configured_policy_are_all_that_is_done(
    graph: BackupGraph, tmp_path: Path
) -> None:
    graph.given_files(3)
    with RcloneS3(tmp_path / "s3", "aws") as server:
        graph.given_bucket("aws_s3", server.endpoint, server, "aws")
        graph.given_policy(destinations=("aws_s3", "local"))
        other = {**vars(graph.policy), "folder_id": "more", "path": f"{graph.source}/d1"}
        add_policy(graph.postgres, FolderPolicy(**other), command_event)
        assert set(materialized(graph.materialize("local"))) == {"local"}
        assert {event["destination"] for event in audited(graph.postgres)} == {"local"}
        graph.materialize(policy="more")
    assert [(e["folder_id"], e["destination"]) for e in audited(graph.postgres)[2:]] in (
        [("more", "aws_s3"), ("more", "local")],
        [("more", "local"), ("more", "aws_s3")],
    )
    assert "no enabled policy 'none' goes to" in failure(graph.materialize(policy="none"))
    assert {str(event["who"]) for event in audited(graph.postgres)} == {
        "somebody in the Dagster UI"
    }


def test_without_a_policy_a_run_does_nothing_and_is_well(graph: BackupGraph) -> None:
    graph.given_policy(enabled=False)
    result = graph.materialize()
    assert result.success
    assert materialized(result) == {}
    assert all(check.passed for check in result.get_asset_check_evaluations())


def test_a_policy_that_was_not_wholly_there_for_a_day_is_a_warning(
    graph: BackupGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.given_files(2)
    graph.given_policy(destinations=("scaleway",))

    def passed() -> bool:
        checks = graph.materialize("scaleway").get_asset_check_evaluations()
        return [check.passed for check in checks] == [True]

    assert passed()
    monkeypatch.setattr(backup_assets, "A_DAY", -backup_assets.A_DAY)
    assert not passed()
    graph.given_policy(destinations=("local",))
    assert passed()


def test_a_drill_says_what_comes_back_and_draws_how_long_it_took(graph: BackupGraph) -> None:
    def drilled() -> tuple[dict[str, object], dg.AssetCheckEvaluation]:
        result = graph.materialize(job="backup_drill_job")
        assert result.success
        [check] = result.get_asset_check_evaluations()
        return materialized(result)["restore_drill"], check

    facts, check = drilled()
    assert (facts["outcome"], check.passed) == ("nothing is backed up yet", True)
    graph.given_files(5)
    graph.materialize()
    facts, check = drilled()
    assert (facts["outcome"], facts["files"], facts["restored"]) == ("1 of 1 passed", 5, 5)
    assert check.passed
    (graph.home / "backups/docs/files/d3/f3").write_text("damaged")
    facts, check = drilled()
    assert (facts["outcome"], check.passed) == ("0 of 1 passed", False)
    assert "docs from local: 1 of 5 files" in str(check.metadata["failed"].value)
    assert dot_colours(facts["history"]) == ["#4c7cd6", "#d9480f"]


def test_the_morning_says_what_is_missing_and_how_the_last_drill_went(graph: BackupGraph) -> None:
    graph.given_files(4)
    graph.given_policy(destinations=("local", "scaleway"))
    graph.materialize()
    standing = backup_standing(graph.postgres)
    assert not standing.is_well
    assert standing.says.startswith("4 files are at their destinations, none is missing; 0 % read")
    assert "docs at scaleway since" in standing.says
    graph.given_policy(destinations=("local",))
    graph.materialize(job="backup_drill_job")
    standing = backup_standing(graph.postgres)
    assert standing.is_well
    assert standing.says.endswith(": 1 of 1 passed.")
    graph.given_policy(enabled=False)
    assert backup_standing(graph.postgres).says == "No folder is backed up."


@pytest.mark.slow
def test_a_verification_says_what_is_not_as_it_was_and_how_much_was_read(
    graph: BackupGraph,
) -> None:
    def verified() -> tuple[dict[str, object], dict[str, dg.AssetCheckEvaluation]]:
        result = graph.materialize(job="backup_verify_job")
        assert result.success
        checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
        return materialized(result)["verified"], checks

    graph.given_files(8)
    graph.materialize()
    facts, checks = verified()
    assert (facts["files"], facts["sound"], facts["read"], facts["proven_share"]) == (8, 8, 2, 0.25)
    assert all(check.passed for check in checks.values())
    with graph.postgres.connect() as connection:
        connection.execute("UPDATE shq.file_destinations SET synced_at = now() - interval '31 d'")
    (graph.home / "backups/docs/files/d3/f3").write_text("damaged")
    facts, checks = verified()
    assert (facts["sound"], facts["replaced"]) == (7, 1)
    assert not checks["hashes_agree"].passed
    assert "docs at local: 0 missing, 1 rep" in str(checks["hashes_agree"].metadata["problems"])
    coverage = checks["bytes_are_proven_in_thirty_days"]
    assert (coverage.passed, coverage.severity) == (False, dg.AssetCheckSeverity.WARN)
    graph.patch.setenv("OUTREACH_BACKUP_VERIFY_SHARE", "1")
    graph.materialize()
    facts, checks = verified()
    assert facts["proven_share"] == 1
    assert all(check.passed for check in checks.values())
