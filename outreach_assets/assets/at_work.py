"""A run at work in its states: what it was asked for, what it found out, how each state ends.

The steps it takes are in tables.py; the claim and the audit rows behind it in steps/record.py.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from b2_resources.object_store import ObjectStore
from outreach_assets.assets.chain import Step, step_of
from outreach_assets.assets.chain_checks import WARNINGS
from outreach_assets.assets.observed_sources import observations
from outreach_assets.retries import will_retry
from outreach_assets.steps.changed_states import (
    Comparison,
    compared,
    place_published_to,
    record_versions,
)
from outreach_assets.steps.kill_switches import KillSwitches, Tripped, row_delta
from outreach_assets.steps.manifest import Manifest
from outreach_assets.steps.published import InStore, repair
from outreach_assets.steps.record import (
    CANCELLED_BY_SOMEBODY,
    Claim,
    Ending,
    OpenRun,
    Status,
    busy_error,
    claimed,
)
from outreach_assets.steps.source import Snapshot
from outreach_assets.steps.upload import Published
from outreach_assets.steps.validate import StateVerdict
from outreach_assets.tables.table import Table
from outreach_core.audit import started_by
from outreach_core.errors import OutreachError, PermanentError, RetryableError
from outreach_core.postgres import Postgres

Metadata = Mapping[str, Any]
"""What Dagster takes as metadata: its own values, strings, numbers."""

Result = dg.MaterializeResult[None] | dg.AssetCheckResult


class StatesNotPublishedError(PermanentError):
    """Some states were held or failed for good; all others are published."""


class StatesNotPublishedYetError(RetryableError):
    """Some states failed in a way that may pass; all others are published."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """Somebody publishes states knowingly that the kill switches would hold."""

    by: str
    because: str


@dataclass(kw_only=True)
class RunAtWork:
    """What one run knows about its states so far."""

    context: dg.AssetExecutionContext
    claim: Claim
    tables: Sequence[Table]
    """With the rules that this run judges by."""

    place: str
    """The store published to."""

    endings: dict[str, Ending] = field(default_factory=dict)
    """How states that are done have ended; the others are still going."""

    release: Release | None = None
    """Who publishes what the kill switches would hold, and why; None when nobody does."""

    in_store: dict[str, InStore | OutreachError] = field(default_factory=dict)
    """What the store held of the states when they were judged."""

    tripped: dict[str, Sequence[Tripped]] = field(default_factory=dict)
    """The kill switches that states have tripped."""

    failures: dict[str, OutreachError] = field(default_factory=dict)
    facts: dict[str, dict[str, object]] = field(default_factory=dict)
    """What is known of a state beyond its counts, for its audit row."""

    problems: dict[dg.AssetCheckKey, dict[str, Any]] = field(default_factory=dict)
    compared: Mapping[str, Comparison] = field(default_factory=dict)
    """By state, where the run pulls its rows itself and publishes them."""

    @property
    def states(self) -> Sequence[str]:
        """The states that are still going, in order."""
        return [state for state in self.claim.states if state not in self.endings]

    @property
    def first(self) -> Step:
        """Where the selection begins: with Neon's rows, or with what was exported before."""
        first = min(step_of(key) for key in self._selected)
        return Step.EXTRACT if first <= Step.EXPORT else Step.UPLOAD

    @property
    def last(self) -> Step:
        """Where the selection ends: nothing later is done."""
        return max(step_of(key) for key in self._selected)

    @property
    def _selected(self) -> set[dg.AssetKey]:
        checks = {check.asset_key for check in self.context.selected_asset_check_keys}
        return {*self.context.selected_asset_keys, *checks}

    @property
    def held(self) -> dict[str, list[str]]:
        """Why states must not be published; without those that somebody releases."""
        if self.release is not None:
            return {}
        return {state: [one.says for one in found] for state, found in self.tripped.items()}

    def last_published(self, state: str) -> Manifest | None:
        """The state's newest snapshot in the store; None also where the store gave no answer.

        What cannot be asked is not compared with; uploading fails there anyway.
        """
        there = self.in_store.get(state)
        return there.newest if isinstance(there, InStore) else None

    def end(self, state: str, status: Status, **details: object) -> None:
        """A state is done, for better or worse."""
        said = {**self.facts.get(state, {}), **details}
        self.endings[state] = Ending(status=status, details=said)

    def judged(
        self, state: str, verdicts: Mapping[str, StateVerdict], found: Sequence[Tripped]
    ) -> None:
        """What the kill switches said of a state; its audit row will say so too."""
        facts = self.facts.setdefault(state, {})
        last = self.last_published(state)
        if last is not None:
            facts["row_delta"] = row_delta(verdicts, last)
        facts["kill_switch_status"] = "passed"
        if found:
            self.tripped[state] = found
            facts["kill_switch_status"] = ", ".join(dict.fromkeys(one.switch for one in found))
            if self.release is not None:
                facts["released"] = {
                    "by": self.release.by,
                    "because": self.release.because,
                    "held_for": [one.says for one in found],
                }

    def fail(self, state: str, error: OutreachError) -> None:
        """A state cannot go on; the others do."""
        self.failures[state] = error
        self.end(state, Status.FAILED, error=str(error))

    def report(
        self, key: dg.AssetKey, facts: Callable[[str], Metadata], states: Sequence[str]
    ) -> Iterator[Result]:
        """Say that an asset is materialized in these states, each with its own metadata.

        In all states of the run: one result, which Dagster stores in one batch. In some of them:
        an event each, because a result would claim the states that were held as well.
        """
        if key not in self.context.selected_asset_keys:
            return
        if list(states) == list(self.claim.states):
            for state in states:
                self.context.add_asset_metadata(facts(state), asset_key=key, partition_key=state)
            yield dg.MaterializeResult(asset_key=key)
        else:
            for state in states:
                self.context.log_event(
                    dg.AssetMaterialization(key, partition=state, metadata=dict(facts(state)))
                )

    def found(self, check: str, key: dg.AssetKey, problems: Metadata) -> None:
        """What a check has found in some states: by state or object, what is wrong with it."""
        self.problems.setdefault(dg.AssetCheckKey(key, check), {}).update(problems)

    def checks(self) -> Iterator[Result]:
        """How the checks came out, once for the run: passed where no problem was found.

        One whose step the selection does not reach has nothing to say and says nothing.
        """
        for check in self.context.selected_asset_check_keys:
            if check in self.problems:
                problems = self.problems[check]
                yield dg.AssetCheckResult(
                    asset_key=check.asset_key,
                    check_name=check.name,
                    passed=not problems,
                    severity=_severity(check),
                    metadata={**problems, "states": len(self.claim.states)},
                )

    def compare(self, snapshot: Snapshot, switches: KillSwitches) -> None:
        """See what the states are made from, and tell Dagster which of the rows are new to us."""
        self.compared = compared(snapshot, self.tables, switches, self.states, self.place)
        new = {state: comparison.changed_versions for state, comparison in self.compared.items()}
        for observation in observations(new):
            self.context.log_event(observation)

    def remember(self) -> None:
        """Keep what the states that have ended were made from: nobody asks for them again."""
        postgres, run_id = self.claim.postgres, self.claim.run_id
        record_versions(postgres, self.place, self.compared, self.endings, run_id=run_id)

    def close(self) -> None:
        """Write the audit rows, and raise when a state was held or failed."""
        states_by_trouble: dict[str, list[str]] = {}
        for state, ending in self.endings.items():
            if ending.status in (Status.HELD, Status.FAILED):
                trouble = f"{ending.status}: {ending.details.get('error')}"
                states_by_trouble.setdefault(trouble, []).append(state)
        said = "; ".join(f"{', '.join(s)} {trouble}" for trouble, s in states_by_trouble.items())
        retryable = bool(self.failures) and all(
            isinstance(error, RetryableError) for error in self.failures.values()
        )
        if retryable and will_retry(self.context):
            # Nothing is closed: the next attempt finds these states as its own and closes them.
            self.claim.wait()
            raise StatesNotPublishedYetError(said)
        self.claim.close(self.endings)
        if said:
            raise (StatesNotPublishedYetError if retryable else StatesNotPublishedError)(said)


@contextmanager
def at_work(
    context: dg.AssetExecutionContext,
    postgres: Postgres,
    store: ObjectStore,
    tables: Sequence[Table],
    release: Release | None = None,
) -> Iterator[RunAtWork]:
    """The run's states for it alone, and an audit row for each of them however the block ends."""

    def abandoned(run: OpenRun) -> None:
        context.log.warning("%s: run %s died at work; tidying up after it", run.state, run.run_id)
        repair(store, run.state)
        report_dead(context.instance, run.run_id, still_alive=context.run.run_id)

    version = version_of(context)
    with claimed(
        postgres,
        context.partition_keys,
        run_id=context.run.run_id,
        version=version,
        abandoned=abandoned,
        who=started_by(context.run.tags),
    ) as claim:
        work = RunAtWork(
            context=context,
            claim=claim,
            tables=tables,
            place=place_published_to(store),
            release=release,
        )
        for state in claim.busy:
            work.fail(state, busy_error([state]))
        try:
            yield work
        except OutreachError as error:
            if isinstance(error, RetryableError) and will_retry(context):
                with suppress(OutreachError):  # the database may be what is away
                    claim.wait()
            else:
                _close_all(work, _failed(str(error)))
            raise
        except Exception as error:
            _close_all(work, _failed(type(error).__name__))
            raise
        except BaseException:  # Ctrl-C, or somebody cancelled the run
            _close_all(work, CANCELLED_BY_SOMEBODY)
            raise


def _failed(error: str) -> Ending:
    return Ending(status=Status.FAILED, details={"error": error})


def _severity(check: dg.AssetCheckKey) -> dg.AssetCheckSeverity:
    severity = dg.AssetCheckSeverity
    return severity.WARN if check.name in WARNINGS else severity.ERROR


def _close_all(work: RunAtWork, ending: Ending) -> None:
    open_states = [state for state in work.claim.states if state not in work.endings]
    work.claim.close({**work.endings, **dict.fromkeys(open_states, ending)})


def version_of(context: dg.AssetExecutionContext) -> str:
    """The run's UTC start as YYYYMMDDHHMMSS: the version of what it publishes."""
    record = context.instance.get_run_record_by_id(context.run.run_id)
    if record is None or record.start_time is None:
        raise PermanentError(f"run {context.run.run_id} has no start in Dagster's own storage")
    return datetime.fromtimestamp(record.start_time, UTC).strftime("%Y%m%d%H%M%S")


def report_dead(instance: dg.DagsterInstance, run_id: str, *, still_alive: str | None) -> None:
    """Tell Dagster that a run has died, when it still believes otherwise."""
    run = None if run_id == still_alive else instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_failed(run, "the process died without a word")


def counts(manifest: Manifest, published: Published | None = None) -> dict[str, object]:
    """What a state's audit row says of its snapshot: the names readers of shq.audit_log know."""
    said = {**row_counts(manifest), "parquet_paths": [f.key for f in manifest.files]}
    if published is not None:
        said["manifest"] = manifest.key
        said["b2_uploads"] = len(manifest.objects) if published.uploaded_bytes else 0
        said["b2_uploaded_bytes"] = published.uploaded_bytes
        said["published_version"] = manifest.version
        if published.uploaded_bytes:  # else somebody may have changed it since it was put there
            said["manifest_sha256"] = manifest.sha256
    return said


def row_counts(manifest: Manifest) -> dict[str, object]:
    """The good and bad rows by table, and the reasons."""
    said: dict[str, object] = {f"{f.table}_{f.verdict}": f.rows for f in manifest.files}
    return {**said, "reasons": manifest.reasons}


def tallies(judged: Mapping[str, StateVerdict]) -> dict[str, object]:
    """The same of rows that were judged and not exported."""
    said: dict[str, object] = {}
    for name, verdict in judged.items():
        said |= {f"{name}_good": verdict.good.rows, f"{name}_bad": verdict.bad.rows}
    said["reasons"] = {reason: n for v in judged.values() for reason, n in v.reasons.items()}
    return said
