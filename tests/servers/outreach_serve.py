"""`outreach serve` as a person starts it, on a free port, with settings of its own."""

import os
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import requests

from outreach_core.settings import Settings

START_SECONDS = 60
STOP_SECONDS = 30


@contextmanager
def outreach_serve(home: Path, variables: Mapping[str, str], *, workers: int = 1) -> Iterator[str]:
    """Its address, once it is ready; it is stopped with Ctrl-C afterwards."""
    port = _free_port()
    url, log = f"http://127.0.0.1:{port}", home.with_name(f"{home.name}-serve.log")
    outreach = Path(sysconfig.get_path("scripts")) / "outreach"
    ours = {name.upper(): "" for name in Settings.model_fields}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DAGSTER_")}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [str(outreach), "serve", "--port", str(port), "--workers", str(workers)],
            env={**kept, **ours, **variables, "OUTREACH_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + START_SECONDS
        while not _is_ready(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise


def _is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=10).status_code == 200
    except requests.ConnectionError:
        return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
