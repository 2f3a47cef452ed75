"""What Dagster knows that the alerts want to know: runs that ended, their checks, stale assets.

Sightings only; what becomes of them is in steps/alerts/causes.py. How a state ended is
said by its audit row, which a check or a run does not say again.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from b2_resources.keys import snapshot_place
from outreach_assets.assets.chain import chain
from outreach_assets.jobs import REFRESH_TABLES
from outreach_assets.steps.alerts.causes import Kind, Sighting, Trouble
from outreach_assets.steps.alerts.sightings import KINDS, run_link, state_cause
from outreach_core.states import ALL_STATES

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
OVERLAP = timedelta(seconds=60)
"""Looked at again: a run that ended before another may be stored after it."""

MOST_RUNS = 500
"""At one tick; more than can end within the overlap, or the next tick would get the same ones."""

PARTITION = "dagster/partition"
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
CHAIN = {spec.key for spec in chain()}
NO_PLACE = ""

Recorded = Mapping[tuple[str, str], str]
"""By run and state, how the audit log says it ended, or `open`."""


def ended_runs(instance: dg.DagsterInstance, since: datetime) -> list[dg.RunRecord]:
    """The runs that ended after that, and a little before, oldest first."""
    found = instance.get_run_records(
        dg.RunsFilter(statuses=ENDED, updated_after=since - OVERLAP),
        limit=MOST_RUNS,
        order_by="update_timestamp",
        ascending=True,
    )
    return list(found)


def updated_at(record: dg.RunRecord) -> datetime:
    """When the run was stored last; Dagster gives it in UTC without saying so."""
    return record.update_timestamp.replace(tzinfo=UTC)


def run_sightings(
    instance: dg.DagsterInstance, record: dg.RunRecord, recorded: Recorded
) -> Iterator[Sighting]:
    """How the run ended in each of its places, where no audit row says so."""
    run = record.dagster_run
    failed = run.status is dg.DagsterRunStatus.FAILURE
    is_chain = run.job_name == REFRESH_TABLES or bool(CHAIN & set(run.asset_selection or ()))
    if is_chain and not failed:
        return
    name = _name_of(run)
    sentence = _error_of(instance, run.run_id) if failed else ""
    for state in _places(run):
        if (run.run_id, state) in recorded:
            continue
        place = state if is_chain and state else " ".join(filter(None, [name, state]))
        yield Sighting(
            cause=state_cause(state) if is_chain and state else f"run:{name}:{state}",
            at=_ended_at(record),
            link=run_link(run.run_id),
            trouble=Trouble(kind=Kind.FAILED, place=place, sentence=sentence) if failed else None,
        )


def check_sightings(
    instance: dg.DagsterInstance, record: dg.RunRecord, recorded: Recorded
) -> Iterator[Sighting]:
    """How each check of the run came out, state by state.

    Nothing is said of a state that the same run held or that failed: that is told already.
    """
    run = record.dagster_run
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        if entry.dagster_event is None:
            continue
        check = entry.dagster_event.asset_check_evaluation_data
        name = f"{check.asset_key.to_user_string()} {check.check_name}"
        places = _places(run)
        problems = {} if check.passed else _problems(check, places)
        for place in places:
            if recorded.get((run.run_id, place)) in KINDS:
                continue
            yield Sighting(
                cause=f"check:{name}:{place}",
                at=_ended_at(record),
                link=run_link(run.run_id),
                trouble=Trouble(
                    kind=Kind.CHECK,
                    subject=check.check_name,
                    place=" ".join(filter(None, [check.asset_key.to_user_string(), place])),
                    sentence=problems[place],
                )
                if place in problems
                else None,
            )


def freshness_sightings(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey]
) -> Iterator[Sighting]:
    """Which of the assets that have a freshness policy are stale, as the daemon found last."""
    for key, record in instance.get_freshness_state_records(keys).items():
        state, name = record.freshness_state.value, key.to_user_string()
        if state not in ("PASS", "WARN", "FAIL"):
            continue  # no policy, or never materialized
        yield Sighting(
            cause=f"stale:{name}",
            at=record.updated_at,
            link=f"assets/{name}",
            trouble=Trouble(
                kind=Kind.STALE,
                place=name,
                sentence="it was not materialized within the time its freshness policy allows",
            )
            if state == "FAIL"
            else None,
        )


def _places(run: dg.DagsterRun) -> Sequence[str]:
    """The states of the run; one place without a name where it has none."""
    if run.tags.get(PARTITION) in ALL_STATES:
        return [run.tags[PARTITION]]
    first, last = (run.tags.get(tag) for tag in RANGE)
    if first in ALL_STATES and last in ALL_STATES:
        return ALL_STATES[ALL_STATES.index(first) : ALL_STATES.index(last) + 1]
    return [NO_PLACE]


def _name_of(run: dg.DagsterRun) -> str:
    """What ran: the assets that somebody chose, or the job."""
    if run.asset_selection:
        return ", ".join(sorted(key.to_user_string() for key in run.asset_selection))
    return run.job_name


def _ended_at(record: dg.RunRecord) -> datetime:
    if record.end_time is None:
        return updated_at(record)
    return datetime.fromtimestamp(record.end_time, UTC)


def _problems(check: dg.AssetCheckEvaluation, places: Sequence[str]) -> dict[str, str]:
    """By place, what is wrong: a check of ours names each state, or an object of it."""
    found: dict[str, str] = {}
    for label, value in check.metadata.items():
        place = _state_in(label)
        if place is not None and place in places and isinstance(value.value, str):
            found[place] = "; ".join(filter(None, [found.get(place), value.value]))
    # Other metadata are numbers that differ every day: they are on the run's page.
    return found or dict.fromkeys(places, check.description or "the run's page shows what it found")


def _state_in(label: str) -> str | None:
    if label in ALL_STATES:
        return label
    of_object = snapshot_place(label)
    return of_object.state if of_object else None


def _error_of(instance: dg.DagsterInstance, run_id: str) -> str:
    """Why the run failed: our own sentence where it is one of our errors, else only what kind."""
    types = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    says = "it failed before its first step"
    for entry in instance.all_logs(run_id, of_type=types):
        event = entry.dagster_event
        if event is None or not event.is_step_failure:
            continue
        failure, error = event.step_failure_data.user_failure_data, event.step_failure_data.error
        if failure is not None and failure.description:
            return failure.description
        if error is not None:
            says = f"{(error.cause or error).cls_name} in {event.step_key}"
    return f"{says}; the run's page says more"
