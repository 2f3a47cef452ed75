"""Who is told when something is wrong: how things stand, into the books, and from there to people.

Everything is found again at every tick, so a tick that dies or comes twice loses and repeats
nothing: the books (outreach_assets/steps/alerts/causes.py) know what was told. Only two things are
remembered here: up to where runs were looked at, and that the books themselves were away.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta

import dagster as dg

from b2_resources.resource import B2Resource
from outreach_assets.resources import AlertsResource, NeonResource
from outreach_assets.steps.alerts.causes import Sighting, note_sightings
from outreach_assets.steps.alerts.channels import (
    AlertNotSentError,
    AlertRefusedError,
    Channel,
    Message,
)
from outreach_assets.steps.alerts.delivery import deliver
from outreach_assets.steps.alerts.sightings import cleaned, recorded_statuses, state_sightings
from outreach_core.postgres import DatabaseRefusedError, DatabaseUnreachableError, Postgres
from sensors.ended_runs import (
    check_sightings,
    ended_runs,
    freshness_sightings,
    run_sightings,
    updated_at,
)

FIRST_LOOK_BACK = timedelta(days=1)
SEND_SECONDS = 25
"""No message is begun later: a sensor that takes 60 s is stopped."""

AWAY_TICKS = 2
"""So many ticks without the database are an alert; one is a network's hiccup."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The sensor's cursor."""

    runs_until: str = ""
    """When the last run that was looked at was stored (ISO 8601)."""

    away_ticks: int = 0
    away_told: list[str] = field(default_factory=list)
    """The channels that know that the database is away."""

    @classmethod
    def of(cls, cursor: str | None) -> "Memory":
        """What was remembered; nothing at first."""
        return cls(**json.loads(cursor)) if cursor else cls()

    def as_cursor(self) -> str:
        """For the next tick."""
        return json.dumps(asdict(self))


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells people of held and failed states and runs, failed checks and stale assets, "
    "once each. On at first: it does nothing while no OUTREACH_ALERT_ setting names a channel.",
)
def alerts_sensor(
    context: dg.SensorEvaluationContext, neon: NeonResource, b2: B2Resource, alerts: AlertsResource
) -> dg.SensorResult:
    """Tell people of held and failed states and runs, failed checks and stale assets, once each.

    Off while no channel is set.
    """
    channels = alerts.channels()
    if not channels:
        return dg.SensorResult(skip_reason="alerts are off: no OUTREACH_ALERT_ setting names one")
    memory = Memory.of(context.cursor)
    secrets = [*alerts.secrets(), *neon.secrets(), b2.application_key]
    try:
        postgres = neon.open()
        sightings, runs_until = _look(context, postgres, memory)
        note_sightings(postgres, cleaned(sightings, secrets), [c.key for c in channels])
        outcomes = deliver(postgres, channels, ui_url=alerts.ui_url, seconds=SEND_SECONDS)
    except (DatabaseUnreachableError, DatabaseRefusedError) as error:
        memory, outcomes = _away(memory, channels, alerts.ui_url, str(error))
    else:
        memory, back = _back(memory, channels, alerts.ui_url)
        memory, outcomes = replace(memory, runs_until=runs_until), [*outcomes, *back]
    problems = [problem for problem in outcomes if problem]
    for problem in problems:
        context.log.warning(problem)
    sent = len(outcomes) - len(problems)
    return dg.SensorResult(
        skip_reason="; ".join([f"{sent} messages sent", *problems]), cursor=memory.as_cursor()
    )


def _look(
    context: dg.SensorEvaluationContext, postgres: Postgres, memory: Memory
) -> tuple[list[Sighting], str]:
    """How everything stands, and up to where runs were looked at."""
    now = datetime.now(UTC)  # noqa: TID251 the edge: a tick is now
    since = (
        datetime.fromisoformat(memory.runs_until) if memory.runs_until else now - FIRST_LOOK_BACK
    )
    instance = context.instance
    runs = ended_runs(instance, since)
    recorded = recorded_statuses(postgres, [r.dagster_run.run_id for r in runs]) if runs else {}
    found = state_sightings(postgres)
    for run in runs:
        found += run_sightings(instance, run, recorded)
        found += check_sightings(instance, run, recorded)
    if context.repository_def is not None:
        keys = context.repository_def.asset_graph.get_all_asset_keys()
        found += freshness_sightings(instance, list(keys))
    until = max([since, *(updated_at(run) for run in runs)])
    return found, until.isoformat()


def _away(
    memory: Memory, channels: Sequence[Channel], ui_url: str, error: str
) -> tuple[Memory, list[str | None]]:
    """The books cannot be asked: say so to each channel once, from memory."""
    memory = replace(memory, away_ticks=memory.away_ticks + 1)
    if memory.away_ticks < AWAY_TICKS:
        return memory, [error]
    untold = [channel for channel in channels if channel.key not in memory.away_told]
    reached, outcomes = _say(untold, "failed: the database", error, ui_url)
    return replace(memory, away_told=[*memory.away_told, *reached]), [*outcomes, error]


def _back(
    memory: Memory, channels: Sequence[Channel], ui_url: str
) -> tuple[Memory, list[str | None]]:
    told = [channel for channel in channels if channel.key in memory.away_told]
    reached, outcomes = _say(told, "recovered: the database", "It can be reached again.", ui_url)
    unreached = [channel.key for channel in told if channel.key not in reached]
    return replace(memory, away_ticks=0, away_told=unreached), outcomes


def _say(
    channels: Sequence[Channel], title: str, sentence: str, ui_url: str
) -> tuple[list[str], list[str | None]]:
    reached: list[str] = []
    outcomes: list[str | None] = []
    for channel in channels:
        try:
            channel.send(Message(title=title, text=f"{title}\n{sentence}\n{ui_url}"))
        except (AlertNotSentError, AlertRefusedError) as error:
            outcomes.append(f"{channel.name}: {error}")
        else:
            reached.append(channel.key)
            outcomes.append(None)
    return reached, outcomes
