"""The chain as one op that reads like a row's journey: extract, validate, export, upload, record.

One op, because steps in processes of their own cost 8 CPU seconds each (DESIGN D2). Each asset's
result is reported as soon as it is true; a selection runs as far as it needs and reports only what
was selected.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial

import dagster as dg

from b2_resources.object_store import ObjectStore, StoreUnreachableError
from b2_resources.resource import B2Resource
from outreach_assets.assets import metadata
from outreach_assets.assets.at_work import (
    Result,
    RunAtWork,
    at_work,
    counts,
    row_counts,
    tallies,
)
from outreach_assets.assets.chain import (
    AUDIT_LOG,
    FAILURES_LOG,
    MANIFEST,
    STATES,
    VERDICT_CHANGES,
    Step,
    b2_key,
    chain,
    judged_key,
    parquet_key,
    raw_key,
)
from outreach_assets.assets.chain_checks import (
    BAD_SHARE,
    BYTES,
    COLUMNS,
    KEYS,
    NUMBERS,
    ROW_CHANGE,
    ROWS,
    chain_checks,
    number_problems,
    row_problems,
    switch_problems,
)
from outreach_assets.assets.holding import Judge, RefreshConfig, keep_aside
from outreach_assets.resources import NeonResource, PrivateDuckDBResource
from outreach_assets.retries import dagster_failures
from outreach_assets.steps.batches import in_batches
from outreach_assets.steps.compare_published import compare_with_published
from outreach_assets.steps.export import Export, Judged, write_parquet
from outreach_assets.steps.extract import ExtractedTable, drop_rows, extract_rows, hold_to_source
from outreach_assets.steps.failures.log import record_failures
from outreach_assets.steps.kill_switches import KillSwitches, Switch
from outreach_assets.steps.manifest import Manifest
from outreach_assets.steps.private_duckdb import Duck, disk_errors
from outreach_assets.steps.progress import Progress
from outreach_assets.steps.published import look_at
from outreach_assets.steps.record import Status
from outreach_assets.steps.source import Snapshot, held_snapshot
from outreach_assets.steps.still_exported import still_exported
from outreach_assets.steps.upload import (
    Published,
    differing_objects,
    exported_snapshots,
    publish,
    settle_exports,
)
from outreach_assets.steps.validate import Verdicts, split_rows
from outreach_assets.steps.workbench import refresh_workbench
from outreach_assets.tables.table import Table, Verdict
from outreach_core.errors import OutreachError
from outreach_core.states import ALL_STATES

NOT_DONE = {Status.HELD, Status.FAILED}

POOL = "outreach_tables"
"""At most as many runs of the chain at once as this pool's limit (dagster.yaml)."""


def build_tables(
    states_per_run: int | None, tables: Sequence[Table], switches: KillSwitches
) -> dg.AssetsDefinition:
    """The op; a backfill is one run, or one per so many states where machines share them.

    `tables` carry the rules and severities that rows are judged by.
    """
    policy = (
        dg.BackfillPolicy.single_run()
        if states_per_run is None
        else dg.BackfillPolicy.multi_run(states_per_run)
    )

    @dg.multi_asset(
        name="outreach_tables",
        specs=chain(tables),
        check_specs=chain_checks(),
        can_subset=True,
        partitions_def=STATES,
        backfill_policy=policy,
        pool=POOL,
    )
    def outreach_tables(
        context: dg.AssetExecutionContext,
        config: RefreshConfig,
        neon: NeonResource,
        b2: B2Resource,
        private_duckdb: PrivateDuckDBResource,
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[Result]:
        with dagster_failures(context):
            store = b2.create_store()
            with (
                at_work(context, neon.open(), store, tables, config.release) as work,
                disk_errors(private_duckdb.folder),
            ):
                if work.first is Step.EXTRACT:
                    with private_duckdb.open() as duck:
                        judge = Judge(store=store, tables=tables, switches=switches)
                        manifests = yield from _from_neon(
                            work, duck, private_duckdb, judge, progress
                        )
                else:
                    manifests = exported_snapshots(private_duckdb.exports, work.states)
                if work.last >= Step.UPLOAD:
                    yield from _upload(work, store, private_duckdb, manifests, progress)
                    work.remember()
                yield from _record(work, progress)

    return outreach_tables


def _from_neon(
    work: RunAtWork,
    duck: Duck,
    resource: PrivateDuckDBResource,
    judge: Judge,
    progress: Progress,
) -> Generator[Result, None, list[Manifest]]:
    """Extract, validate and export, as far as the selection goes; the exported snapshots.

    All states at once where they fit in memory, else batch by batch from the same snapshot.
    """
    manifests: list[Manifest] = []
    arrived: Counter[str] = Counter()
    wanted = work.states
    with held_snapshot(work.claim.postgres) as snapshot:
        if work.last >= Step.UPLOAD:
            work.compare(snapshot, judge.switches)
        for states in in_batches(snapshot, work.tables, wanted, resource.memory_mb):
            extracted = yield from _extract(work, duck, snapshot, states, progress)
            arrived.update({name: sum(t.rows.values()) for name, t in extracted.items()})
            if work.last >= Step.VALIDATE:
                verdicts = yield from _validate(work, duck, judge, states, progress)
            if work.last >= Step.EXPORT:
                judged = Judged(extracted=extracted, verdicts=verdicts, states=states)
                manifests += yield from _export(work, duck, resource, judge.store, judged, progress)
            drop_rows(duck, work.tables)
        if set(wanted) == set(ALL_STATES):
            hold_to_source(snapshot, work.tables, arrived)
    if work.last < Step.EXPORT:
        for state in work.states:
            work.end(state, Status.JUDGED)
    return manifests


def _extract(
    work: RunAtWork, duck: Duck, snapshot: Snapshot, states: Sequence[str], progress: Progress
) -> Generator[Result, None, Mapping[str, ExtractedTable]]:
    progress.began("extract")
    extracted = extract_rows(duck, snapshot, work.tables, states)
    for table in work.tables:
        facts = extracted[table.name]
        yield from work.report(raw_key(table), partial(metadata.extracted, facts), states)
        work.found(NUMBERS, raw_key(table), number_problems(facts))
    progress.advanced(states, {t.name: sum(extracted[t.name].rows.values()) for t in work.tables})
    return extracted


def _validate(
    work: RunAtWork, duck: Duck, judge: Judge, states: Sequence[str], progress: Progress
) -> Generator[Result, None, Verdicts]:
    """Judge every row, log the bad ones, and find the states that must not be published."""
    progress.began("validate")
    verdicts = split_rows(duck, work.tables, states)
    work.in_store.update(look_at(judge.store, states))
    for state in states:
        judged = {name: by_state[state] for name, by_state in verdicts.items()}
        work.judged(state, judged, judge.tripped(state, judged, work.last_published(state)))
        if not all(verdict.adds_up for verdict in judged.values()):
            error = "rows are not the good and the bad ones together: report it"
            work.end(state, Status.HELD, error=error, **tallies(judged))
        elif work.last < Step.EXPORT and state in work.held:
            work.end(state, Status.HELD, error="; ".join(work.held[state]), **tallies(judged))
    for table in work.tables:
        by_state = verdicts[table.name]
        for verdict in Verdict:
            facts = partial(metadata.judged, table, verdict, by_state)
            yield from work.report(judged_key(table, verdict), facts, states)
        work.found(ROWS, judged_key(table, Verdict.GOOD), row_problems(by_state))
        for check, switch, key in (
            (KEYS, Switch.KEYS, raw_key(table)),
            (ROW_CHANGE, Switch.ROW_CHANGE, raw_key(table)),
            (BAD_SHARE, Switch.BAD_SHARE, judged_key(table, Verdict.BAD)),
        ):
            unreleased = {} if work.release else work.tripped
            work.found(check, key, switch_problems(unreleased, switch, table))
    yield from _log_failures(work, duck, states, verdicts)
    progress.advanced(states, metadata.rows_by_verdict(verdicts))
    return verdicts


def _log_failures(
    work: RunAtWork, duck: Duck, states: Sequence[str], verdicts: Verdicts
) -> Iterator[Result]:
    """The bad rows for those who mend them, those of held states too."""
    if FAILURES_LOG not in work.context.selected_asset_keys:
        return
    claim = work.claim
    recorded = record_failures(
        duck, claim.postgres, work.tables, states, version=claim.version, run_id=claim.run_id
    )
    facts = partial(metadata.failures, work.tables, verdicts, recorded, claim.version)
    yield from work.report(FAILURES_LOG, facts, states)


def _export(
    work: RunAtWork,
    duck: Duck,
    resource: PrivateDuckDBResource,
    store: ObjectStore,
    judged: Judged,
    progress: Progress,
) -> Generator[Result, None, list[Manifest]]:
    progress.began("export")
    states = [state for state in judged.states if state not in work.endings]
    export = Export(exports=resource.exports, version=work.claim.version, run_id=work.claim.run_id)
    last = {state: last for state in states if (last := work.last_published(state)) is not None}
    manifests = still_exported(duck, resource.exports, work.tables, judged, last)
    changed = [state for state in states if state not in manifests]
    manifests |= write_parquet(duck, export, work.tables, judged, changed, held=work.held)
    unheld = [state for state in states if state not in work.held]
    for table in work.tables:
        for verdict in Verdict:
            facts = partial(metadata.exported, duck, resource.exports, table, verdict, manifests)
            yield from work.report(parquet_key(table, verdict), facts, unheld)
        work.found(COLUMNS, parquet_key(table, Verdict.GOOD), {})  # else write_parquet had raised
    manifests |= yield from _compare(work, duck, resource, store, [manifests[s] for s in unheld])
    if work.last is Step.EXPORT:
        for state in unheld:
            work.end(state, Status.JUDGED, **counts(manifests[state]))
        for state in states:
            if state in work.held:
                error = "; ".join(work.held[state])
                work.end(state, Status.HELD, error=error, **row_counts(manifests[state]))
    progress.advanced(states, metadata.sizes(manifests.values()))
    return list(manifests.values())


def _compare(
    work: RunAtWork,
    duck: Duck,
    resource: PrivateDuckDBResource,
    store: ObjectStore,
    manifests: Sequence[Manifest],
) -> Generator[Result, None, dict[str, Manifest]]:
    """What the snapshots change against those published last; their receipts with it."""
    if work.last < Step.UPLOAD and VERDICT_CHANGES not in work.context.selected_asset_keys:
        return {}
    outcomes = compare_with_published(
        duck, store, resource.exports, work.tables, manifests, work.last_published
    )
    compared: dict[str, Manifest] = {}
    for manifest in manifests:
        outcome = outcomes[manifest.state]
        if isinstance(outcome, OutreachError):
            # What lies in the store is verified elsewhere and must not stop what replaces it.
            work.context.log.warning("%s: cannot be compared: %s", manifest.state, outcome)
            outcome = manifest
        compared[manifest.state] = outcome
    facts = partial(metadata.changed, resource.exports, compared)
    yield from work.report(VERDICT_CHANGES, facts, list(compared))
    return compared


def _upload(
    work: RunAtWork,
    store: ObjectStore,
    resource: PrivateDuckDBResource,
    manifests: Sequence[Manifest],
    progress: Progress,
) -> Iterator[Result]:
    """Publish what was exported; a state that fails does not stop the others."""
    progress.began("upload")
    work.claim.hold()
    unseen = [m.state for m in manifests if m.state not in work.in_store]
    work.in_store.update(look_at(store, unseen))
    held = [m for m in manifests if m.held and work.release is None]
    for manifest in held:
        keep_aside(work, store, resource.exports, manifest)
        progress.advanced([manifest.state], {"held": 1})

    def published(state: str, outcome: Published) -> None:
        # At once, so that the audit row tells the truth when somebody cancels the run now.
        work.end(state, Status(outcome.outcome), **counts(outcome.manifest, outcome))
        progress.advanced([state], metadata.uploads([outcome]))

    outcomes = publish(
        store,
        resource.exports,
        [manifest for manifest in manifests if manifest not in held],
        run_id=work.claim.run_id,
        hold=work.claim.hold,
        published=published,
        found=work.in_store,
    )
    # Dagster does not tell us of a cancelled run while it works on what we yield.
    work.claim.note(work.endings)
    done: dict[str, Published] = {}
    for state, outcome in outcomes.items():
        if isinstance(outcome, OutreachError):
            work.fail(state, outcome)
        else:
            done[state] = outcome
            settle_exports(resource.exports, outcome)
    refresh_workbench(resource.folder, resource.exports)
    is_away = any(isinstance(e, StoreUnreachableError) for e in work.failures.values())
    if not is_away:  # else the states that failed say it, and nobody could look
        work.found(BYTES, MANIFEST, differing_objects(store, [p.manifest for p in done.values()]))
    for table in work.tables:
        for verdict in Verdict:
            facts = partial(metadata.published_file, store, table, verdict, done)
            yield from work.report(b2_key(table, verdict), facts, list(done))
    facts = partial(metadata.published_manifest, store, done)
    yield from work.report(MANIFEST, facts, list(done))


def _record(work: RunAtWork, progress: Progress) -> Iterator[Result]:
    """The audit rows; raises when a state was held or failed, after everything else is said."""
    progress.began("record")
    done = [s for s in work.claim.states if work.endings[s].status not in NOT_DONE]
    if work.last is Step.RECORD:
        facts = partial(metadata.recorded, work.claim.run_id, work.endings)
        yield from work.report(AUDIT_LOG, facts, done)
    yield from work.checks()
    progress.advanced(list(work.endings), {"audit rows": len(work.endings)})
    work.close()
