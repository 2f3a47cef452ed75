"""The database or the bucket goes away while `outreach run` is at work."""

import os
import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.migrate import migrate
from outreach_core.sample_data import ExistingRows, SampleSize, SampleTarget, load_sample
from tests.faults.invariants import assert_settled, assert_tells_nobody, half_published, orphans
from tests.faults.moments import (
    Moment,
    begun,
    claimed,
    somewhere_after,
    while_uploading_files,
    while_uploading_manifests,
)
from tests.faults.workplace import (
    STATES,
    Workplace,
    answers,
    ended,
    eventually,
    run_words,
    wait_until,
)
from tests.servers.rclone_s3 import RcloneS3

pytestmark = pytest.mark.slow

FAILED, PARTLY = 1, 3

TRIES = 4


@pytest.fixture
def own_server(tmp_path: Path, workplace: Workplace) -> Iterator[EmbeddedPostgres]:
    """A server for the rows alone, which may be killed; Dagster's tables are elsewhere."""
    with EmbeddedPostgres(tmp_path / "own-postgres") as embedded:
        workplace.postgres = embedded.ensure_running()
        migrate(workplace.postgres)
        load_sample(
            workplace.postgres,
            size=SampleSize.DEMO,
            seed=1,
            target=SampleTarget.EMBEDDED,
            existing=ExistingRows.REFUSE,
        )
        yield embedded


@pytest.mark.parametrize(
    "moment",
    [begun, claimed, somewhere_after("extract"), while_uploading_files],
    ids=["claiming", "extract", "export", "upload"],
)
def test_a_database_that_is_killed_meanwhile(
    workplace: Workplace, own_server: EmbeddedPostgres, moment: Moment
) -> None:
    """Its keeper brings it back; the claim is lost all the same, so nothing more is published."""
    chance = random.Random(4)  # noqa: S311 no secret
    with workplace.started(*run_words(STATES), "--json") as process:
        moment(workplace, process, chance)
        pid = own_server.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: own_server.status().pid not in {None, pid})
        finished = ended(process)
    assert finished.code in {0, FAILED, PARTLY}, finished.said
    assert_tells_nobody(workplace, finished)
    assert half_published(workplace.store) == []
    workplace.touch()
    after = workplace.refresh()
    assert after.code == 0, after.said
    assert_settled(workplace)


@pytest.mark.parametrize(
    "moment",
    [claimed, somewhere_after("validate"), while_uploading_files],
    ids=["extract", "export", "upload"],
)
def test_a_claim_that_is_lost_publishes_nothing_more(workplace: Workplace, moment: Moment) -> None:
    chance = random.Random(5)  # noqa: S311 no secret
    for _ in range(TRIES):  # until it hits work
        workplace.touch()
        began = len(workplace.manifests())
        with workplace.started(*run_words(STATES), "--json") as process:
            moment(workplace, process, chance)
            assert workplace.postgres is not None
            answers(
                workplace.postgres,
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            )
            before = len(workplace.manifests())
            finished = ended(process)
        if finished.code or before < began + len(STATES):
            break
    assert finished.code in {FAILED, PARTLY}, finished.said
    assert "held the states was lost" in finished.result["error"]
    assert len(workplace.manifests()) <= before + 8  # those whose files were up just then
    assert_tells_nobody(workplace, finished)
    assert half_published(workplace.store) == []
    after = workplace.refresh()
    assert after.code == 0, after.said
    assert_settled(workplace)


def test_a_bucket_that_goes_away_in_the_middle(s3_workplace: Workplace, s3: RcloneS3) -> None:
    """What was published counts as such, the others are named, the next run publishes them."""
    port = int(s3.endpoint.rpartition(":")[2])
    with s3_workplace.started(*run_words(STATES), "--json") as process:
        wait_until(process, lambda: len(s3_workplace.manifests()) > 2)
        s3.stop()
        finished = ended(process)
    s3.start(port)
    # A state whose receipt is there and whose newest files are not counts as failed.
    assert finished.code in {FAILED, PARTLY}, finished.said
    there = {key.split("/")[1].upper() for key in s3_workplace.manifests()}
    said = {state for state, status in finished.statuses.items() if status == "published"}
    assert said <= there
    for state in set(STATES) - said:
        assert re.search(rf"\b{state}\b[A-Z, ]* failed: ", finished.result["error"])
    assert_tells_nobody(s3_workplace, finished)
    assert half_published(s3_workplace.store) == []
    after = s3_workplace.refresh()
    assert after.code == 0, after.said
    assert_settled(s3_workplace)


def test_a_bucket_that_comes_back_is_waited_for(s3_workplace: Workplace, s3: RcloneS3) -> None:
    port = int(s3.endpoint.rpartition(":")[2])
    chance = random.Random(7)  # noqa: S311 no secret
    with s3_workplace.started(*run_words(STATES), "--json") as process:
        while_uploading_manifests(s3_workplace, process, chance)
        s3.stop()
        s3.start(port)
        finished = ended(process)
    assert finished.code == 0, finished.said
    assert orphans(s3_workplace.store) == []
    assert_settled(s3_workplace)
