"""Backblaze's event notifications: a file in an inbox is told of, and nobody need list the bucket.

A rule of the bucket posts here (`b2:ObjectCreated:*`, prefix `users/`), signed with the rule's
secret. Backblaze waits three seconds and delivers at least once: what is announced is written down,
answered, and then taken in; what a kill keeps from it is found by inbox_sensor.
"""

import hmac
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Header, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from b2_resources.inbox import Fate, Inbox, settle
from b2_resources.keys import inbox_place
from outreach_api.asking import Given
from outreach_api.collaborators import B2Events, Collaborators
from outreach_api.refusals import ErrorCode, RefusedError
from outreach_api.schemas import Shown
from outreach_api.task_routes import push
from outreach_core.drops import AnnouncedDrop, announce_drops
from outreach_core.errors import OutreachError

CREATED = "b2:ObjectCreated:"
"""How the types of the events begin that bring a file: Upload, MultipartUpload, Copy …"""

SWEPT_AFTER = timedelta(minutes=1)
"""Then inbox_sensor takes in what this process has not."""

logger = logging.getLogger(__name__)


class B2Event(BaseModel):
    """One of a delivery; types and fields that Backblaze adds later change nothing."""

    model_config = ConfigDict(extra="ignore")

    event_type: Annotated[str, Field(alias="eventType")]
    bucket: Annotated[str, Field(alias="bucketName")]
    key: Annotated[str | None, Field(alias="objectName")] = None
    """None in a test event."""


class B2Delivery(BaseModel):
    """What a rule posts: up to 50 events."""

    model_config = ConfigDict(extra="ignore")

    events: list[B2Event]


class EventsTaken(Shown):
    """How many events told of a file in an inbox."""

    announced: int


def b2_event_router(source: B2Events) -> APIRouter:
    """The route of this bucket's events."""
    router, taker = APIRouter(tags=["service"]), _Taker()

    @router.post(source.path)
    def take_events(
        body: Annotated[bytes, Depends(_body_of)],
        given: Given,
        background: BackgroundTasks,
        signature: Annotated[
            str, Header(alias="x-bz-event-notification-signature", max_length=2000)
        ] = "",
    ) -> EventsTaken:
        """For Backblaze alone: needs no token, but the signature of the event rule."""
        _check_signature(source, body, signature)
        keys = _dropped(source, body)
        if keys:
            background.add_task(taker.take_in, given, _announced(given, keys))
        return EventsTaken(announced=len(keys))

    return router


async def _body_of(request: Request) -> bytes:
    return await request.body()


def _check_signature(source: B2Events, body: bytes, said: str) -> None:
    """Raises RefusedError unless one of the signatures is the body's."""
    right = f"v1={hmac.new(source.secret, body, 'sha256').hexdigest()}".encode()
    given = [one.strip().encode(errors="replace") for one in said.split(",")]
    if not any([hmac.compare_digest(right, one) for one in given]):  # noqa: C419 all, for the time
        raise RefusedError(
            401,
            ErrorCode.UNAUTHORIZED,
            "this is not signed with the event rule's secret (OUTREACH_B2_EVENT_SECRET)",
        )


def _dropped(source: B2Events, body: bytes) -> list[str]:
    """The keys of files that came into an inbox. Raises RefusedError."""
    try:
        events = B2Delivery.model_validate_json(body).events
    except ValidationError:
        raise RefusedError(
            422, ErrorCode.INVALID_REQUEST, "this is no delivery of Backblaze's event notifications"
        ) from None
    if any(event.bucket != source.bucket for event in events):
        raise RefusedError(
            403, ErrorCode.NOT_ALLOWED, "these events are of another bucket than B2_BUCKET"
        )
    keys = [event.key for event in events if event.event_type.startswith(CREATED)]
    return sorted({key for key in keys if key is not None and inbox_place(key) is not None})


def _announced(given: Collaborators, keys: Sequence[str]) -> list[AnnouncedDrop]:
    now = given.now()
    with given.database.connect() as connection:
        announce_drops(connection, keys, now=now, due_at=now + SWEPT_AFTER)
    return [AnnouncedDrop(key=key, announced_at=now) for key in keys]


class _Taker:
    """Takes in one drop after the other, however many deliveries come at once.

    Each holds a connection while its bytes are copied, and requests need some too.
    """

    def __init__(self) -> None:
        self._waiting: SimpleQueue[AnnouncedDrop] = SimpleQueue()
        self._at_work = Lock()

    def take_in(self, given: Collaborators, drops: Sequence[AnnouncedDrop]) -> None:
        """Here, or by whoever is at work; an error leaves the rest to the sweep."""
        for drop in drops:
            self._waiting.put(drop)
        # Asked again after each round: one may have come when the round was just over.
        while not self._waiting.empty() and self._at_work.acquire(blocking=False):
            try:
                self._round(given)
            finally:
                self._at_work.release()

    def _round(self, given: Collaborators) -> None:
        inbox = Inbox(
            store=given.store,
            connect=given.database.connect,
            tool_ids=list(given.tools),
            most_open=given.limits.open_tasks,
            now=given.now,
        )
        is_well = True
        with suppress(Empty):
            while True:
                drop = self._waiting.get_nowait()
                if is_well:
                    is_well = _is_settled(given, inbox, drop)


def _is_settled(given: Collaborators, inbox: Inbox, drop: AnnouncedDrop) -> bool:
    try:
        taken = settle(inbox, drop)
    except OutreachError as error:
        logger.warning("dropped files wait for the sweep: %s", error)
        return False
    if taken.fate is Fate.QUEUED and taken.task_id is not None:
        push(given, taken.task_id)
    return True
