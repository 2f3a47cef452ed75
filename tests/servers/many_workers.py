"""Dagster with its Celery launcher as docs/many_workers.md says it: Redis, a worker, the rest.

The rest is `outreach serve` and Dagster's webserver and daemon with OutreachStorage. The worker is
one process with one slot.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from outreach_core.settings import PROJECT_FOLDER
from tests.must_test import program_or_skip
from tests.servers.outreach_dev import OutreachDev, until
from tests.servers.outreach_serve import outreach_serve

DOCUMENT = PROJECT_FOLDER / "docs/many_workers.md"


class ManyWorkers(OutreachDev):
    """All of it; use it in a `with`."""

    def __init__(self, home: Path, *, is_warm: bool = True) -> None:
        """`is_warm`: a worker; without, Dagster's own launcher, for comparison."""
        super().__init__(home)
        self.is_warm, self.api_url = is_warm, ""
        self.worker: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            port = self._stack.enter_context(redis(self.home))
            self.environment |= {
                "CELERY_BROKER_URL": f"redis://127.0.0.1:{port}/0",
                "CELERY_RESULT_BACKEND": f"redis://127.0.0.1:{port}/1",
                "DAGSTER_HOME": str(self.home / "dagster"),
                "OUTREACH_UI_URL": f"http://127.0.0.1:{self.port}",
            }
            self._write_dagster_yaml()
            ours = {"OUTREACH_UI_URL": self.environment["OUTREACH_UI_URL"]}
            self.api_url = self._stack.enter_context(outreach_serve(self.home, ours))
            if self.is_warm:
                self.worker = self._stack.enter_context(self._a_worker())
            super().__enter__()
            self._stack = self._stack.pop_all()
        return self

    def stop(self) -> int:
        """All that was started beside Dagster first: its end is waited for as well."""
        try:
            self._stack.close()
        finally:
            code = super().stop()
        return code

    def words(self) -> Sequence[str | Path]:
        return [
            *(sys.executable, "-W", "ignore", "-m", "dagster", "dev"),
            *("--workspace", PROJECT_FOLDER / "workspace.yaml", "--port", str(self.port)),
            *("--log-level", "warning", "--code-server-log-level", "warning"),
        ]

    def _write_dagster_yaml(self) -> None:
        folder = self.home / "dagster"
        folder.mkdir(parents=True)
        text = (PROJECT_FOLDER / "dagster.yaml").read_text()
        found = re.search("```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
        assert found is not None
        (folder / "dagster.yaml").write_text(text + (found[1] if self.is_warm else ""))

    @contextmanager
    def _a_worker(self) -> Iterator[subprocess.Popen[bytes]]:
        (line,) = re.findall("(?m)^celery (.*)$", DOCUMENT.read_text())
        celery = Path(sysconfig.get_path("scripts")) / "celery"
        log = self.home.with_name("worker.log")
        with log.open("wb") as said:
            worker = subprocess.Popen(
                [str(celery), *line.replace("-c 2", "-c 1").split()],
                # As of a root, which a container's user is; Celery warns of that.
                env=self.environment | {"C_FORCE_ROOT": "1"},
                cwd=PROJECT_FOLDER,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            until(lambda: " ready." in log.read_text(), seconds=120, what="the worker")
            yield worker
        finally:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


@contextmanager
def redis(home: Path) -> Iterator[int]:
    """A Redis that keeps nothing; its port."""
    program = program_or_skip("redis", "redis-server")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    folder = home.with_name("redis")
    folder.mkdir()
    server = subprocess.Popen([program, *words], cwd=folder, stdout=subprocess.DEVNULL)

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        until(answers, seconds=30, what="Redis")
        yield port
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)
