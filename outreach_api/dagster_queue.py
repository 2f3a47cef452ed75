"""Asks Dagster's webserver for a run, over GraphQL: the push of a task that waits.

Knows the run's name and nothing of pipelines. The answer is awaited for seconds at most, and a
webserver that is not there costs as little: the sweep does it then.
"""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from threading import BoundedSemaphore

from outreach_api.collaborators import TaskQueue
from outreach_core.errors import RetryableError
from outreach_core.task_runs import JOB, LOCATION, TASK_TAG, run_config_of

TIMEOUT_SECONDS = 10
MOST_AT_ONCE = 16
"""Each holds one of the forty threads that answer requests; a webserver that hangs must not have
all of them."""

MOST_BYTES = 1024 * 1024
LAUNCH = """
mutation Launch($asked: ExecutionParams!) {
  launchRun(executionParams: $asked) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
  }
}"""


class NotPushedError(RetryableError):
    """Dagster did not take it: the task waits for the sweep."""


class DagsterQueue(TaskQueue):
    """Pushes to the webserver at this address (OUTREACH_UI_URL)."""

    def __init__(self, ui_url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url, self._timeout = f"{ui_url.rstrip('/')}/graphql", timeout_seconds
        self._free = BoundedSemaphore(MOST_AT_ONCE)

    def push(self, task_id: str) -> None:
        """See TaskQueue. Raises NotPushedError."""
        if not self._free.acquire(blocking=False):
            raise NotPushedError(f"{MOST_AT_ONCE} others wait for Dagster's webserver to answer")
        try:
            said = self._ask({"query": LAUNCH, "variables": {"asked": _asked(task_id)}})
        finally:
            self._free.release()
        try:
            kind = said["data"]["launchRun"]["__typename"]  # type: ignore[index]
        except (KeyError, TypeError):
            kind = "no answer to the question"
        if kind != "LaunchRunSuccess":
            raise NotPushedError(f"Dagster did not launch {JOB}: {kind}")

    def _ask(self, words: Mapping[str, object]) -> Mapping[str, object]:
        request = urllib.request.Request(  # noqa: S310 checked as http(s) by the settings
            self._url, json.dumps(words).encode(), {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:  # noqa: S310
                said = json.loads(answer.read(MOST_BYTES))
        except (OSError, http.client.HTTPException, ValueError) as error:
            says = error.reason if isinstance(error, urllib.error.URLError) else error
            raise NotPushedError(
                f"Dagster's webserver (OUTREACH_UI_URL) did not answer: {type(says).__name__}"
            ) from None
        return said if isinstance(said, dict) else {}


def _asked(task_id: str) -> Mapping[str, object]:
    return {
        "selector": {
            "repositoryLocationName": LOCATION,
            "repositoryName": "__repository__",
            "jobName": JOB,
        },
        "runConfigData": run_config_of(task_id),
        "executionMetadata": {"tags": [{"key": TASK_TAG, "value": task_id}]},
    }
