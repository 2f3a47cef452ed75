"""States that changed, as runs to ask Dagster for: not what it is at work on or tried just now.

Whether a state has changed is found out in steps/changed_states.py.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from outreach_assets.assets.chain import chain
from outreach_assets.steps.changed_states import Comparison
from outreach_core.states import ALL_STATES, contiguous_ranges

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
CHANGED_TAG = "outreach/changed"
"""On each run asked for here: by state, the token of its change, as JSON."""

WHAT_TAG = "outreach/what_changed"
ASKED_BY_TAG = "outreach/asked_by"
ASKED_BY = "a change"

PAUSES = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4), timedelta(hours=16))
"""How long a state is left alone after its first failed run, its second, and so on."""

ATTEMPTS = 1_000
"""How many failed runs are looked through, the newest first."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def busy_states(instance: dg.DagsterInstance) -> set[str]:
    """The states for which a run of the chain waits in the queue or is at work."""
    ours = {spec.key for spec in chain()}
    return {
        state
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
        # A job's run names no assets; of our jobs, only the chain's has partitions.
        if run.asset_selection is None or ours & run.asset_selection
        for state in states_of(run.tags)
    }


def states_of(tags: Mapping[str, str]) -> list[str]:
    """The states a run is over, from its tags; none for a run without partitions."""
    first = tags.get(RANGE_START) or tags.get("dagster/partition")
    last = tags.get(RANGE_END) or tags.get("dagster/partition")
    if first not in ALL_STATES or last not in ALL_STATES:
        return []
    return list(ALL_STATES[ALL_STATES.index(first) : ALL_STATES.index(last) + 1])


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """The runs that have failed."""

    ended: Mapping[tuple[str, str], Sequence[datetime]]
    """When, by state and the token of the change they were asked for."""

    def failed(self, state: str, change: Comparison) -> int:
        """How often a run has failed for this very change."""
        return len(self.ended.get((state, change.token), ()))

    def next_after(self, state: str, change: Comparison) -> datetime | None:
        """Until when the state is to be left alone; None when no run has failed."""
        ended = self.ended.get((state, change.token))
        if not ended:
            return None
        return max(ended) + PAUSES[min(len(ended), len(PAUSES)) - 1]


NO_ATTEMPTS = Attempts(ended={})


def failed_attempts(instance: dg.DagsterInstance) -> Attempts:
    """Those among the runs that were asked for here, however long ago: run keys count them."""
    asked_here = dg.RunsFilter(statuses=FAILED, tags={ASKED_BY_TAG: ASKED_BY})
    ended: dict[tuple[str, str], list[datetime]] = {}
    for record in instance.get_run_records(asked_here, limit=ATTEMPTS):
        asked: dict[str, str] = json.loads(record.dagster_run.tags[CHANGED_TAG])
        for change in asked.items():
            ended.setdefault(change, []).append(record.update_timestamp)
    return Attempts(ended=ended)


def requests_for(changes: Mapping[str, Comparison], attempts: Attempts) -> list[dg.RunRequest]:
    """One run per range of neighbouring states.

    The run key names the changes and how often they were tried, so that the same decision taken
    twice is one run, and one that failed does not stand in its own way.
    """
    requests = []
    for states in contiguous_ranges(changes):
        tokens = {state: changes[state].token for state in states}
        tried = max(attempts.failed(state, changes[state]) for state in states)
        asked = json.dumps(tokens)
        what = dict.fromkeys(word for state in states for word in changes[state].what)
        requests.append(
            dg.RunRequest(
                run_key=f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}-{tried}",
                tags={
                    RANGE_START: states[0],
                    RANGE_END: states[-1],
                    ASKED_BY_TAG: ASKED_BY,
                    CHANGED_TAG: asked,
                    WHAT_TAG: ", ".join(what),
                },
            )
        )
    return requests
