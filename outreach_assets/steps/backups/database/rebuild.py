"""The SQL that makes the backed-up tables again, written from Postgres's catalogue.

Not by pg_dump: its session settings would stay with a pooler's connections, and with them an empty
search_path for everybody after it. Owners and grants are not in it: roles belong to a server.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from outreach_assets.steps.backups.database.contents import SCHEMAS, Contents
from outreach_assets.steps.backups.database.receipt import LeftOut, Stage, Statement
from outreach_assets.tables.table import literal
from outreach_core.postgres import Connection

OF_AN_EXTENSION = """
    EXISTS (SELECT FROM pg_depend AS x
        WHERE x.classid = '{catalogue}'::regclass AND x.objid = {oid} AND x.deptype = 'e')"""


def _of_an_extension(catalogue: str, oid: str) -> str:
    return OF_AN_EXTENSION.format(catalogue=catalogue, oid=oid)


def _needs(catalogue: str, oid: str) -> str:
    """What an object needs that no backup holds, as text; NULL when there is nothing."""
    return f"""
    (SELECT string_agg(DISTINCT needed.identity, ', ')
    FROM pg_depend AS d, pg_identify_object(d.refclassid, d.refobjid, 0) AS needed
    WHERE d.classid = '{catalogue}'::regclass AND d.objid = {oid} AND d.deptype IN ('n', 'a')
        AND d.refclassid <> 'pg_type'::regclass
        AND needed.schema <> ALL (%(schemas)s::text[])
        AND needed.schema NOT IN ('pg_catalog', 'information_schema'))"""


# The types of our columns that a database does not have by itself.
USED_TYPES = """
    SELECT DISTINCT t.oid, t.typname, t.typtype, t.typnamespace
    FROM pg_type AS t LEFT JOIN (pg_attribute AS a JOIN pg_type AS u ON u.oid = a.atttypid)
        ON coalesce(nullif(u.typelem, 0), u.oid) = t.oid AND a.attrelid = ANY (%(tables)s)
    WHERE (t.typnamespace::regnamespace::text = ANY (%(schemas)s) AND t.typtype IN ('e', 'd'))
        OR (a.attnum > 0 AND t.typnamespace <> 'pg_catalog'::regnamespace)"""

SCHEMA = """
    SELECT nspname::text, format('CREATE SCHEMA IF NOT EXISTS %%I', nspname), NULL
    FROM pg_namespace
    WHERE nspname = ANY (%(schemas)s) OR oid IN (SELECT typnamespace FROM used_types)
    ORDER BY nspname"""

EXTENSION = """
    SELECT DISTINCT e.extname::text, format('CREATE EXTENSION IF NOT EXISTS %%I', e.extname), NULL
    FROM used_types AS t
    JOIN pg_depend AS d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
    JOIN pg_extension AS e ON e.oid = d.refobjid"""

TYPE = f"""
    SELECT format_type(u.oid, NULL), CASE u.typtype
        WHEN 'e' THEN format('CREATE TYPE %%s AS ENUM (%%s)', format_type(u.oid, NULL),
            (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder)
            FROM pg_enum WHERE enumtypid = u.oid))
        ELSE format('CREATE DOMAIN %%s AS %%s%%s%%s%%s', format_type(u.oid, NULL),
            format_type(t.typbasetype, t.typtypmod), ' DEFAULT ' || t.typdefault,
            CASE WHEN t.typnotnull THEN ' NOT NULL' END,
            (SELECT string_agg(format(' CONSTRAINT %%I %%s', conname, pg_get_constraintdef(oid)),
                '' ORDER BY conname)
            FROM pg_constraint WHERE contypid = u.oid AND contype = 'c')) END, NULL
    FROM used_types AS u JOIN pg_type AS t ON t.oid = u.oid
    WHERE u.typtype IN ('e', 'd') AND NOT {_of_an_extension("pg_type", "u.oid")}
    ORDER BY u.oid"""

FUNCTION = f"""
    SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid), {_needs("pg_proc", "p.oid")}
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = ANY (%(schemas)s) AND p.prokind IN ('f', 'p')
        AND NOT {_of_an_extension("pg_proc", "p.oid")}
    ORDER BY p.oid"""

# Everybody may call a function by default; that is taken back where it was.
CLOSED_FUNCTION = f"""
    SELECT p.oid::regprocedure::text,
        format('REVOKE ALL ON ROUTINE %%s FROM PUBLIC', p.oid::regprocedure),
        {_needs("pg_proc", "p.oid")}
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = ANY (%(schemas)s) AND p.prokind IN ('f', 'p') AND p.proacl IS NOT NULL
        AND NOT EXISTS (SELECT FROM aclexplode(p.proacl) WHERE grantee = 0)
        AND NOT {_of_an_extension("pg_proc", "p.oid")}
    ORDER BY p.oid"""

OWN_SEQUENCES = """
    SELECT c.oid, c.oid::regclass AS name, i.refobjid, i.refobjsubid, i.deptype, format(
            'START %%s INCREMENT %%s MINVALUE %%s MAXVALUE %%s CACHE %%s%%s', s.seqstart,
            s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
            CASE WHEN s.seqcycle THEN ' CYCLE' END) AS options, s.seqtypid
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_sequence AS s ON s.seqrelid = c.oid
    LEFT JOIN pg_depend AS i ON i.classid = 'pg_class'::regclass AND i.objid = c.oid
        AND i.refclassid = 'pg_class'::regclass AND i.deptype IN ('i', 'a') AND i.refobjsubid > 0
    WHERE n.nspname = ANY (%(schemas)s)
        AND (i.refobjid IS NULL OR i.refobjid = ANY (%(tables)s))"""

SEQUENCE = """
    SELECT name::text, format('CREATE SEQUENCE %%s AS %%s %%s', name, format_type(seqtypid, NULL),
        options), NULL
    FROM own_sequences WHERE deptype IS DISTINCT FROM 'i' ORDER BY oid"""

OWNED_SEQUENCE = """
    SELECT s.name::text, format('ALTER SEQUENCE %%s OWNED BY %%s.%%I', s.name,
        s.refobjid::regclass, a.attname), NULL
    FROM own_sequences AS s
    JOIN pg_attribute AS a ON a.attrelid = s.refobjid AND a.attnum = s.refobjsubid
    WHERE s.deptype = 'a' ORDER BY s.oid"""

TABLE = """
    SELECT c.oid::regclass::text, format('CREATE %%sTABLE %%s (%%s)%%s',
        CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED ' END, c.oid::regclass, (
            SELECT string_agg(format('%%I %%s%%s%%s%%s', a.attname,
                format_type(a.atttypid, a.atttypmod),
                CASE WHEN a.attcollation <> t.typcollation
                    THEN ' COLLATE ' || a.attcollation::regcollation END,
                CASE WHEN a.attidentity <> '' THEN format(
                        ' GENERATED %%s AS IDENTITY (SEQUENCE NAME %%s %%s)',
                        CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END,
                        s.name, s.options)
                    WHEN a.attgenerated <> '' THEN format(' GENERATED ALWAYS AS (%%s) %%s',
                        pg_get_expr(f.adbin, f.adrelid),
                        CASE a.attgenerated WHEN 's' THEN 'STORED' ELSE 'VIRTUAL' END)
                    ELSE ' DEFAULT ' || pg_get_expr(f.adbin, f.adrelid) END,
                CASE WHEN a.attnotnull THEN ' NOT NULL' END), ', ' ORDER BY a.attnum)
            FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
            LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
            LEFT JOIN own_sequences AS s ON s.deptype = 'i' AND s.refobjid = a.attrelid
                AND s.refobjsubid = a.attnum
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
        ' WITH (' || array_to_string(c.reloptions, ', ') || ')'), NULL
    FROM pg_class AS c WHERE c.oid = ANY (%(tables)s) ORDER BY c.oid::regclass::text"""

# Foreign keys last: they need the keys that they point to.
CONSTRAINT = f"""
    SELECT format('%%s of %%s', k.conname, k.conrelid::regclass),
        format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', k.conrelid::regclass, k.conname,
            pg_get_constraintdef(k.oid)),
        coalesce(CASE WHEN k.contype = 'f' AND k.confrelid <> ALL (%(tables)s)
            THEN k.confrelid::regclass::text END, {_needs("pg_constraint", "k.oid")})
    FROM pg_constraint AS k
    WHERE k.conrelid = ANY (%(tables)s) AND k.contype IN ('p', 'u', 'x', 'c', 'f')
    ORDER BY k.contype = 'f', k.oid"""

VIEW = f"""
    SELECT c.oid::regclass::text, format('CREATE %%sVIEW %%s%%s AS %%s',
        CASE c.relkind WHEN 'm' THEN 'MATERIALIZED ' END, c.oid::regclass,
        ' WITH (' || array_to_string(c.reloptions, ', ') || ')', pg_get_viewdef(c.oid)),
        {_needs("pg_rewrite", "r.oid")}
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_rewrite AS r ON r.ev_class = c.oid AND r.rulename = '_RETURN'
    WHERE n.nspname = ANY (%(schemas)s) AND NOT {_of_an_extension("pg_class", "c.oid")}
    ORDER BY c.oid"""

INDEX = f"""
    SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid),
        {_needs("pg_class", "i.indexrelid")}
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
    WHERE (c.oid = ANY (%(tables)s)
            OR c.relkind = 'm' AND c.relnamespace::regnamespace::text = ANY (%(schemas)s))
        AND i.indisvalid AND NOT EXISTS (SELECT FROM pg_constraint AS k
            WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
    ORDER BY i.indexrelid"""

TRIGGER = f"""
    SELECT format('%%s on %%s', t.tgname, t.tgrelid::regclass), pg_get_triggerdef(t.oid)
        || CASE WHEN t.tgenabled <> 'O' THEN format('; ALTER TABLE %%s %%s TRIGGER %%I',
            t.tgrelid::regclass, CASE t.tgenabled WHEN 'D' THEN 'DISABLE'
                WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, t.tgname) ELSE '' END,
        {_needs("pg_trigger", "t.oid")}
    FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND (c.oid = ANY (%(tables)s)
        OR c.relkind = 'v' AND c.relnamespace::regnamespace::text = ANY (%(schemas)s))
    ORDER BY t.tgrelid::regclass::text, t.tgname"""

IN_ORDER = (
    (Stage.BEFORE_ROWS, "schema", SCHEMA),
    (Stage.BEFORE_ROWS, "extension", EXTENSION),
    (Stage.BEFORE_ROWS, "type", TYPE),
    (Stage.BEFORE_ROWS, "function", FUNCTION),
    (Stage.BEFORE_ROWS, "sequence", SEQUENCE),
    (Stage.BEFORE_ROWS, "table", TABLE),
    (Stage.AFTER_ROWS, "constraint", CONSTRAINT),
    (Stage.AFTER_ROWS, "view", VIEW),
    (Stage.AFTER_ROWS, "index", INDEX),
    (Stage.AFTER_ROWS, "trigger", TRIGGER),
    (Stage.AFTER_ROWS, "owned sequence", OWNED_SEQUENCE),
    (Stage.AFTER_ROWS, "closed function", CLOSED_FUNCTION),
)


def rebuilding(
    connection: Connection, contents: Contents
) -> tuple[Sequence[Statement], Sequence[LeftOut]]:
    """How to make all of it again, and what could not be made without what is elsewhere."""
    values = {"schemas": list(SCHEMAS), "tables": [table.oid for table in contents.tables]}
    found: list[Statement] = []
    left_out: list[LeftOut] = []
    for stage, kind, query in IN_ORDER:
        for name, sql, needs in _asked(connection, query, values):
            if needs:
                left_out.append(
                    LeftOut(name=f"{kind} {name}", why=f"it needs {needs}, which is not ours")
                )
            else:
                found.append(Statement(kind=kind, name=name, stage=stage, sql=sql))
    return [*found, *_sequence_values(connection, values)], left_out


def _asked(
    connection: Connection, query: str, values: Mapping[str, object]
) -> list[tuple[Any, ...]]:
    known = f"WITH used_types AS ({USED_TYPES}), own_sequences AS ({OWN_SEQUENCES})"
    return connection.execute(f"{known} {query}".encode(), values).fetchall()


def _sequence_values(connection: Connection, values: Mapping[str, object]) -> Iterator[Statement]:
    """Where each stands now; never behind the rows of the snapshot, which is older."""
    for (name,) in _asked(connection, "SELECT name::text FROM own_sequences ORDER BY 1", values):
        row = connection.execute(
            f"SELECT format('SELECT setval(%L, %s, %L)', {literal(name)}, last_value, is_called) "
            f"FROM {name}".encode()
        ).fetchone()
        sql = str(row[0]) if row else ""
        yield Statement(kind="sequence value", name=name, stage=Stage.AFTER_ROWS, sql=sql)
