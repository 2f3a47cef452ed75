"""How a row of Neon finds its state, as SQL for Postgres.

Which column says it is in tables/; who pulls the rows is extract.py, who only asks whether they
have changed is source_versions.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from outreach_assets.steps.source import Snapshot, key_is_unique
from outreach_assets.tables.table import OwnState, StateOf, Table, literal, quoted
from outreach_core.states import ALL_STATES, STATE_CODES, UNASSIGNED


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A source table together with what says each row's state."""

    source: str
    """What to write after FROM; the table's own rows are called `t`."""

    column: str
    """The SQL column that holds a state's code, some other word, or NULL."""

    @property
    def state(self) -> str:
        """SQL for the row's partition: never NULL, never a code that is none of ours."""
        return known_or_unassigned(self.column)

    def is_in(self, states: Sequence[str]) -> str:
        """The rows of these states. Each alternative alone, so that an index is used."""
        if set(states) == set(ALL_STATES):
            return "TRUE"
        wanted = [s for s in states if s != UNASSIGNED]
        either = [f"{self.column} IN ({_listed(wanted)})"] if wanted else []
        if UNASSIGNED in states:
            either += [f"{self.column} IS NULL", f"{self.column} NOT IN ({_listed(STATE_CODES)})"]
        return "(" + " OR ".join(either) + ")"


def placed(snapshot: Snapshot, table: Table) -> Placed:
    """The table as `t`, joined to the one that knows its rows' state where that is another."""
    match table.state:
        case OwnState(column=column):
            return Placed(source=f"{table.source} AS t", column=f"t.{quoted(column)}")
        case StateOf(table=Table(state=OwnState(column=there)) as other, column=column):
            unique = key_is_unique(snapshot, other)
            looked_up = other.source if unique else _once_per_key(other, there)
            joined = f"LEFT JOIN {looked_up} AS s ON s.{quoted(other.key)} = t.{quoted(column)}"
            return Placed(source=f"{table.source} AS t {joined}", column=f"s.{quoted(there)}")
        case _:
            raise NotImplementedError(f"{table.name}: a state two tables away")


def known_or_unassigned(column: str) -> str:
    """SQL for the code in the column, or `unassigned`."""
    return f"CASE WHEN {column} IN ({_listed(STATE_CODES)}) THEN {column} ELSE '{UNASSIGNED}' END"


def _once_per_key(table: Table, column: str) -> str:
    """Each key with one state, the same that extract.py's scan gives it; reads the whole table."""
    state = f'min({known_or_unassigned(quoted(column))} COLLATE "C")'
    key = quoted(table.key)
    return f"(SELECT {key}, {state} AS {quoted(column)} FROM {table.source} GROUP BY {key})"


def _listed(codes: Sequence[str]) -> str:
    return ", ".join(literal(code) for code in codes)
