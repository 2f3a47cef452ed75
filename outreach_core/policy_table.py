"""Folder policies in Postgres (shq.sync_folders): add, change, remove, look up.

Every change is an audit event of the same transaction. What a policy means is in policies.py.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any  # a row of Postgres: each column has its own type

from outreach_core.audit import AuditEvent, write_event
from outreach_core.errors import PermanentError
from outreach_core.policies import (
    FolderPolicy,
    Source,
    checked,
    deciding_policy,
    destinations_of,
    path_key,
)
from outreach_core.postgres import (
    Connection,
    Database,
    IntegrityError,
    UndefinedSchema,
    UndefinedTable,
)

ADDED = "outreach_policy_added"
CHANGED = "outreach_policy_changed"
REMOVED = "outreach_policy_removed"

Event = Callable[[str, Mapping[str, object]], AuditEvent]
"""Who changes it, such as audit.command_event."""

COLUMNS = [field.name for field in fields(FolderPolicy)]
SELECT = f"SELECT {', '.join(COLUMNS)} FROM shq.sync_folders"  # noqa: S608 our own names
LOCK = "FOR UPDATE"
INSERT = f"""
    INSERT INTO shq.sync_folders ({", ".join(COLUMNS)}, path_key)
    VALUES ({", ".join(f"%({name})s" for name in COLUMNS)}, %(path_key)s)"""  # noqa: S608
UPDATE = f"""
    UPDATE shq.sync_folders
    SET {", ".join(f"{name} = %({name})s" for name in [*COLUMNS, "path_key"])}, updated_at = now()
    WHERE folder_id = %(folder_id)s"""  # noqa: S608


class PolicyMissingError(PermanentError):
    """There is no policy of that id."""


class PolicyChangedError(PermanentError):
    """It is not as the caller has seen it."""


class PolicyThereError(PermanentError):
    """There is one already, of the id or for the folder."""


def add_policy(postgres: Database, policy: FolderPolicy, event: Event) -> None:
    """Raises PolicyThereError, and what `checked` raises."""
    values = _values(checked(policy))
    with _table(postgres) as connection, _unique(policy):
        connection.execute(INSERT, values)
        write_event(connection, event(ADDED, _details(policy)))


def update_policy(
    postgres: Database, policy: FolderPolicy, event: Event, *, seen: str | None = None
) -> None:
    """The policy of that id is this one from now on.

    `seen`: the fingerprint of the one that the caller means to change; of two who change the same
    one at once, the second is told. Raises PolicyMissingError, PolicyChangedError, and what
    `add_policy` raises.
    """
    values = _values(checked(policy))
    with _table(postgres) as connection, _unique(policy):
        if seen is not None and _get(connection, policy.folder_id, LOCK).fingerprint != seen:
            raise PolicyChangedError("somebody has changed it meanwhile: look at it again")
        if connection.execute(UPDATE, values).rowcount == 0:
            raise _missing(policy.folder_id)
        write_event(connection, event(CHANGED, _details(policy)))


def toggle_policy(postgres: Database, folder_id: str, event: Event) -> FolderPolicy:
    """The other way round than it was: enabled or not. Raises PolicyMissingError."""
    with _table(postgres) as connection:
        connection.execute(
            "UPDATE shq.sync_folders SET enabled = NOT enabled, updated_at = now() "
            "WHERE folder_id = %s",
            (folder_id,),
        )
        policy = _get(connection, folder_id)
        write_event(connection, event(CHANGED, _details(policy)))
    return policy


def remove_policy(postgres: Database, folder_id: str, event: Event) -> None:
    """What was backed up stays where it is, and known. Raises PolicyMissingError."""
    with _table(postgres) as connection:
        policy = _get(connection, folder_id)
        connection.execute("DELETE FROM shq.sync_folders WHERE folder_id = %s", (folder_id,))
        write_event(connection, event(REMOVED, _details(policy)))


def get_policy(postgres: Database, folder_id: str) -> FolderPolicy:
    """Raises PolicyMissingError."""
    with _table(postgres) as connection:
        return _get(connection, folder_id)


def list_policies(postgres: Database) -> list[FolderPolicy]:
    """All of them, by their folders."""
    with _table(postgres) as connection:
        return [_policy(row) for row in connection.execute(f"{SELECT} ORDER BY source, path_key")]


def policy_for_file(postgres: Database, source: Source, path: str) -> FolderPolicy | None:
    """The policy that decides for the file; None when there is none."""
    return deciding_policy(list_policies(postgres), source, path)


def destinations_for_file(postgres: Database, source: Source, path: str) -> tuple[str, ...]:
    """Where the file goes; nowhere when no policy takes it."""
    return destinations_of(list_policies(postgres), source, path)


def is_enabled(connection: Connection, folder_id: str) -> bool:
    """False for a policy that was removed or switched off."""
    row = connection.execute(
        "SELECT enabled FROM shq.sync_folders WHERE folder_id = %s", (folder_id,)
    ).fetchone()
    return row is not None and bool(row[0])


@contextmanager
def _table(postgres: Database) -> Iterator[Connection]:
    try:
        with postgres.connect() as connection:
            yield connection
    except (UndefinedTable, UndefinedSchema):
        raise PermanentError(
            f"{postgres.name} has no shq.sync_folders or no shq.audit_log: "
            "run `outreach db migrate`"
        ) from None


@contextmanager
def _unique(policy: FolderPolicy) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        if error.diag.constraint_name == "sync_folders_pkey":
            what = f"there is a policy {policy.folder_id!r} already: `outreach policies set` it"
        else:
            what = f"{policy.source} {policy.path!r} has a policy already: change that one"
        raise PolicyThereError(what) from None


def _get(connection: Connection, folder_id: str, lock: str = "") -> FolderPolicy:
    row = connection.execute(f"{SELECT} WHERE folder_id = %s {lock}", (folder_id,)).fetchone()
    if row is None:
        raise _missing(folder_id)
    return _policy(row)


def _missing(folder_id: str) -> PolicyMissingError:
    return PolicyMissingError(f"there is no policy {folder_id!r}: see `outreach policies list`")


def _values(policy: FolderPolicy) -> dict[str, object]:
    values = {name: getattr(policy, name) for name in COLUMNS}
    lists = {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
    return {**values, **lists, "source": policy.source.value, "path_key": path_key(policy)}


def _policy(row: tuple[Any, ...]) -> FolderPolicy:
    values = dict(zip(COLUMNS, row, strict=True))
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return FolderPolicy(**{**values, **lists, "source": Source(values["source"])})


def _details(policy: FolderPolicy) -> dict[str, object]:
    return {**vars(policy), "source": policy.source.value}
