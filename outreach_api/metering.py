"""Figures for Prometheus: requests, how long they took, how they ended; and tasks by status.

Where several processes serve one port, each writes its counts to a folder that all of them share.
"""

import time
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from outreach_core.tasks import TaskStatus

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Meters:
    """The counts of one process."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "outreach_api_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "outreach_api_request_seconds",
            "Until the answer began.",
            ["method", "route"],
            buckets=SECONDS,
            registry=self._registry,
        )

    def note(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """One request more."""
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self, tasks: Mapping[TaskStatus, int]) -> bytes:
        """All of it as Prometheus reads it, with the number of tasks in each status."""
        now = CollectorRegistry()
        gauge = Gauge("outreach_tasks", "Tasks by status.", ["status"], registry=None)
        for status, count in tasks.items():
            gauge.labels(status.value).set(count)
        now.register(gauge)
        counts = self._registry
        if self._folder is not None:
            counts = CollectorRegistry()
            MultiProcessCollector(counts, path=str(self._folder))  # type: ignore[no-untyped-call]
        return generate_latest(counts) + generate_latest(now)


class Metering:
    """ASGI middleware around everything: notes each request by its route, never by its path."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, seconds, status = time.monotonic(), 0.0, 500

        async def noting(message: Message) -> None:
            nonlocal seconds, status
            if message["type"] == "http.response.start":
                seconds, status = time.monotonic() - began, message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            # A path or a method that nobody knows must not become a series of its own.
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if route != "none" else "any"
            self._meters.note(method=method, route=route, status=status, seconds=seconds)
