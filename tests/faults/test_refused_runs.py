"""`outreach run` with something wrong around it: a sentence that names it and the cure, no more."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.invariants import assert_settled, assert_tells_nobody, half_published, orphans
from tests.faults.workplace import OUTREACH, STATES, Finished, Workplace

STATE = STATES[:1]
FAILED, WRONG_SETTINGS = 1, 2


def assert_refused(workplace: Workplace, finished: Finished, *words: str) -> None:
    """It failed in one sentence with these words, and nothing was published."""
    assert finished.code == FAILED, finished.said
    for word in words:
        assert word in finished.err + str(finished.result["error"]), finished.said
    assert_tells_nobody(workplace, finished)
    assert half_published(workplace.store) == []
    assert orphans(workplace.store) == []


def assert_next_run_is_right(workplace: Workplace) -> None:
    after = workplace.refresh(STATE)
    assert after.code == 0, after.said
    assert_settled(workplace, STATE)


def named(workplace: Workplace, **parts: str) -> Workplace:
    """The same with NEON_HOST and its kin instead of a connection string."""
    assert workplace.postgres is not None
    found = re.fullmatch(
        r"postgresql://(?P<user>.*?):(?P<password>.*?)@(?P<host>.*?):(?P<port>\d+)/(?P<database>\w+).*",
        workplace.postgres.url,
    )
    assert found is not None
    variables = {f"NEON_{k.upper()}": v for k, v in (found.groupdict() | parts).items()}
    settings = {**variables, "NEON_SSLMODE": "disable"}
    return replace(workplace, postgres=None, settings=settings)


def test_a_wrong_password_is_refused_without_showing_it(workplace: Workplace) -> None:
    refused = named(workplace, password="very-wrong-word").refresh(STATE)
    assert_refused(workplace, refused, "NEON_HOST", "password", "NEON_PASSWORD")
    assert "very-wrong-word" not in refused.said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"port": "1"}, ("NEON_HOST", "cannot be reached")),
        ({"host": "no-such-host.invalid"}, ("NEON_HOST", "no-such-host.invalid")),
        ({"database": "no_such_database"}, ("NEON_HOST", "no_such_database")),
        ({"user": "nobody_we_know"}, ("NEON_HOST", "nobody_we_know")),
    ],
    ids=["port", "host", "database", "user"],
)
def test_a_wrong_address_is_named(
    workplace: Workplace, parts: dict[str, str], words: tuple[str, ...]
) -> None:
    assert_refused(workplace, named(workplace, **parts).refresh(STATE), *words)
    assert_next_run_is_right(workplace)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "back", "words"),
    [
        (
            "ALTER TABLE marketing.people_master RENAME TO moved",
            "ALTER TABLE marketing.moved RENAME TO people_master",
            ("marketing.people_master", "does not exist"),
        ),
        (
            "ALTER TABLE marketing.people_master RENAME COLUMN email TO mail",
            "ALTER TABLE marketing.people_master RENAME COLUMN mail TO email",
            ("marketing.people_master", "email"),
        ),
        (
            "ALTER TABLE shq.open_runs RENAME TO moved",
            "ALTER TABLE shq.moved RENAME TO open_runs",
            ("shq.open_runs", "outreach db migrate"),
        ),
        (
            "ALTER TABLE shq.audit_log RENAME TO moved",
            "ALTER TABLE shq.moved RENAME TO audit_log",
            ("shq.audit_log", "outreach db migrate"),
        ),
    ],
    ids=["table", "column", "open_runs", "audit_log"],
)
def test_what_is_missing_in_the_database_is_named(
    workplace: Workplace, statement: str, back: str, words: tuple[str, ...]
) -> None:
    workplace.sql(statement)
    refused = workplace.refresh(STATE)
    workplace.sql(back)
    assert_refused(workplace, refused, *words)
    assert_next_run_is_right(workplace)


@pytest.mark.slow
def test_a_permission_that_is_missing_is_named(workplace: Workplace) -> None:
    workplace.sql("DROP ROLE IF EXISTS faults_reader")
    workplace.sql("CREATE ROLE faults_reader LOGIN PASSWORD 'reads-little'")
    try:
        refused = named(workplace, user="faults_reader", password="reads-little").refresh(STATE)
        assert_refused(workplace, refused, "permission denied", "shq")
        assert "reads-little" not in refused.said
    finally:
        workplace.sql("DROP ROLE faults_reader")


@pytest.mark.slow
def test_values_that_cannot_be_read_are_not_shown(workplace: Workplace) -> None:
    """A time DuckDB cannot hold, in a row with a name, an email and phones."""
    workplace.sql("UPDATE marketing.people_master SET updated_at = '294276-12-31 23:59:59+00'")
    finished = workplace.refresh(STATE)
    assert_tells_nobody(workplace, finished)
    assert half_published(workplace.store) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value", "word"),
    [
        ("B2_BUCKET", "no-such-bucket", "B2_BUCKET"),
        ("B2_KEY_ID", "005aaaaaaaaaaaaaaaaaaaaaa", "B2_KEY_ID"),
        ("B2_APPLICATION_KEY", "K005wrongwrongwrongwrongwrong00", "B2_APPLICATION_KEY"),
        ("B2_ENDPOINT", "http://127.0.0.1:1", "cannot be reached"),
    ],
)
def test_a_bucket_that_refuses_is_named(
    s3_workplace: Workplace, variable: str, value: str, word: str
) -> None:
    s3_workplace.settings = {variable: value}
    assert_refused(s3_workplace, s3_workplace.refresh(STATE), word)
    s3_workplace.settings = {}
    assert_next_run_is_right(s3_workplace)


@pytest.mark.slow
@pytest.mark.parametrize("inside", ["", "deeper"])
def test_an_unwritable_home_is_named(workplace: Workplace, tmp_path: Path, inside: str) -> None:
    """A file where the folder should be: even root cannot write there."""
    (tmp_path / "file").write_text("")
    refused = replace(workplace, home=tmp_path / "file" / inside).refresh(STATE)
    assert refused.code == WRONG_SETTINGS
    assert "OUTREACH_HOME" in refused.err
    assert "Traceback" not in refused.said


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["exports", "store", "spill", "duck", "runs"])
def test_a_folder_of_the_home_that_cannot_be_written_is_named(
    workplace: Workplace, folder: str
) -> None:
    (workplace.home / folder).write_text("in the way")
    refused = workplace.refresh(STATE)
    assert refused.code != 0
    assert "OUTREACH_HOME" in refused.err + str(refused.result["error"] if refused.out else "")
    assert str(workplace.home / folder) in refused.said
    assert "Traceback" not in refused.said
    (workplace.home / folder).unlink()
    workplace.touch(STATE)
    assert_next_run_is_right(workplace)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("faketime") is None, reason="needs Debian's faketime")
def test_a_clock_that_is_behind_is_refused(workplace: Workplace) -> None:
    """The run's version would come before the one that is published."""
    assert workplace.refresh(STATE).code == 0
    workplace.touch(STATE)
    refused = workplace.run(
        "run", "--state", STATE[0], "--json", program=["faketime", "-f", "-2h", OUTREACH]
    )
    assert_refused(workplace, refused, "clock")
    assert_next_run_is_right(workplace)
