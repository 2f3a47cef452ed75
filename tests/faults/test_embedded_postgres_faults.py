"""The embedded server when it, its users or its keeper are killed, and when there is no room."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.postgres import Postgres
from outreach_core.postgres_programs import find_programs

pytestmark = pytest.mark.slow

USER = """
import sys
from pathlib import Path
from outreach_core.embedded_postgres import EmbeddedPostgres

print("begins", flush=True)
embedded = EmbeddedPostgres(Path(sys.argv[1]))
embedded.ensure_running()
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def a_user(folder: Path, *, after: str = "ready") -> Iterator[subprocess.Popen[str]]:
    """A process that uses the server, once it has said `after`; ended with the block."""
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as user:
        assert user.stdout is not None
        while user.stdout.readline().strip() != after:
            assert user.poll() is None
        yield user
        if user.poll() is None:
            user.communicate(timeout=60)


def until(is_true: Callable[[], object], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def pids_of(folder: Path, word: str) -> list[int]:
    """Processes with the folder and the word in their command lines; zombies have none."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found[int(file.parent.name)] = file.read_bytes().replace(b"\0", b" ").decode()
    if not found:  # macOS
        listing = subprocess.run(["/bin/ps", "-axwwo", "pid,args"], capture_output=True, check=True)
        lines = listing.stdout.decode(errors="replace").splitlines()[1:]
        found = {int(line.split()[0]): line for line in lines}
    return [pid for pid, line in found.items() if str(folder) in line and word in line]


def keepers(folder: Path) -> list[int]:
    return pids_of(folder, "postgres_keeper")


def servers(folder: Path) -> list[int]:
    return [*pids_of(folder, "/bin/postgres "), *pids_of(folder, "/bin/initdb")]


def remove(folder: Path) -> None:
    """Remove a folder in which a server still writes."""

    def is_gone() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    until(is_gone)


def server_pid(embedded: EmbeddedPostgres) -> int:
    pid = embedded.status().pid
    assert pid is not None
    return pid


def kill_server(embedded: EmbeddedPostgres) -> int:
    """SIGKILL the server; back when it takes no connections any more, maybe still a zombie."""
    pid = server_pid(embedded)
    os.kill(pid, signal.SIGKILL)
    until(lambda: embedded.status().pid != pid)
    return pid


def write(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        connection.execute("CREATE TABLE kept AS SELECT g FROM generate_series(1, 1000) g")


def rows_kept(postgres: Postgres) -> int:
    with postgres.connect() as connection:
        return len(connection.execute("SELECT g FROM kept").fetchall())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A place for a server, left only when nothing runs there any more."""
    yield tmp_path / "postgres"
    until(lambda: not keepers(tmp_path) and not servers(tmp_path))


@pytest.fixture
def embedded(folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(folder) as server:
        yield server


def test_a_killed_only_user_leaves_nothing_running(folder: Path) -> None:
    with a_user(folder) as user:
        assert servers(folder)
        user.kill()
        until(lambda: not servers(folder) and not keepers(folder))


def test_a_user_killed_at_any_moment_of_the_first_start_leaves_a_right_folder(
    folder: Path, tmp_path: Path
) -> None:
    chance = random.Random(7)  # noqa: S311 - moments, not secrets
    hits = 0
    for attempt in range(8):
        place = tmp_path / f"{attempt}" / "postgres"
        with a_user(place, after="begins") as user:
            time.sleep(chance.uniform(0, 0.5))
            user.kill()
        hits += not (place / "port").exists()
        with EmbeddedPostgres(place) as embedded:
            write(embedded.ensure_running())
            assert not list(place.glob("new-*"))
        until(lambda: not servers(tmp_path) and not keepers(tmp_path))
    assert hits, "no kill came before the server was up"


def test_a_kill_during_initdb_is_made_good(folder: Path) -> None:
    with a_user(folder, after="begins") as user:
        until(lambda: list(folder.glob("new-*")), seconds=20)
        user.kill()
    assert not (folder / "data").exists()
    with EmbeddedPostgres(folder) as embedded:
        write(embedded.ensure_running())
    assert not list(folder.glob("new-*"))


def test_a_killed_server_comes_back_with_its_data(embedded: EmbeddedPostgres) -> None:
    write(embedded.ensure_running())
    kill_server(embedded)
    assert rows_kept(embedded.ensure_running()) == 1000


def test_a_killed_server_comes_back_under_its_address_unasked(embedded: EmbeddedPostgres) -> None:
    postgres = embedded.ensure_running()
    write(postgres)
    killed = kill_server(embedded)
    until(lambda: embedded.status().pid not in {None, killed})
    assert rows_kept(postgres) == 1000


def test_a_killed_server_nobody_reaps_does_not_stand_in_the_way(
    embedded: EmbeddedPostgres, folder: Path
) -> None:
    write(embedded.ensure_running())
    (keeper,) = keepers(folder)
    os.kill(keeper, signal.SIGSTOP)
    try:
        kill_server(embedded)
        assert rows_kept(embedded.ensure_running()) == 1000
    finally:
        os.kill(keeper, signal.SIGCONT)


def test_a_server_killed_with_its_keeper_comes_back(
    embedded: EmbeddedPostgres, folder: Path
) -> None:
    write(embedded.ensure_running())
    for keeper in keepers(folder):
        os.kill(keeper, signal.SIGKILL)
    kill_server(embedded)
    assert rows_kept(embedded.ensure_running()) == 1000


def test_the_server_outlives_its_keeper(embedded: EmbeddedPostgres, folder: Path) -> None:
    postgres = embedded.ensure_running()
    write(postgres)
    (keeper,) = keepers(folder)
    os.kill(keeper, signal.SIGKILL)
    until(lambda: not keepers(folder))
    assert rows_kept(postgres) == 1000


def test_the_next_user_after_a_killed_keeper_brings_a_new_one(
    embedded: EmbeddedPostgres, folder: Path
) -> None:
    embedded.ensure_running()
    (keeper,) = keepers(folder)
    os.kill(keeper, signal.SIGKILL)
    until(lambda: not keepers(folder))
    embedded.ensure_running()
    assert keepers(folder)


def test_a_killed_keeper_does_not_keep_the_last_user_from_stopping_the_server(
    folder: Path,
) -> None:
    with a_user(folder) as user:
        (keeper,) = keepers(folder)
        os.kill(keeper, signal.SIGKILL)
        until(lambda: not keepers(folder))
        user.communicate(timeout=60)
        until(lambda: not servers(folder))


def test_ending_the_keeper_stops_the_server(embedded: EmbeddedPostgres, folder: Path) -> None:
    embedded.ensure_running()
    os.kill(keepers(folder)[0], signal.SIGTERM)
    until(lambda: not servers(folder) and not keepers(folder))


def test_a_removed_folder_ends_its_server(embedded: EmbeddedPostgres, folder: Path) -> None:
    embedded.ensure_running()
    remove(folder)
    until(lambda: not servers(folder) and not keepers(folder))


def test_a_folder_removed_under_a_user_is_made_anew(
    embedded: EmbeddedPostgres, folder: Path
) -> None:
    embedded.ensure_running()
    remove(folder)
    write(embedded.ensure_running())


def test_a_copied_folder_is_a_server_of_its_own(
    embedded: EmbeddedPostgres, folder: Path, tmp_path: Path
) -> None:
    write(embedded.ensure_running())
    copied = tmp_path / "copied"
    # As `cp -r` does it, with the pid file and the locks of a server that runs.
    shutil.copytree(folder, copied, copy_function=shutil.copyfile)
    with EmbeddedPostgres(copied) as copy:
        assert rows_kept(copy.ensure_running()) == 1000
        assert server_pid(copy) != server_pid(embedded)


def test_a_port_another_program_has_taken_is_left_to_it(
    embedded: EmbeddedPostgres, folder: Path
) -> None:
    embedded.ensure_running()
    port = embedded.status().port
    assert port is not None
    embedded.close()
    until(lambda: not servers(folder))
    with socket.create_server(("127.0.0.1", port)):
        embedded.ensure_running()
        assert embedded.status().port != port


def test_a_server_that_cannot_start_says_why(embedded: EmbeddedPostgres, folder: Path) -> None:
    embedded.ensure_running()
    embedded.close()
    until(lambda: not servers(folder) and not keepers(folder))
    with (folder / "data" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(Exception, match=r"OUTREACH_HOME.*no_such_setting"):
        embedded.ensure_running()


def test_a_server_started_by_hand_is_left_alone(embedded: EmbeddedPostgres, folder: Path) -> None:
    embedded.ensure_running()
    by_hand = [*pids_of(folder, "/bin/postgres ")]
    (folder / "server.lock").unlink()  # what a server started by hand would look like
    os.kill(keepers(folder)[0], signal.SIGKILL)
    with pytest.raises(Exception, match=r"runs a PostgreSQL of its own"):
        embedded.ensure_running()
    os.kill(by_hand[0], signal.SIGINT)


WRITER = """
import sys
from pathlib import Path
from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.errors import RetryableError

with EmbeddedPostgres(Path(sys.argv[1])) as embedded:
    for number in range(5):
        try:
            with embedded.ensure_running().connect() as connection:
                connection.execute("INSERT INTO kept VALUES (%s)", (int(sys.argv[2]) + number,))
        except RetryableError:
            continue
        print(int(sys.argv[2]) + number, flush=True)
"""


def test_no_answered_commit_is_lost_while_everything_is_killed(folder: Path) -> None:
    with EmbeddedPostgres(folder) as embedded, embedded.ensure_running().connect() as connection:
        connection.execute("CREATE TABLE kept (g int)")
    chance = random.Random(11)  # noqa: S311 - moments, not secrets
    answered: set[int] = set()
    kills = 0
    for turn in range(8):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(folder), str(turn * 1000 + number * 100)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(3)
        ]
        time.sleep(chance.uniform(0.2, 1.2))
        victims = [*keepers(folder)[:1], *pids_of(folder, "/bin/postgres ")[:1], writers[0].pid]
        for pid in chance.sample(victims, chance.randint(1, len(victims))):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                kills += 1
        for writer in writers:
            answered.update(int(line) for line in writer.communicate(timeout=120)[0].split())
    with EmbeddedPostgres(folder) as embedded, embedded.ensure_running().connect() as connection:
        kept = {g for (g,) in connection.execute("SELECT g FROM kept")}
    assert kills
    assert answered
    assert answered <= kept


FULL_DISK = """
set -e
mount -t tmpfs -o size={size}m tmpfs "$1"
exec "$2" -c "
import sys
from pathlib import Path
from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.errors import PermanentError
try:
    EmbeddedPostgres(Path(sys.argv[1]) / 'postgres').ensure_running()
except PermanentError as error:
    print(error)
    print('left behind:', [f.name for f in (Path(sys.argv[1]) / 'postgres').glob('new-*')])
" "$1"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("megabytes", [4, 40])
def test_a_full_disk_is_named_with_its_setting(tmp_path: Path, megabytes: int) -> None:
    script = FULL_DISK.format(size=megabytes)
    words = ["/usr/bin/unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), sys.executable]
    said = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert "OUTREACH_HOME" in said.stdout, said.stderr
    assert re.search(r"; [0-3] MB free there", said.stdout)
    assert "left behind: []" in said.stdout
    with suppress(FileNotFoundError):
        assert not list((tmp_path / "postgres").iterdir())


ORDINARY = """
import os, sys
from pathlib import Path
from outreach_core.embedded_postgres import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as embedded, embedded.ensure_running().connect() as c:
    print("uid", os.geteuid(), c.execute("SELECT 1").fetchone())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_runs_it_as_himself(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "home"
    place.mkdir()
    shutil.chown(place, "nobody")
    # He reads root's virtual environment by this one power; PostgreSQL sees an ordinary user.
    powers = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"]
    who = [
        "/usr/bin/setpriv",
        "--reuid=nobody",
        f"--regid={os.getgid()}",
        "--clear-groups",
        *powers,
    ]
    words = [*who, sys.executable, "-c", ORDINARY, str(place / "postgres")]
    said = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert said.stdout == f"uid {place.stat().st_uid} (1,)\n", said.stderr


@pytest.mark.usefixtures("folder")
def test_programs_in_a_private_folder_are_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a clone and virtual environment of root's under `mktemp -d` with umask 077."""
    programs = find_programs()
    package = programs.parent.parent
    site = tmp_path / "site"
    for source in (package / programs.parent.name, package.parent / f"{package.name}.libs"):
        if source.exists():
            shutil.copytree(source, site / source.relative_to(package.parent))
    (site / package.name / "__init__.py").touch()
    for place in (tmp_path, site, *site.rglob("*")):
        place.chmod(place.stat().st_mode & 0o700)
    monkeypatch.syspath_prepend(site)
    assert find_programs().is_relative_to(site)
    with EmbeddedPostgres(tmp_path / "postgres") as embedded:
        write(embedded.ensure_running())
