"""`backup/neon` and its drill in the real graph, around real rclone."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from outreach_assets.definitions import build_defs
from outreach_assets.resources import NeonResource
from outreach_core.postgres import Postgres
from outreach_core.settings import load_settings
from tests.database_backups import DatabaseBackups
from tests.given import a_company, given_rows
from tests.pictures import dot_colours
from tests.servers.pgbouncer import free_port
from tests.servers.rclone_s3 import RcloneS3

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Graph(DatabaseBackups):
    """The same, run by its jobs in an instance of this test's own."""

    instance: dg.DagsterInstance

    def run_job(self, name: str) -> dg.ExecuteInProcessResult:
        resources = {"neon": NeonResource(connection_string=self.postgres.url)}
        return (
            build_defs(load_settings(), resources)
            .resolve_job_def(name)
            .execute_in_process(
                instance=self.instance,
                raise_on_error=False,
                tags={"outreach/once": "true"},
                run_config=QUIET,
            )
        )


@pytest.fixture
def graph(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Graph]:
    graph = Graph(postgres, tmp_path, monkeypatch)
    given_rows(postgres, [a_company()])
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as graph.instance:
        yield graph


def test_the_asset_says_where_the_database_is_and_what_is_left_out(graph: Graph) -> None:
    done = graph.run_job("backup_database_job")
    assert done.success
    (event,) = done.get_asset_materialization_events()
    said = event.materialization.metadata
    assert said["version"].value in graph.versions()
    assert any("shq.user_tokens" in one for one in said["left_out"].value)
    (record,) = said["destinations"].records
    assert (record.data["destination"], record.data["error"]) == ("local", "")


def test_where_it_is_not_everywhere_the_run_fails_with_the_name(
    graph: Graph, tmp_path: Path
) -> None:
    with RcloneS3(tmp_path / "s3", "aws") as server:
        graph.given_bucket("scaleway", f"http://127.0.0.1:{free_port()}", server, "dead")
        done = graph.run_job("backup_database_job")
    assert not done.success
    assert done.get_asset_materialization_events() == []
    (failure,) = done.get_step_failure_events()
    assert "scaleway failed: " in failure.step_failure_data.error_display_string
    assert "local failed" not in failure.step_failure_data.error_display_string
    assert len(graph.versions()) == 1


@pytest.mark.slow
def test_a_drill_that_fails_is_a_check_that_fails(graph: Graph) -> None:
    assert [check.passed for check in checks(graph)] == [True]  # nothing is there yet
    graph.back_up()
    assert [check.passed for check in checks(graph)] == [True]
    (file,) = graph.at_home.glob("*/marketing.company_master.parquet")
    file.write_bytes(b"PAR1")
    done = graph.run_job("backup_database_drill_job")
    (check,) = done.get_asset_check_evaluations()
    assert not check.passed
    assert "is not what was put there" in str(check.metadata["problems"].value)
    (event,) = done.get_asset_materialization_events()
    assert dot_colours(event.materialization.metadata["history"].value) == ["#4c7cd6", "#d9480f"]


def checks(graph: Graph) -> list[dg.AssetCheckEvaluation]:
    return graph.run_job("backup_database_drill_job").get_asset_check_evaluations()
