"""`outreach` as a program: exit codes, what goes to which stream, and the doctor's report."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.postgres import Postgres
from tests.servers.rclone_s3 import BUCKET, REGION, RcloneS3

Ran = subprocess.CompletedProcess[str]
Outreach = Callable[..., Ran]
PROGRAM = "from outreach_assets.command_line.main import run; run()"
SECRET = "hunter22-hunter22"


def outreach_with(home: Path, *words: str, **variables: str) -> Ran:
    """The command in a process of its own, with this home, these settings and none other."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
        stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "COLUMNS": "200",
            "OUTREACH_HOME": str(home),
            **variables,
        },
    )


@pytest.fixture(scope="module")
def lasting_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all: making a database costs seconds, and no test here leaves anything in it."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def outreach(lasting_home: Path) -> Outreach:
    """The command as a program."""
    return lambda *words, **variables: outreach_with(lasting_home, *words, **variables)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Bound and not listening: nobody else gets it meanwhile."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield int(listening.getsockname()[1])


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[RcloneS3]:
    with RcloneS3(tmp_path / "s3") as server:
        yield server


def bucket_of(server: RcloneS3, **changes: str) -> dict[str, str]:
    return {
        "B2_ENDPOINT": server.endpoint,
        "B2_REGION": REGION,
        "B2_KEY_ID": server.key_id,
        "B2_APPLICATION_KEY": server.application_key,
        "B2_BUCKET": BUCKET,
        **changes,
    }


def neon_at(postgres: Postgres, **changes: str) -> dict[str, str]:
    return {"NEON_CONNECTION_STRING": Postgres(conninfo=postgres.conninfo, name="x").url, **changes}


def nobody_at(port: int) -> dict[str, str]:
    return {
        "NEON_HOST": "127.0.0.1",
        "NEON_PORT": str(port),
        "NEON_DATABASE": "d",
        "NEON_USER": "u",
        "NEON_PASSWORD": SECRET,
        "NEON_SSLMODE": "disable",
    }


def report(ran: Ran) -> dict[str, dict[str, str]]:
    """The doctor's findings by check."""
    return {c["check"]: c for c in json.loads(ran.stdout)["checks"]}


def results(ran: Ran) -> dict[str, str]:
    return {name: check["result"] for name, check in report(ran).items()}


@pytest.mark.parametrize(
    ("words", "variables", "says"),
    [
        (["run", "--state", "ZZ"], {}, "unknown state ZZ"),
        (["snapshots", "list", "--state", "ZZ"], {}, "unknown state ZZ"),
        (["run"], {}, "--state"),
        (["run", "--no-such-option"], {}, "No such option"),
        (["no-such-command"], {}, "No such command"),
        (["db", "sample", "--size", "XXL"], {}, "XXL"),
        (["run", "--state", "WV"], {"STORAGE_MODE": "ftp"}, "STORAGE_MODE is 'ftp'"),
        (["demo"], {"STORAGE_MODE": "s3"}, "B2_BUCKET"),
        (["store", "ls"], {"B2_BUCKET": "my-bucket"}, "B2_ENDPOINT"),
        (["db", "status"], {"NEON_PASSWORD": SECRET}, "NEON_HOST"),
        (["dev"], {"NEON_CONNECTION_STRING": SECRET}, "NEON_CONNECTION_STRING (not shown)"),
        (["run", "--all"], {"OUTREACH_HOME": "/dev/null/x"}, "OUTREACH_HOME is '/dev/null/x'"),
        (["run", "--all"], {"OUTREACH_HOME": "/sys/x"}, "OUTREACH_HOME is /sys/x"),
        (["db", "migrate"], {"OUTREACH_HOME": "/sys/x"}, "OUTREACH_HOME"),
    ],
)
def test_a_mistake_ends_with_2_and_is_named_on_standard_error(
    outreach: Outreach, words: list[str], variables: dict[str, str], says: str
) -> None:
    ran = outreach(*words, **variables)
    assert ran.returncode == 2
    assert says in ran.stderr
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    assert SECRET not in ran.stderr


@pytest.mark.parametrize("words", [["db", "status", "--json"], ["db", "migrate"]])
def test_a_database_that_cannot_be_reached_ends_with_1(
    outreach: Outreach, closed_port: int, words: list[str]
) -> None:
    ran = outreach(*words, **nobody_at(closed_port))
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: NEON_HOST 127.0.0.1 cannot be reached")
    assert ran.stdout == ""
    assert SECRET not in ran.stderr


@pytest.mark.slow
def test_a_run_without_its_database_ends_with_1_and_one_json_object(
    lasting_home: Path, closed_port: int
) -> None:
    ran = outreach_with(lasting_home, "run", "--state", "WV", "--json", **nobody_at(closed_port))
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["states"]["WV"]["status"] == "failed"
    assert "error: NEON_HOST 127.0.0.1 cannot be reached" in ran.stderr
    assert SECRET not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["doctor", "--json"], {"result", "checks"}),
        (["db", "status", "--json"], {"database", "migrations"}),
        (["store", "ls", "--json"], {"objects"}),
        (["snapshots", "list", "--json"], {"snapshots"}),
    ],
)
def test_json_is_one_object_on_standard_output(
    lasting_home: Path, words: list[str], names: set[str]
) -> None:
    ran = outreach_with(lasting_home, *words)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout).keys() == names
    assert ran.stderr == ""


@pytest.mark.slow
def test_the_doctor_finds_nothing_wrong_on_a_fresh_machine(lasting_home: Path) -> None:
    ran = outreach_with(lasting_home, "doctor", "--json")
    assert "problem" not in results(ran).values()
    expected = {
        *("settings", "OUTREACH_HOME", "database", "audit log", "migrations", "DuckDB", "store"),
        *("marketing.company_master", "marketing.people_master", "Dagster's storage"),
        *("alerts", "versions", "rclone"),
    }
    assert expected == results(ran).keys()
    assert not list((lasting_home / "store" / "outreach").glob("doctor/*"))


@pytest.mark.slow
def test_the_doctor_leaves_nothing_running(tmp_path: Path) -> None:
    assert outreach_with(tmp_path, "doctor", "--json").returncode == 0
    server = EmbeddedPostgres(tmp_path / "postgres")
    deadline = time.monotonic() + 120
    while server.status().running:
        assert time.monotonic() < deadline, "the embedded server is still running"
        time.sleep(0.05)


def test_the_doctors_table_shows_the_check_the_finding_and_the_cure(outreach: Outreach) -> None:
    ran = outreach("doctor", OUTREACH_HOME="/dev/null/x", B2_BUKET="b")
    assert ran.returncode == 2
    for word in ("what was found", "cure", "problem", "warn", "expected a folder", "B2_BUCKET?"):
        assert word in ran.stdout


def test_the_doctor_goes_on_after_wrong_settings(outreach: Outreach) -> None:
    ran = outreach(
        "doctor",
        "--json",
        STORAGE_MODE="ftp",
        NEON_PORT="x",
        NEON_PASWORD=SECRET,
        OUTREACH_DUCKDB_THREADS="two",
    )
    assert ran.returncode == 2
    found = results(ran)
    wrong = {"STORAGE_MODE", "NEON_PORT", "OUTREACH_DUCKDB_THREADS"}
    assert {name for name, result in found.items() if result == "problem"} == wrong
    assert report(ran)["NEON_PASWORD"]["cure"] == "did you mean NEON_PASSWORD?"
    assert {found["Dagster's storage"], found["DuckDB"], found["versions"]} == {"ok"}
    assert report(ran)["store"]["found"] == report(ran)["database"]["found"] == "not checked"
    assert SECRET not in ran.stdout


def test_the_doctor_names_every_wrong_setting_of_two_groups_and_their_disagreements(
    outreach: Outreach,
) -> None:
    ran = outreach("doctor", "--json", NEON_HOST="h", B2_BUCKET="my-bucket", NEON_SSLMODE="x")
    assert ran.returncode == 2
    assert {n for n, r in results(ran).items() if r == "problem"} >= {"NEON_SSLMODE", "B2_ENDPOINT"}


@pytest.mark.slow
def test_the_doctor_is_done_with_a_server_that_never_answers(
    outreach: Outreach, silent_port: int
) -> None:
    ran = outreach("doctor", "--json", **nobody_at(silent_port))
    assert ran.returncode == 1
    assert report(ran)["database"]["result"] == "problem"
    assert "NEON_HOST" in report(ran)["database"]["cure"]
    assert results(ran)["store"] == "ok"


def test_the_doctor_says_what_the_database_lacks(
    outreach: Outreach, empty_postgres: Postgres
) -> None:
    with empty_postgres.connect() as connection:
        connection.execute("CREATE SCHEMA marketing")
        connection.execute("CREATE TABLE marketing.company_master (company_unique_id text)")
    ran = outreach("doctor", "--json", **neon_at(empty_postgres))
    assert ran.returncode == 1
    found = report(ran)
    assert "company_name" in found["marketing.company_master"]["found"]
    assert "does not exist" in found["marketing.people_master"]["found"]
    assert "outreach db migrate" in found["audit log"]["cure"]
    assert "0001" in found["migrations"]["found"]
    assert found["database"]["result"] == "ok"


@pytest.mark.slow
def test_the_doctor_says_what_the_user_may_not(
    outreach: Outreach, empty_postgres: Postgres
) -> None:
    ready = outreach("db", "migrate", **neon_at(empty_postgres))
    assert ready.returncode == 0, ready.stderr
    assert "applied" in ready.stdout
    with empty_postgres.connect() as connection:
        name = f"reader_{connection.info.dbname}"[:60]
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
        connection.execute(f"GRANT USAGE ON SCHEMA marketing, shq TO {name}")
        connection.execute(f"GRANT SELECT ON marketing.people_master TO {name}")
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA shq TO {name}")
        at = connection.info
        url = f"postgresql://{name}:{SECRET}@{at.host}:{at.port}/{at.dbname}?sslmode=disable"
    try:
        ran = outreach("doctor", "--json", NEON_CONNECTION_STRING=url)
        wrong = outreach("doctor", "--json", NEON_CONNECTION_STRING=url.replace(SECRET, "other"))
    finally:
        with empty_postgres.connect() as connection:
            connection.execute(f"DROP OWNED BY {name}")
            connection.execute(f"DROP ROLE {name}")
    assert (ran.returncode, wrong.returncode) == (1, 1)
    found = report(ran)
    assert "permission denied" in found["marketing.company_master"]["found"]
    assert found["marketing.people_master"]["result"] == "warn"
    assert "permission denied" in found["audit log"]["found"]
    assert found["migrations"]["result"] == "ok"
    refused = report(wrong)["database"]
    assert "password authentication failed" in refused["found"]
    assert "NEON_CONNECTION_STRING: check the user and the password" in refused["cure"]


@pytest.mark.slow
def test_the_doctor_asks_a_bucket(outreach: Outreach, s3: RcloneS3) -> None:
    ran = outreach("doctor", "--json", **bucket_of(s3))
    assert ran.returncode == 0, ran.stdout
    assert report(ran)["store"]["found"].startswith(f"s3://{BUCKET}/: put, head")
    assert not list((s3.folder / BUCKET).rglob("*.txt"))


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"B2_APPLICATION_KEY": SECRET}, "B2_APPLICATION_KEY"),
        ({"B2_KEY_ID": "005" + "a" * 22}, "B2_KEY_ID"),
        ({"B2_BUCKET": "no-such-bucket"}, "B2_BUCKET"),
    ],
)
def test_the_doctor_says_what_a_bucket_refuses(
    outreach: Outreach, s3: RcloneS3, changes: dict[str, str], cure: str
) -> None:
    ran = outreach("doctor", "--json", **bucket_of(s3, **changes))
    assert ran.returncode == 1
    store = report(ran)["store"]
    assert store["result"] == "problem"
    assert cure in store["found"] + store["cure"]
    assert SECRET not in ran.stdout
    assert results(ran)["database"] == "ok"


def test_the_doctor_says_that_an_endpoint_cannot_be_reached(
    outreach: Outreach, closed_port: int
) -> None:
    ran = outreach(
        "doctor",
        "--json",
        B2_ENDPOINT=f"http://127.0.0.1:{closed_port}",
        B2_REGION=REGION,
        B2_KEY_ID="k",
        B2_APPLICATION_KEY=SECRET,
        B2_BUCKET="b-b-b",
        OUTREACH_DAGSTER_POSTGRES_URL=f"postgresql://u:{SECRET}@127.0.0.1:{closed_port}/d",
    )
    assert ran.returncode == 1
    found = report(ran)
    assert "Connection refused" in found["store"]["found"]
    assert found["Dagster's storage"]["cure"].startswith("OUTREACH_DAGSTER_POSTGRES_URL: ")
    assert SECRET not in ran.stdout
