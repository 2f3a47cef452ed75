"""`outreach run`: states from Neon to published Parquet, in this process.

The run is recorded in the same Dagster instance that the UI shows.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.exit_codes import FAILED, PARTLY
from outreach_assets.command_line.instance import (
    open_instance,
    prepare_home,
    start_database_meanwhile,
)
from outreach_assets.command_line.show import RunProgress, print_json, print_table
from outreach_core.errors import OutreachError, SettingsError
from outreach_core.life_marks import marked_alive, sweep_dead
from outreach_core.states import ALL_STATES, checked_states, contiguous_ranges

if TYPE_CHECKING:
    import dagster as dg

    from outreach_core.settings import Settings

GONE_WELL = {"published", "unchanged"}
INTERRUPTS = {"DagsterExecutionInterruptedError", "KeyboardInterrupt"}
RUNS_FOLDER = "runs"
"""Below OUTREACH_HOME: a mark for each run of this command that is alive."""


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """What a call came to: one Dagster run per range of neighbouring states."""

    run_ids: Sequence[str]
    seconds: float
    states: Mapping[str, Mapping[str, Any]]
    """By state, the details of its audit row (shq.audit_log)."""

    error: str | None

    @property
    def exit_code(self) -> int:
        """0 when every state went well, 3 when some did, 1 when none did."""
        went_well = [s for s in self.states.values() if s["status"] in GONE_WELL]
        if self.error is None and len(went_well) == len(self.states):
            return 0
        held = any(s["status"] == "held" for s in self.states.values())
        return PARTLY if went_well or held else FAILED


def run(
    state: Annotated[
        list[str] | None, typer.Option("--state", "-s", help="A state's code; may be repeated.")
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Every state, and the rows without one.")
    ] = False,
    changed: Annotated[
        bool, typer.Option("--changed", help="States that are not as in their last run.")
    ] = False,
    release: Annotated[
        str | None,
        typer.Option(
            "--release",
            metavar="WHY",
            help="Publish what a kill switch would hold; the audit log keeps who and why.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Pull, judge and publish states, in this process, and say how each came out.

    Examples: `outreach run --state WV` · `outreach run -s WV -s PA` · `outreach run --all --json` ·
    `outreach run --changed` ·
    `outreach run --state WV --release "the intake dropped old rows, agreed with Sam"`
    """
    if [bool(state), everything, changed].count(True) != 1:
        raise SettingsError("say which states: --state WV (may be repeated), --all, or --changed")
    if release is not None and not release.strip():
        raise SettingsError('--release needs a reason: --release "why it may be published"')
    asked_for = checked_states(state or [])
    settings = load_settings()
    states = ALL_STATES if everything else asked_for or _changed(settings)
    outcome = refresh_states(settings, states, release)
    if as_json:
        print_json(as_object(outcome))
    elif states:
        print_outcome(outcome)
    else:
        typer.echo("nothing has changed")
    if outcome.error:
        typer.secho(f"error: {outcome.error}", fg="red", err=True)
    raise typer.Exit(outcome.exit_code)


def _changed(settings: "Settings") -> tuple[str, ...]:
    """The states that have changed since their last run, or are gone from the store."""
    from b2_resources.build_store import build_store  # noqa: PLC0415 heavy
    from outreach_assets.steps.changed_states import due_states  # noqa: PLC0415 imports DuckDB
    from outreach_assets.steps.kill_switches import KillSwitches  # noqa: PLC0415
    from outreach_assets.tables.catalogue import tables_for  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    prepare_home(settings)
    tables, switches = tables_for(settings.outreach_company_not_valid), KillSwitches.of(settings)
    return tuple(due_states(open_neon(settings), tables, switches, build_store(settings)))


def refresh_states(
    settings: "Settings", states: Sequence[str], release: str | None = None
) -> RunOutcome:
    """Run the chain over the states with a progress display; returns how each state ended.

    `release` says why states are published that a kill switch would hold.
    """
    prepare_home(settings)
    if settings.uses_embedded_postgres:
        start_database_meanwhile(settings)
    began = time.monotonic()
    with RunProgress(len(states)) as progress:
        runs = [_run_range(settings, part, progress, release) for part in contiguous_ranges(states)]
    errors = [error for _, error in runs if error]
    run_ids = [run_id for run_id, _ in runs]
    return RunOutcome(
        run_ids=run_ids,
        seconds=round(time.monotonic() - began, 1),
        states=_endings(settings, run_ids, states, errors),
        error="\n".join(errors) or None,
    )


def _run_range(
    settings: "Settings", states: Sequence[str], progress: RunProgress, release: str | None
) -> tuple[str, str | None]:
    """One Dagster run over neighbouring states: its id, and the error it ended with."""
    from outreach_assets.assets.at_work import report_dead  # noqa: PLC0415
    from outreach_assets.definitions import build_defs  # noqa: PLC0415 imports Dagster: seconds
    from outreach_assets.jobs import REFRESH_TABLES  # noqa: PLC0415
    from outreach_assets.retries import ONCE_TAG  # noqa: PLC0415
    from outreach_assets.steps.private_duckdb import disk_errors  # noqa: PLC0415
    from outreach_core.audit import WHO_TAG, operator  # noqa: PLC0415

    job = build_defs(settings, {"progress": progress}).resolve_job_def(REFRESH_TABLES)
    run_id = str(uuid4())
    marks = settings.home / RUNS_FOLDER
    with open_instance() as instance, disk_errors(settings.home), marked_alive(marks, run_id):
        for dead in sweep_dead(marks):
            report_dead(instance, dead, still_alive=None)
        with _interrupts(settings, instance, run_id):
            result = job.execute_in_process(
                run_id=run_id,
                instance=instance,
                raise_on_error=False,
                tags={
                    "dagster/asset_partition_range_start": states[0],
                    "dagster/asset_partition_range_end": states[-1],
                    "outreach/started_by": "outreach run",
                    WHO_TAG: operator(),
                    ONCE_TAG: "true",
                },
                run_config={
                    # What the run logs is in the UI; here the progress display speaks.
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                    **_released(release),
                },
            )
            error = _error_of(result)
    return run_id, error


def _released(because: str | None) -> dict[str, object]:
    if because is None:
        return {}
    from outreach_core.audit import operator  # noqa: PLC0415 imports psycopg

    decided = {"released_by": operator(), "release_because": because}
    return {"ops": {"outreach_tables": {"config": decided}}}


def _error_of(result: "dg.ExecuteInProcessResult") -> str | None:
    """Why the run failed, for a person. Raises KeyboardInterrupt when somebody ended it."""
    if result.success:
        return None
    failed = [e for e in result.all_events if e.is_step_failure]
    data = failed[0].step_failure_data if failed else None
    if data is not None and data.user_failure_data is not None:
        return data.user_failure_data.description
    if data is not None and data.error is not None:
        if data.error.cls_name in INTERRUPTS:
            raise KeyboardInterrupt
        return (data.error.cause or data.error).message.strip()
    return "the run failed before its first step; its log in the UI says why"


@contextmanager
def _interrupts(
    settings: "Settings", instance: "dg.DagsterInstance", run_id: str
) -> Iterator[None]:
    """Ctrl-C as Python knows it, also when it reaches us as Dagster's; the run is told of it."""
    import dagster as dg  # noqa: PLC0415 seconds

    from outreach_assets.steps.record import close_cancelled  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    try:
        yield
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        pass
    else:
        return
    # Ctrl-C may have come while the op was waiting for Dagster: then it does not hear of it.
    with suppress(OutreachError):  # without a database the run's next one writes them
        close_cancelled(open_neon(settings), run_id)
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_canceled(run, "somebody cancelled the run")
    raise KeyboardInterrupt


def _endings(
    settings: "Settings", run_ids: Sequence[str], states: Sequence[str], errors: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    """How each state ended: what its audit row says, or that the run never came to it."""
    from outreach_core.audit import events_of_run  # noqa: PLC0415 imports psycopg
    from outreach_core.neon import open_neon  # noqa: PLC0415
    from outreach_core.postgres import (  # noqa: PLC0415
        DatabaseRefusedError,
        DatabaseUnreachableError,
        UndefinedSchema,
        UndefinedTable,
    )

    endings: dict[str, Mapping[str, Any]] = {
        state: {"status": "failed", "error": "; ".join(errors)} for state in states
    }
    try:
        with open_neon(settings).connect() as connection:
            for run_id in run_ids:
                for details in events_of_run(connection, run_id):
                    endings[str(details["state"])] = details
    except (DatabaseRefusedError, DatabaseUnreachableError, UndefinedSchema, UndefinedTable):
        if not errors:
            raise  # otherwise the run's own error says what is wrong
    return endings


def as_object(outcome: RunOutcome) -> dict[str, Any]:
    """The outcome as `--json` prints it."""
    versions = [d["snapshot_version"] for d in outcome.states.values() if "snapshot_version" in d]
    return {
        "run_id": next(iter(outcome.run_ids), None),
        "run_ids": list(outcome.run_ids),
        "version": max(versions, default=None),
        "seconds": outcome.seconds,
        "error": outcome.error,
        "states": {state: _state_object(d) for state, d in outcome.states.items()},
    }


def _state_object(details: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "status": details["status"],
        "run_id": details.get("run_id"),
        "companies": _counts(details, "companies"),
        "people": _counts(details, "people"),
        "reasons": {name: n for name, n in details.get("reasons", {}).items() if n},
        "manifest": details.get("manifest"),
        "error": details.get("error"),
    }


def _counts(details: Mapping[str, Any], table: str) -> dict[str, int] | None:
    """Raw, good and bad; None when the run never came to count them."""
    if f"{table}_good" not in details:
        return None
    good, bad = details[f"{table}_good"], details[f"{table}_bad"]
    return {"raw": good + bad, "good": good, "bad": bad}


def print_outcome(outcome: RunOutcome) -> None:
    """The outcome as two tables, the states and the reasons."""
    from outreach_assets.tables.catalogue import TABLES  # noqa: PLC0415

    counted = [
        [
            state,
            details["status"],
            *[
                (_counts(details, table.name) or {}).get(kind)
                for table in TABLES
                for kind in ("raw", "good", "bad")
            ],
        ]
        for state, details in outcome.states.items()
    ]
    print_table(
        f"{len(counted)} state{'s' * (len(counted) != 1)} in {outcome.seconds} s",
        ["state", "status", *[c for t in TABLES for c in (t.name, "good", "bad")]],
        counted,
    )
    found = [details.get("reasons", {}) for details in outcome.states.values()]
    said = {name for reasons in found for name in reasons}  # warnings make no row bad
    totals = [
        [table.name, rule.name, sum(reasons.get(rule.name, 0) for reasons in found), rule.says]
        for table in TABLES
        for rule in table.rules
        if rule.name in said
    ]
    if any(found):
        print_table("why rows are bad", ["table", "reason", "rows", "good when"], totals)
