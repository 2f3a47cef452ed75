"""`outreach dev` as a person starts it, in a folder of its own, and GraphQL as the UI speaks it.

What is asked of it is in tests/end_to_end.
"""

import json
import os
import signal
import socket
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from outreach_core.settings import Settings

START_SECONDS = 180
STOP_SECONDS = 90
ANSWER_SECONDS = 60
RUN_SECONDS = 240
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}

NO_CLOCK = {"OUTREACH_NIGHTLY_REFRESH_SCHEDULE": "0 0 29 2 *"}
"""So that no run of the night's comes between those of a test."""

READY = """
{
  workspaceOrError { ... on Workspace { locationEntries { loadStatus
    locationOrLoadError { __typename ... on PythonError { message } } } } }
  instance { daemonHealth { allDaemonStatuses { required healthy } } }
}"""
LAUNCH_BACKFILL = """
mutation ($asked: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $asked) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
LAUNCH_RUN = """
mutation ($asked: ExecutionParams!) {
  launchPipelineExecution(executionParams: $asked) {
    __typename
    ... on LaunchRunSuccess { run { id } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}"""
RUNS = """
query ($tags: [ExecutionTag!]) {
  runsOrError(filter: {tags: $tags}) {
    ... on Runs { results { id status startTime endTime tags { key value } } }
  }
}"""
EVENTS = """
query ($run: ID!, $after: String) {
  logsForRun(runId: $run, afterCursor: $after, limit: 1000) {
    ... on EventConnection {
      cursor hasMore
      events {
        __typename
        ... on MessageEvent { message level eventType timestamp }
        ... on MaterializationEvent { assetKey { path } partition metadataEntries { ...entry } }
        ... on AssetCheckEvaluationEvent {
          evaluation { checkName success assetKey { path } metadataEntries { ...entry } }
        }
        ... on ExecutionStepFailureEvent { error { message causes { message } } }
      }
    }
  }
}
fragment entry on MetadataEntry {
  __typename label
  ... on IntMetadataEntry { intRepr }
  ... on TextMetadataEntry { text }
  ... on MarkdownMetadataEntry { mdStr }
  ... on PathMetadataEntry { path }
  ... on TableMetadataEntry { table { records schema { columns { name type } } } }
}"""

T = TypeVar("T")
Event = Mapping[str, Any]


def until(ask: Callable[[], T], *, seconds: float, what: str) -> T:
    """The first answer that is true. Fails after so many seconds, saying what was waited for."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.2)
    return answer


class OutreachDev:
    """The command and everything it starts; use it in a `with`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port, self.api_port = _free_port(), _free_port()
        self.log = home.with_name(f"{home.name}.log")
        self.environment = {**clean_environment(home), **NO_CLOCK}
        self.process: subprocess.Popen[bytes] | None = None

    def words(self) -> Sequence[str | Path]:
        """What is started."""
        outreach = Path(sysconfig.get_path("scripts")) / "outreach"
        return [outreach, "dev", "--port", str(self.port), "--api-port", str(self.api_port)]

    def __enter__(self) -> Self:
        """Start it and wait until it answers, its code is loaded and its daemons are well."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.words(),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            until(self._is_ready, seconds=START_SECONDS, what="outreach dev to be ready")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """Ctrl-C, as often as a person would press it: once. Kills what is left; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(STOP_SECONDS)
            until(lambda: not self.processes(), seconds=STOP_SECONDS, what="its processes to end")
        finally:
            for pid in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return code

    def processes(self) -> dict[int, str]:
        """What runs with this home in its environment or arguments: command line by pid."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes()
                if os.fsencode(self.home) in words + (folder / "environ").read_bytes():
                    found[int(folder.name)] = words.replace(b"\0", b" ").decode(errors="replace")
        return found

    def ask(self, query: str, **variables: object) -> Any:
        """The answer to a GraphQL query; an error in it fails the test."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
            said = json.load(answer)
        assert "errors" not in said, said["errors"]
        return said["data"]

    def launch_backfill(self, keys: Sequence[str], states: Sequence[str] | None = None) -> str:
        """Backfill these assets over these states, or over all: the backfill's id."""
        asked: dict[str, object] = {"assetSelection": [_path(key) for key in keys]}
        asked |= {"allPartitions": True} if states is None else {"partitionNames": list(states)}
        said = self.ask(LAUNCH_BACKFILL, asked=asked)["launchPartitionBackfill"]
        return str(said["backfillId"])

    def launch_run(self, keys: Sequence[str], tags: Mapping[str, str]) -> str:
        """One run of these assets, as the UI's Materialize button asks for it: the run's id."""
        asked = {
            "mode": "default",
            "selector": {
                "repositoryLocationName": "outreach",
                "repositoryName": "__repository__",
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [_path(key) for key in keys],
                "assetCheckSelection": None,
            },
            "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in tags.items()]},
        }
        said = self.ask(LAUNCH_RUN, asked=asked)["launchPipelineExecution"]
        assert said["__typename"] == "LaunchRunSuccess", said
        return str(said["run"]["id"])

    def runs(self, **tags: str) -> list[Event]:
        """The runs with these tags, the newest first; `dagster_x` stands for `dagster/x`."""
        asked = [{"key": k.replace("_", "/", 1), "value": v} for k, v in tags.items()]
        found: list[Event] = self.ask(RUNS, tags=asked)["runsOrError"]["results"]
        return found

    def ended_backfill(self, backfill: str) -> list[Event]:
        """The runs of a backfill, once there are some and all have ended."""

        def ended() -> list[Event]:
            runs = self.runs(dagster_backfill=backfill)
            return runs if all(run["status"] in ENDED for run in runs) else []

        return until(ended, seconds=RUN_SECONDS, what=f"the runs of backfill {backfill}")

    def ended_backfill_status(self, backfill: str) -> str:
        """What Dagster makes of a backfill; it looks every 30 s."""
        query = "query ($id: String!) { partitionBackfillOrError(backfillId: $id) { "
        query += "... on PartitionBackfill { status } } }"

        def ended() -> str:
            status = str(self.ask(query, id=backfill)["partitionBackfillOrError"]["status"])
            return "" if status == "REQUESTED" else status

        return until(ended, seconds=RUN_SECONDS, what=f"backfill {backfill} to end")

    def ended_run(self, run_id: str) -> str:
        """A run's status once it has ended."""
        query = "query ($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"

        def ended() -> str:
            status = str(self.ask(query, run=run_id)["runOrError"]["status"])
            return status if status in ENDED else ""

        return until(ended, seconds=RUN_SECONDS, what=f"run {run_id} to end")

    def events(self, run_id: str) -> list[Event]:
        """Everything a run has logged so far."""
        found: list[Event] = []
        page: Any = {"hasMore": True, "cursor": None}
        while page["hasMore"]:
            page = self.ask(EVENTS, run=run_id, after=page["cursor"])["logsForRun"]
            found += page["events"]
        return found

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            said = self.ask(READY)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        entries = said["workspaceOrError"]["locationEntries"]
        daemons = said["instance"]["daemonHealth"]["allDaemonStatuses"]
        loaded = [e["loadStatus"] == "LOADED" and e["locationOrLoadError"] for e in entries]
        well = [daemon["healthy"] for daemon in daemons if daemon["required"]]
        return bool(loaded) and all(loaded) and bool(well) and all(well)


def clean_environment(home: Path) -> dict[str, str]:
    """This process's environment with OUTREACH_HOME alone of all our settings."""
    ours = {name.upper(): "" for name in Settings.model_fields}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DAGSTER_")}
    # Empty rather than absent, because a developer's .env fills in what is absent.
    return {**kept, **ours, "OUTREACH_HOME": str(home)}


def _path(key: str) -> dict[str, list[str]]:
    return {"path": key.split("/")}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
