"""How fast the API creates tasks and signs their URLs for 32 clients at once, and in what memory.

The clients are a process of their own and share the machine with the server. The floor is the same
clients asking for /healthz, which needs no token, no database and no signature.

    python -m bench.api                      # one server process
    python -m bench.api --workers 2 --rounds 50
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import requests

from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from outreach_core.users import add_user
from tests.servers.outreach_serve import outreach_serve

CLIENTS = 32
WANTED = {
    "tool_id": "profile-my-data",
    "inputs": {"primary": {"filename": "leads.csv", "size_bytes": 1_000_000}},
}


def create_and_sign(session: requests.Session, url: str) -> None:
    made = session.post(f"{url}/tasks", json=WANTED, timeout=60)
    made.raise_for_status()
    signed = session.post(f"{url}/tasks/{made.json()['id']}/upload-urls", timeout=60)
    signed.raise_for_status()


def health(session: requests.Session, url: str) -> None:
    session.get(f"{url}/healthz", timeout=60).raise_for_status()


def milliseconds(
    ask: Callable[[requests.Session, str], None], url: str, tokens: list[str], rounds: int
) -> list[float]:
    """How long each round of each client took, in order of length."""

    def client(token: str) -> list[float]:
        took = []
        with requests.Session() as session:
            session.headers["authorization"] = f"Bearer {token}"
            for _ in range(rounds):
                began = time.perf_counter()
                ask(session, url)
                took.append((time.perf_counter() - began) * 1000)
        return took

    with ThreadPoolExecutor(len(tokens)) as pool:
        return sorted(ms for took in pool.map(client, tokens) for ms in took)


def users(postgres: Postgres, count: int) -> list[str]:
    migrate(postgres)
    with postgres.connect() as connection:
        return [
            add_user(connection, f"u{n}", is_operator=False, now=datetime.now(UTC)).token
            for n in range(count)
        ]


def server_processes(home: Path) -> list[Path]:
    """The folders in /proc of all that run with this home."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(home).encode() in (folder / "environ").read_bytes():
                found.append(folder)
    return found


def peak_mb(home: Path) -> float:
    """The largest of the server's processes."""
    said = [(folder / "status").read_text() for folder in server_processes(home)]
    peaks = [line for status in said for line in status.splitlines() if "VmHWM" in line]
    return max(int(line.split()[1]) / 1024 for line in peaks)


def cpu_milliseconds(home: Path) -> float:
    """What they have used so far."""
    ticks = 0
    for folder in server_processes(home):
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(folder) / "postgres") as embedded,
    ):
        postgres, home = embedded.ensure_running(), Path(folder) / "home"
        tokens = users(postgres, CLIENTS)
        variables = {
            "NEON_CONNECTION_STRING": postgres.url,
            "NEON_SSLMODE": "disable",
            "OUTREACH_OPEN_TASKS": "1000000",
            "OUTREACH_REQUESTS_PER_MINUTE": "1000000",
        }
        with outreach_serve(home, variables, workers=asked.workers) as url:
            milliseconds(create_and_sign, url, tokens, 2)
            for name, ask, clients in (
                ("floor: /healthz", health, CLIENTS),
                ("create and sign", create_and_sign, CLIENTS),
                ("create and sign", create_and_sign, 1),
            ):
                before = cpu_milliseconds(home)
                took = milliseconds(ask, url, tokens[:clients], asked.rounds)
                cpu = (cpu_milliseconds(home) - before) / len(took)
                print(
                    f"{name:<16} {clients:>2} clients: median {statistics.median(took):6.1f} ms, "
                    f"p95 {took[int(len(took) * 0.95)]:6.1f} ms, server CPU {cpu:.1f} ms each"
                )
            print(f"the largest server process: {peak_mb(home):.0f} MB")


if __name__ == "__main__":
    main()
