"""How fast the API creates tasks and signs their URLs for 32 clients at once, and in what memory.

Twice: each client creates and signs again two to four times a second, as one that also sends a
file does; and each asks again as soon as it is answered, which asks for all that the machine can
do, for clients, server and database share it. The floors, in the same run: a FastAPI route that
answers a constant, as many servers, the same clients; and for each request one round trip to the
database and nothing else.

    python -m bench.api
    python -m bench.api --workers 1 --rounds 50 --times 5
"""

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from bench.light_client import LightClient, milliseconds
from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from outreach_core.users import add_user
from tests.servers.outreach_serve import outreach_serve

CLIENTS = 32
PAUSE = (0.25, 0.5)
"""Seconds a client does something else between two tasks."""
WANTED = json.dumps(
    {
        "tool_id": "profile-my-data",
        "inputs": {"primary": {"filename": "leads.csv", "size_bytes": 1_000_000}},
    }
).encode()


async def with_pauses(client: LightClient) -> None:
    await asyncio.sleep(random.uniform(*PAUSE))  # noqa: S311 no secret
    await create_and_sign(client)


async def create_and_sign(client: LightClient) -> None:
    made = json.loads(await client.ask("POST", "/tasks", WANTED))
    await client.ask("POST", f"/tasks/{made['id']}/upload-urls")


async def constant(client: LightClient) -> None:
    await client.ask("GET", "/")


def users(postgres: Postgres, count: int) -> list[str]:
    migrate(postgres)
    with postgres.connect() as connection:
        return [
            add_user(connection, f"u{n}", is_operator=False, now=datetime.now(UTC)).token
            for n in range(count)
        ]


@contextmanager
def bare_server(workers: int) -> Iterator[str]:
    """FastAPI and a route that does nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    words = ["bench.bare_app:app", "--port", str(port), "--workers", str(workers)]
    with subprocess.Popen(
        [sys.executable, "-m", "uvicorn", *words, "--no-access-log", "--log-level", "warning"]
    ) as server:
        while server.poll() is None:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.1)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def processes_with(home: Path) -> list[Path]:
    """The folders in /proc of all servers that run with this home."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(home).encode() in (folder / "environ").read_bytes():
                found.append(folder)
    return found


def peak_mb(home: Path) -> float:
    """The largest of the server's processes."""
    said = [(folder / "status").read_text() for folder in processes_with(home)]
    peaks = [line for status in said for line in status.splitlines() if "VmHWM" in line]
    return max(int(line.split()[1]) / 1024 for line in peaks)


def cpu_milliseconds(home: Path) -> float:
    """What they have used so far."""
    ticks = 0
    for folder in processes_with(home):
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


def round_trips(postgres: Postgres, count: int) -> list[float]:
    took = []
    with postgres.connect(autocommit=True) as connection:
        for _ in range(count):
            began = time.perf_counter()
            connection.execute("SELECT 1").fetchone()
            took.append((time.perf_counter() - began) * 1000)
    return sorted(took)


def said(name: str, times: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Print and give median and p95, each the median of all times."""
    median = statistics.median(statistics.median(took) for took in times)
    p95 = statistics.median(took[int(len(took) * 0.95)] for took in times)
    print(f"{name:<42} median {median:7.2f} ms, p95 {p95:7.2f} ms", flush=True)
    return median, p95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--times", type=int, default=5)
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
        with (
            bare_server(asked.workers) as bare,
            outreach_serve(home, variables, workers=asked.workers) as url,
        ):
            milliseconds(create_and_sign, url, tokens, 2)
            milliseconds(constant, bare, tokens, 2)
            parts: dict[str, Callable[[], list[float]]] = {
                "floor: a constant by FastAPI, 32 clients": lambda: milliseconds(
                    constant, bare, tokens, 2 * asked.rounds
                ),
                "floor: SELECT 1, one connection": lambda: round_trips(postgres, 500),
                "create and sign, 32 clients with pauses": lambda: milliseconds(
                    with_pauses, url, tokens, asked.rounds
                ),
                "create and sign, 32 clients without": lambda: milliseconds(
                    create_and_sign, url, tokens, asked.rounds
                ),
                "create and sign, 1 client": lambda: milliseconds(
                    create_and_sign, url, tokens[:1], asked.rounds
                ),
            }
            found: dict[str, list[list[float]]] = {name: [] for name in parts}
            before, requests = cpu_milliseconds(home), 0
            for _ in range(asked.times):  # in turns, so that a busy minute hits them all
                for name, part in parts.items():
                    found[name].append(part())
                    requests += len(found[name][-1]) if name.startswith("create") else 0
            cpu = (cpu_milliseconds(home) - before) / requests
            (floor, _), _, _, (median, _), _ = (said(name, found[name]) for name in parts)
            print(
                f"{median / floor:.1f} x the floor without pauses; its CPU {cpu:.2f} ms a request"
                f"; the largest process: {peak_mb(home):.0f} MB"
            )


if __name__ == "__main__":
    main()
