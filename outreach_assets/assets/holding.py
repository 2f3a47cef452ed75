"""Which states a run must not publish, and what becomes of them.

The switches themselves are in steps/kill_switches.py; the op that asks is in tables.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from pydantic import Field

from b2_resources.object_store import ObjectStore
from outreach_assets.assets.at_work import Release, RunAtWork, row_counts
from outreach_assets.steps.hold import set_aside
from outreach_assets.steps.kill_switches import KillSwitches, Tripped, tripped
from outreach_assets.steps.manifest import Manifest
from outreach_assets.steps.record import Status
from outreach_assets.steps.still_exported import is_published
from outreach_assets.steps.upload import drop_unpublished
from outreach_assets.steps.validate import StateVerdict
from outreach_assets.tables.table import Table
from outreach_core.errors import OutreachError, PermanentError


class ReleaseUnsignedError(PermanentError):
    """A release that does not say by whom or why."""


class RefreshConfig(dg.Config):
    """What somebody may decide for one run."""

    released_by: str = Field(default="", description="Who releases; needed with the next one.")
    release_because: str = Field(
        default="",
        description="Why states that a kill switch would hold are published all the same; empty: "
        "they are held. Goes into the audit log.",
    )

    @property
    def release(self) -> Release | None:
        """The two together. Raises ReleaseUnsignedError when only one is given."""
        if bool(self.released_by) != bool(self.release_because):
            raise ReleaseUnsignedError(
                "a release needs both released_by and release_because: the audit log keeps them"
            )
        if not self.released_by:
            return None
        return Release(by=self.released_by, because=self.release_because)


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What it takes to say whether a state may be published."""

    store: ObjectStore
    """Where what was published last lies."""

    tables: Sequence[Table]
    switches: KillSwitches

    def tripped(
        self, state: str, judged: Mapping[str, StateVerdict], last: Manifest | None
    ) -> list[Tripped]:
        """The switches that hold these rows; none when they are what was published last."""
        if last is not None and is_published(last, self.tables, judged):
            return []
        return tripped(self.switches, state, judged, last)


def keep_aside(
    work: RunAtWork,
    store: ObjectStore,
    exports: Path,
    manifest: Manifest,
) -> None:
    """Keep a held state's files where people can look at them and readers do not."""
    there = work.in_store[manifest.state]
    try:
        if isinstance(there, OutreachError):
            raise there
        receipt = set_aside(store, exports, manifest, there.held)
        drop_unpublished(exports, manifest.state, there.versions)
    except OutreachError as problem:
        work.fail(manifest.state, problem)
        return
    error = "; ".join(manifest.held)
    work.end(manifest.state, Status.HELD, error=error, kept_aside=receipt, **row_counts(manifest))
    work.context.log.warning(
        "%s is held: %s. Look at %s", manifest.state, error, store.place_of(receipt)
    )
