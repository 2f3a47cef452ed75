"""Files that people dropped into their inboxes, made into tasks: one round in each materialization.

What is done is in b2_resources/inbox.py; that something waits is noticed in sensors/inbox.py.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from b2_resources.inbox import Fate, Inbox, Taken, settle
from b2_resources.resource import B2Resource
from outreach_assets.assets.at_work import Result
from outreach_assets.assets.chain import OWNERS
from outreach_assets.resources import NeonResource
from outreach_assets.tools.catalogue import TOOLS
from outreach_core.drops import due_drops
from outreach_core.errors import OutreachError

TASK_INBOX = dg.AssetKey(["b2", "task_inbox"])
MOST_AT_ONCE = 200
"""In one run; the sensor asks for another while more wait."""


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 an edge: the moment of each drop's task


def build_inbox(open_tasks: int) -> dg.AssetsDefinition:
    """The asset; `open_tasks` is how many one user may have, as in the API."""

    @dg.multi_asset(
        name="task_inbox",
        specs=[
            dg.AssetSpec(
                TASK_INBOX,
                description="Files dropped under `users/<user>/inbox/<tool>/`, each a task of its "
                "own: its bytes are copied and pinned, then it leaves the inbox. One that no tool "
                "can have is a FAILED task that says why; one of nobody stays, and the audit log "
                "tells of it once.",
                group_name="tasks",
                owners=OWNERS,
                kinds={"s3", "postgres"},
            )
        ],
    )
    def task_inbox(neon: NeonResource, b2: B2Resource) -> Iterator[Result]:
        postgres = neon.open()
        inbox = Inbox(
            store=b2.create_store(),
            connect=postgres.connect,
            tool_ids=[tool.id for tool in TOOLS],
            most_open=open_tasks,
            now=_now,
        )
        try:
            taken = _round(inbox)
        except OutreachError as error:
            # What was taken in is; the rest is due again, and the sensor asks for it.
            raise dg.Failure(str(error), allow_retries=False) from error
        counts = Counter(one.fate for one in taken)
        yield dg.MaterializeResult(
            asset_key=TASK_INBOX,
            metadata={
                **{fate.value.lower(): counts[fate] for fate in Fate},
                "tasks": [one.task_id for one in taken if one.task_id],
            },
        )

    return task_inbox


def _round(inbox: Inbox) -> list[Taken]:
    with inbox.connect() as connection:
        due = due_drops(connection, now=inbox.now(), limit=MOST_AT_ONCE)
    return [settle(inbox, drop) for drop in due]
