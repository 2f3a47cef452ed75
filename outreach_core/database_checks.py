"""What a database answers when asked whether the pipeline can work on it. Nothing is changed there.

Every statement is bounded; the caller bounds the whole, because names are looked up without limit.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from outreach_core.audit import AuditEvent, write_event
from outreach_core.errors import OutreachError
from outreach_core.findings import Finding, Result
from outreach_core.migrate import migration_status
from outreach_core.postgres import Connection, DatabaseError, Postgres

STATEMENT_TIMEOUT = "SET LOCAL statement_timeout = '15s'"
MIGRATE = "run `outreach db migrate`"
CURES = {
    "password authentication failed": "check the user and the password; a password that was reset "
    "at Neon counts at once",
    "no password supplied": "give the password",
    "does not exist": "check the names of the database and the user",
    "could not translate host name": "check the host for a typing mistake",
    "Name or service not known": "check the host for a typing mistake",
    "does not support SSL": "the server has no TLS: sslmode `disable`, on a network you trust",
    "certificate": "check the sslmode, and the root certificate it needs",
    "endpoint": "check the host: the endpoint may have been renamed or deleted at Neon",
    "Connection refused": "nothing listens there: check host and port, or start the server",
    "timeout": "check host and port, and that a firewall lets this machine through",
    "cannot be reached": "check host, port and the network, then try again",
}
NAMES = {
    "NEON_HOST": "NEON_HOST and the NEON_ settings beside it",
    "NEON_CONNECTION_STRING": "NEON_CONNECTION_STRING",
    "OUTREACH_DAGSTER_POSTGRES_URL": "OUTREACH_DAGSTER_POSTGRES_URL",
}
"""How messages begin, and where the cure is applied."""


def check_database(postgres: Postgres, tables: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Connection, both masters, migrations, the right to write to the audit log.

    `tables`: each source table as `schema.table`, and the columns it must have.
    """
    began = time.monotonic()
    try:
        with postgres.connect() as connection:
            connection.execute(STATEMENT_TIMEOUT)
            yield _connected(postgres, connection, time.monotonic() - began)
            for table, columns in tables.items():
                with _refusals(postgres, table) as found:
                    found.append(_check_table(connection, table, columns))
                yield found[0]
            with _refusals(postgres, "audit log") as found:
                found.append(_check_audit_log(connection))
            yield found[0]
        yield _check_migrations(postgres)
    except OutreachError as error:
        yield broken("database", error)


def check_dagster_database(postgres: Postgres) -> Finding:
    """Where Dagster keeps its runs can be reached, and Dagster may make its tables there."""
    check = "Dagster's storage"
    try:
        with postgres.connect() as connection, _refusals(postgres, check) as found:
            connection.execute(STATEMENT_TIMEOUT)
            row = connection.execute(
                "SELECT current_database(), to_regclass('runs') IS NOT NULL, "
                "coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
            ).fetchone()
            database, is_there, may_create = row or ("?", False, False)
            found.append(
                Finding(
                    check=check,
                    result=Result.OK if is_there or may_create else Result.PROBLEM,
                    found=f"{postgres.name}, database {database}"
                    + (
                        ""
                        if is_there
                        else ", no runs yet"
                        if may_create
                        else ", may not make tables"
                    ),
                    cure=""
                    if is_there or may_create
                    else "let its user make tables: GRANT CREATE ON SCHEMA public",
                )
            )
        return found[0]
    except OutreachError as error:
        return broken(check, error)


def broken(check: str, error: OutreachError) -> Finding:
    """An error of ours as a finding, with the cure where one is known."""
    says = str(error)
    cure = next((cure for words, cure in CURES.items() if words in says), "do what it says")
    where = next((where for name, where in NAMES.items() if says.startswith(name)), None)
    return Finding(
        check=check,
        result=Result.PROBLEM,
        found=says,
        cure=f"{where}: {cure}" if where else cure,
    )


@contextmanager
def _refusals(postgres: Postgres, check: str) -> Iterator[list[Finding]]:
    """A list for one finding; what Postgres refuses inside the block becomes it."""
    found: list[Finding] = []
    try:
        yield found
    except DatabaseError as error:
        if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
            raise  # the connection is lost: Postgres.connect names it
        found.append(
            Finding(
                check=check,
                result=Result.PROBLEM,
                found=postgres.redacted(str(error)),
                cure="ask the database's owner for the right that is missing",
            )
        )


def _connected(postgres: Postgres, connection: Connection, seconds: float) -> Finding:
    row = connection.execute(
        "SELECT current_setting('server_version'), current_database(), current_user,"
        " current_setting('transaction_read_only')"
    ).fetchone()
    server, database, user, read_only = row or ("?", "?", "?", "off")
    return Finding(
        check="database",
        result=Result.OK if read_only == "off" else Result.PROBLEM,
        found=f"{postgres.name}: PostgreSQL {server}, database {database} as {user}, "
        f"answered in {seconds * 1000:,.0f} ms" + (", read-only" if read_only == "on" else ""),
        cure="a replica cannot take the audit log: name the primary's host" * (read_only == "on"),
    )


def _check_table(connection: Connection, table: str, columns: Collection[str]) -> Finding:
    with connection.transaction():
        rows = connection.execute(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass(%s)"
            " AND attnum > 0 AND NOT attisdropped",
            [table],
        ).fetchall()
        missing = sorted(set(columns).difference(name for (name,) in rows))
        if not rows:
            return Finding(
                check=table,
                result=Result.PROBLEM,
                found="does not exist in this database, or is hidden from this user",
                cure=f"check NEON_DATABASE; on an empty database {MIGRATE}",
            )
        if missing:
            return Finding(
                check=table,
                result=Result.PROBLEM,
                found=f"has no column {', '.join(missing)}, which a key, a state or a rule needs",
                cure="check NEON_DATABASE, or mend the table or the rules",
            )
        schema, name = (f'"{part}"' for part in table.split("."))
        query = f"SELECT EXISTS (SELECT FROM {schema}.{name})"  # noqa: S608 from the catalogue
        filled = connection.execute(query.encode()).fetchone()
    return Finding(
        check=table,
        result=Result.OK if filled == (True,) else Result.WARN,
        found=f"{len(rows)} columns" + ("" if filled == (True,) else ", no row"),
        cure="" if filled == (True,) else "`outreach db sample --size demo` makes some up",
    )


def _check_audit_log(connection: Connection) -> Finding:
    """Write a row for real and take it back: rights, sequence and read-only servers all count."""
    with connection.transaction(force_rollback=True):
        there = connection.execute("SELECT to_regclass('shq.audit_log') IS NOT NULL").fetchone()
        if there != (True,):
            return Finding(
                check="audit log",
                result=Result.PROBLEM,
                found="shq.audit_log does not exist",
                cure=MIGRATE,
            )
        event = AuditEvent(event_type="outreach_doctor", event_source="doctor", details={})
        write_event(connection, event)
    return Finding(
        check="audit log", result=Result.OK, found="shq.audit_log takes a row (and gave it back)"
    )


def _check_migrations(postgres: Postgres) -> Finding:
    try:
        status = migration_status(postgres)
    except OutreachError as error:
        return Finding(
            check="migrations",
            result=Result.PROBLEM,
            found=str(error),
            cure="do what it says",
        )
    missing = [m.name for m in status if m.applied_at is None]
    return Finding(
        check="migrations",
        result=Result.PROBLEM if missing else Result.OK,
        found=f"not applied: {', '.join(missing)}" if missing else f"all {len(status)} applied",
        cure=MIGRATE if missing else "",
    )
