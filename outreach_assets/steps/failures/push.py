"""What people's scripts call to put failures of their own making into the store; no database.

    from outreach_assets.steps.failures.push import push_company_failures
    push_company_failures(failures, pipeline_id="WV-VALIDATION-20251118", state="WV")

Keys, formats and metadata are those of the export (export.py), which is for the failures
that the log holds.
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path

from b2_resources.build_store import build_store
from b2_resources.keys import FailuresPlace, failures_key
from b2_resources.object_store import ObjectStore, StoredObject
from outreach_assets.steps.failures.batches import SEVERAL
from outreach_assets.steps.failures.export import head_or_none, sha256_in
from outreach_assets.steps.failures.formats import (
    FileShape,
    Values,
    object_metadata,
    write_failures,
)
from outreach_assets.steps.failures.kinds import FailureFormat, FailureType
from outreach_core.errors import OutreachError, PermanentError
from outreach_core.settings import load_settings
from outreach_core.states import UNASSIGNED

logger = logging.getLogger(__name__)

Failure = Mapping[str, object]
"""One failure with the fields that readers know; those that are missing are NULL."""


@dataclass(frozen=True, kw_only=True)
class _Push:
    """Where failures go, and as what."""

    store: ObjectStore
    prefix: str
    shape: FileShape
    place: FailuresPlace
    state: str | None


def push_company_failures(
    failures: Sequence[Failure],
    *,
    pipeline_id: str,
    state: str | None = None,
    export_format: str = "json",
    store: ObjectStore | None = None,
) -> StoredObject:
    """Put the companies' failures into one object.

    A failure has company_id, company_name, fail_reason, state, validation_timestamp, pipeline_id.
    `export_format` is json, csv, jsonl or parquet. A failure without a state or a pipeline gets the
    ones given here. The same failures again are the same object; others on the same day get a later
    name (`…-2.json`). The store and the prefix are those of the settings unless a store is given.
    Raises SettingsError, and what a store raises.
    """
    return _push(failures, _opened(FailureType.COMPANY, pipeline_id, state, export_format, store))


def push_person_failures(
    failures: Sequence[Failure],
    *,
    pipeline_id: str,
    state: str | None = None,
    export_format: str = "json",
    store: ObjectStore | None = None,
) -> StoredObject:
    """The same for people, with person_id and person_name."""
    return _push(failures, _opened(FailureType.PERSON, pipeline_id, state, export_format, store))


def push_company_failures_batched(
    failures: Sequence[Failure],
    batch_size: int = 1000,
    *,
    pipeline_id: str,
    state: str | None = None,
    export_format: str = "json",
    store: ObjectStore | None = None,
) -> tuple[int, int]:
    """The same in numbered objects, `…-BATCH-001.json`; how many failures got there, how many not.

    What a batch fails with is logged, and the next one is tried; pushing all of them again puts
    what is missing.
    """
    push = _opened(FailureType.COMPANY, pipeline_id, state, export_format, store)
    return _push_batches(failures, batch_size, push)


def push_person_failures_batched(
    failures: Sequence[Failure],
    batch_size: int = 1000,
    *,
    pipeline_id: str,
    state: str | None = None,
    export_format: str = "json",
    store: ObjectStore | None = None,
) -> tuple[int, int]:
    """The same for people."""
    push = _opened(FailureType.PERSON, pipeline_id, state, export_format, store)
    return _push_batches(failures, batch_size, push)


def _opened(
    failure_type: FailureType,
    pipeline_id: str,
    state: str | None,
    export_format: str,
    store: ObjectStore | None,
) -> _Push:
    settings = load_settings()
    if export_format not in set(FailureFormat):
        raise PermanentError(f"export_format {export_format!r}: use {', '.join(FailureFormat)}")
    today = datetime.now(UTC).date()  # noqa: TID251 scripts call this: there is no caller to ask
    return _Push(
        store=store or build_store(settings),
        prefix=settings.b2_validation_failures_prefix,
        shape=FileShape(failure_type=failure_type, file_format=FailureFormat(export_format)),
        place=FailuresPlace(
            exported_on=today,
            failure_type=failure_type,
            pipeline_id=pipeline_id,
            extension=export_format,
        ),
        state=state,
    )


def _push_batches(failures: Sequence[Failure], batch_size: int, push: _Push) -> tuple[int, int]:
    succeeded = failed = 0
    for number, first in enumerate(range(0, len(failures), batch_size), start=1):
        batch = failures[first : first + batch_size]
        try:
            _push(batch, replace(push, place=replace(push.place, batch=number)))
        except OutreachError as error:
            logger.error("batch %d of %d failures: %s", number, len(batch), error)  # noqa: TRY400 ours are sentences
            failed += len(batch)
        else:
            succeeded += len(batch)
    return succeeded, failed


def _push(failures: Sequence[Failure], push: _Push) -> StoredObject:
    rows = [_values(failure, push) for failure in failures]
    with tempfile.TemporaryDirectory(prefix="failures-") as folder:
        file = write_failures(Path(folder) / "failures", rows, push.shape)
        for later in count(1):
            key = failures_key(push.prefix, replace(push.place, later=later))
            there = head_or_none(push.store, key)
            if there is None:
                return push.store.put_file(
                    key, file.path, metadata=_metadata(rows, push), sha256=file.sha256
                )
            if sha256_in(push.store, there) == file.sha256:
                return there
    raise AssertionError("there is always a later name")


def _values(failure: Failure, push: _Push) -> Values:
    filled = {**failure}
    for name, given in (("state", push.state), ("pipeline_id", push.place.pipeline_id)):
        if filled.get(name) is None:
            filled[name] = given
    return [_text(filled.get(column)) for column in push.shape.failure_type.columns]


def _text(value: object) -> str | None:
    """As the export has it: ISO 8601 in UTC for a time; one without a zone is taken for UTC."""
    if isinstance(value, datetime):
        moment = value.astimezone(UTC) if value.tzinfo else value
        text = moment.replace(tzinfo=None).isoformat()
        return (text.rstrip("0") if "." in text else text) + "Z"
    if isinstance(value, date):
        return value.isoformat()
    return None if value is None else str(value)


def _metadata(rows: Sequence[Values], push: _Push) -> dict[str, str]:
    states = {row[push.shape.failure_type.columns.index("state")] or UNASSIGNED for row in rows}
    of_rows = states.pop() if len(states) == 1 else SEVERAL
    return object_metadata(
        push.shape.failure_type,
        push.place.pipeline_id,
        push.state or of_rows,
        rows=len(rows),
        now=datetime.now(UTC),  # noqa: TID251 see above
    )
