"""PgBouncer in transaction mode in front of a test's database, the way Neon's pooler stands."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from outreach_core.errors import RetryableError
from outreach_core.postgres import Postgres
from tests.must_test import program_or_skip

START_SECONDS = 30
AS_NOBODY = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to run as root


@contextmanager
def pgbouncer(postgres: Postgres, folder: Path) -> Iterator[Postgres]:
    """The same database through the pooler, in pools of eight connections."""
    program = program_or_skip("pgbouncer")
    parts = {name: str(value) for name, value in conninfo_to_dict(postgres.conninfo).items()}
    port = free_port()
    config = folder / "pgbouncer.ini"
    # It logs in itself, whoever comes: a file of users would have to be readable for `nobody`.
    server = " ".join(f"{name}='{parts[name]}'" for name in ("host", "port", "user", "password"))
    config.write_text(
        f"[databases]\n{parts['dbname']} = {server} dbname={parts['dbname']}\n"
        "[pgbouncer]\npool_mode = transaction\nauth_type = any\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\ndefault_pool_size = 8\n"
    )
    pooled = Postgres(
        conninfo=make_conninfo(postgres.conninfo, host="127.0.0.1", port=port), name="the pooler"
    )
    log = folder / "pgbouncer.log"
    with log.open("wb") as said:
        process = subprocess.Popen([program, *AS_NOBODY, str(config)], stdout=said, stderr=said)
    try:
        _wait_until_it_answers(pooled, process, log)
        yield pooled
    finally:
        process.kill()
        process.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(pooled: Postgres, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            with pooled.connect() as connection:
                connection.execute("SELECT 1")
        except RetryableError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"pgbouncer did not start:\n{log.read_text()}")
