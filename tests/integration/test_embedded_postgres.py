"""The embedded server on a quiet day; kills and full disks are in tests/faults."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.errors import PermanentError
from outreach_core.postgres import DatabaseRefusedError, Postgres

USER = """
import sys
from pathlib import Path
from outreach_core.embedded_postgres import EmbeddedPostgres

embedded = EmbeddedPostgres(Path(sys.argv[1]))
embedded.ensure_running()
print(embedded.status().pid, flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(folder: Path, program: str = USER) -> Iterator[int]:
    """A process that uses the server until the block ends; gives the server's pid."""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as user:
        assert user.stdout is not None
        yield int(user.stdout.readline())
        user.communicate(timeout=60)


def until(is_true: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def command_lines() -> list[str]:
    """Every process's words; zombies have none."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    if not found:  # macOS
        listing = subprocess.run(["/bin/ps", "-axwwo", "args"], capture_output=True, check=True)
        found = listing.stdout.decode(errors="replace").splitlines()
    return found


def processes_of(folder: Path) -> list[str]:
    """Keepers and servers whose command line names the folder."""
    ours = (line for line in command_lines() if str(folder) in line)
    return [line for line in ours if "postgres_keeper" in line or "/bin/postgres " in line]


def value_of(postgres: Postgres, statement: str) -> object:
    with postgres.connect() as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A place for a server, left only when nothing runs there any more."""
    yield tmp_path / "postgres"
    until(lambda: not processes_of(tmp_path))


@pytest.fixture
def embedded(folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(folder) as server:
        yield server


def test_the_first_start_gives_the_outreach_database(embedded: EmbeddedPostgres) -> None:
    assert value_of(embedded.ensure_running(), "SELECT current_database()") == "outreach"


def test_a_second_call_gives_the_same_server(embedded: EmbeddedPostgres) -> None:
    embedded.ensure_running()
    before = embedded.status()
    embedded.ensure_running()
    assert embedded.status() == before


def test_asking_for_the_status_starts_nothing(embedded: EmbeddedPostgres, folder: Path) -> None:
    status = embedded.status()
    assert not status.running
    assert not folder.exists()


def test_the_status_of_a_running_server_names_its_major_version(embedded: EmbeddedPostgres) -> None:
    embedded.ensure_running()
    assert embedded.status().version == "18"


def test_another_process_uses_the_same_server(embedded: EmbeddedPostgres, folder: Path) -> None:
    embedded.ensure_running()
    with another_process(folder) as pid:
        assert pid == embedded.status().pid


@pytest.mark.slow
def test_many_processes_at_once_start_one_server(folder: Path) -> None:
    def pid_seen_by_one(_: int) -> int:
        with another_process(folder) as pid:
            until((folder / "go").exists)
            return pid

    with ThreadPoolExecutor(6) as pool:
        pids = [pool.submit(pid_seen_by_one, number) for number in range(6)]
        until(lambda: EmbeddedPostgres(folder).status().running)
        (folder / "go").touch()
    assert len({pid.result() for pid in pids}) == 1


def test_the_server_stays_while_one_process_uses_it(
    embedded: EmbeddedPostgres, folder: Path
) -> None:
    postgres = embedded.ensure_running()
    with another_process(folder):
        embedded.close()
        assert value_of(postgres, "SELECT 1") == 1


def test_the_last_one_out_stops_the_server(embedded: EmbeddedPostgres, folder: Path) -> None:
    embedded.ensure_running()
    assert processes_of(folder)
    embedded.close()
    until(lambda: not processes_of(folder))


def test_what_was_written_is_there_after_a_restart(embedded: EmbeddedPostgres) -> None:
    with embedded.ensure_running().connect() as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS answer")
    embedded.close()
    until(lambda: not embedded.status().running)
    assert value_of(embedded.ensure_running(), "SELECT answer FROM kept") == 7


def test_a_restart_comes_back_under_the_same_port(embedded: EmbeddedPostgres) -> None:
    embedded.ensure_running()
    port = embedded.status().port
    embedded.close()
    until(lambda: not embedded.status().running)
    embedded.ensure_running()
    assert embedded.status().port == port


def test_a_user_who_comes_while_it_stops_gets_a_new_server(embedded: EmbeddedPostgres) -> None:
    embedded.ensure_running()
    embedded.close()
    assert value_of(embedded.ensure_running(), "SELECT 1") == 1


def test_a_wrong_password_is_refused(embedded: EmbeddedPostgres, folder: Path) -> None:
    postgres = embedded.ensure_running()
    password = (folder / "password").read_text()
    wrong = Postgres(conninfo=postgres.conninfo.replace(password, "a-guess"), name="it")
    with pytest.raises(DatabaseRefusedError) as refusal, wrong.connect():
        pass
    assert "a-guess" not in str(refusal.value)


def test_the_password_shows_nowhere(embedded: EmbeddedPostgres, folder: Path) -> None:
    postgres = embedded.ensure_running()
    password = (folder / "password").read_text()
    shown = [(folder / "postgres.log").read_text(), repr(postgres), *command_lines()]
    assert not [text for text in shown if password in text]


def test_the_password_file_is_readable_by_its_owner_only(
    embedded: EmbeddedPostgres, folder: Path
) -> None:
    embedded.ensure_running()
    assert (folder / "password").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("data_checksums", "on"),
        ("synchronous_commit", "on"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("server_encoding", "UTF8"),
        ("password_encryption", "scram-sha-256"),
        ("max_wal_size", "2GB"),
    ],
)
def test_the_server_runs_with(postgres_server: Postgres, setting: str, value: str) -> None:
    assert value_of(postgres_server, f"SHOW {setting}") == value


def test_commits_outlive_a_power_cut(embedded: EmbeddedPostgres) -> None:
    assert value_of(embedded.ensure_running(), "SHOW fsync") == "on"


def test_order_and_letter_case_do_not_depend_on_the_machine(postgres: Postgres) -> None:
    assert value_of(postgres, "SELECT upper('é') || ('a' < 'B')::text") == "Éfalse"


def test_a_failed_statement_leaves_nobodys_email_in_the_log(
    embedded: EmbeddedPostgres, folder: Path
) -> None:
    postgres = embedded.ensure_running()
    statement = b"CREATE TABLE t (e text UNIQUE); INSERT INTO t VALUES ('a@b.test'), ('a@b.test')"
    with pytest.raises(Exception, match="duplicate key"), postgres.connect() as connection:
        connection.execute(statement)
    assert "duplicate key" in (folder / "postgres.log").read_text()
    assert "a@b.test" not in (folder / "postgres.log").read_text()


def test_the_database_of_dagster_comes_with_the_server(embedded: EmbeddedPostgres) -> None:
    assert value_of(embedded.database("dagster"), "SELECT current_database()") == "dagster"


def test_a_database_asked_for_by_many_at_once_is_made_once(embedded: EmbeddedPostgres) -> None:
    embedded.ensure_running()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(embedded.database, 'odd "name"') for _ in range(8)]
    assert {value_of(a.result(), "SELECT current_database()") for a in asked} == {'odd "name"'}


def test_a_pid_file_naming_a_living_stranger_is_swept(
    embedded: EmbeddedPostgres, folder: Path
) -> None:
    embedded.ensure_running()
    pid_file = (folder / "data" / "postmaster.pid").read_text().splitlines()
    embedded.close()
    until(lambda: not processes_of(folder))
    stale = folder / "data" / "postmaster.pid"
    stale.write_text("\n".join([str(os.getpid()), *pid_file[1:]]) + "\n")
    if os.geteuid() == 0:
        shutil.chown(stale, (folder / "data").stat().st_uid)
    assert value_of(embedded.ensure_running(), "SELECT 1") == 1


def test_a_data_folder_of_another_major_version_is_refused(
    embedded: EmbeddedPostgres, folder: Path
) -> None:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(PermanentError, match=r"OUTREACH_HOME.*PostgreSQL 16.*dump"):
        embedded.ensure_running()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PermanentError, match=r"OUTREACH_HOME.*file"):
        EmbeddedPostgres(tmp_path / "file" / "postgres").ensure_running()


def test_a_missing_password_file_is_named(embedded: EmbeddedPostgres, folder: Path) -> None:
    embedded.ensure_running()
    (folder / "password").unlink()
    with pytest.raises(PermanentError, match=r"password is missing"):
        embedded.ensure_running()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x" * 120, "with 'spaces', ü and 日本"])
def test_its_path_may_be(tmp_path: Path, folder: Path, name: str) -> None:
    deep = tmp_path / name / "postgres"
    with EmbeddedPostgres(deep) as embedded:
        assert value_of(embedded.ensure_running(), "SELECT 1") == 1


FORKS = USER.replace(
    "sys.stdin.read()",
    """
import os
child = os.fork()
if child == 0:
    embedded.ensure_running()
    embedded.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
with embedded.ensure_running().connect() as connection:
    connection.execute("SELECT 1")
sys.stdin.read()
""",
)


def test_a_forked_childs_close_leaves_its_parent_the_server(folder: Path) -> None:
    with another_process(folder, FORKS) as pid:
        assert EmbeddedPostgres(folder).status().pid == pid
