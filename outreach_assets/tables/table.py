"""What one table's entry holds: columns, key, rules. The entries are in the files beside this one.

How rows are pulled and split is in steps/; nothing here runs.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What breaking a rule does to a row."""

    ERROR = "error"
    """The row is bad and carries the rule's name as a reason."""

    WARN = "warn"
    """The row is counted and reported, and stays where it is."""


class Verdict(StrEnum):
    """Where a row goes."""

    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, kw_only=True)
class Linked:
    """What a rule asks of another table's row, which must be in the same state's."""

    table: "Table"
    column: str
    """The column here that holds the other table's key."""

    is_bad: str
    """The column that the rule's SQL may ask: TRUE when the other row is bad, FALSE when it is
    good, unknown or not there. validate.py makes it."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One question a row is asked. It is broken by every answer that is not TRUE, NULL included."""

    name: str
    """What a bad row's `validation_errors` says."""

    says: str
    """When a row is good, as a sentence."""

    complaint: str
    """What is wrong with a row that breaks it, for the people who mend it: `Missing website`."""

    sql: str
    """A DuckDB predicate over the table's columns."""

    asked_when: str = "TRUE"
    """A DuckDB predicate: rows for which it is not TRUE are not asked."""

    linked: Linked | None = None
    """Set when the SQL asks another table's row, too."""

    severity: Severity = Severity.ERROR

    @property
    def broken(self) -> str:
        """SQL that is TRUE or FALSE, never NULL, however the rule answers."""
        return f"(({self.asked_when}) IS TRUE AND ({self.sql}) IS NOT TRUE)"

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that change when what the rule asks, or what breaking it does, does."""
        return hashlib.sha256(json.dumps(self.asked).encode()).hexdigest()[:8]

    @property
    def asked(self) -> list[object]:
        """What makes this rule what it is; the rules of the other table where it asks that."""
        own: list[object] = [self.name, self.sql, self.asked_when, self.severity]
        if self.linked is None:
            return own
        others = [rule.asked for rule in self.linked.table.errors]
        return [*own, self.linked.table.name, self.linked.column, others]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column people know: its type in Postgres and a line of meaning."""

    name: str
    type: str
    means: str
    is_personal: bool = False
    """Masked wherever rows are shown."""


@dataclass(frozen=True, kw_only=True)
class OwnState:
    """The state is a column of the row's own."""

    column: str


@dataclass(frozen=True, kw_only=True)
class StateOf:
    """The state is that of a row of another table, which must be loaded before."""

    table: "Table"
    column: str
    """The column here that holds the other table's key."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One source table and how its rows are judged."""

    name: str
    """What everything derived from it is called: `companies`, `companies_raw`, …"""

    source: str
    """Schema and table in Neon."""

    singular: str
    """What one row is: the failure type of a bad one."""

    key: str
    called: str
    """SQL for what people call a row by; NULL where it has no name."""

    state: "OwnState | StateOf"
    """How a row finds its state."""

    columns: Sequence[Column]
    """The columns known today, in order; what the source has beyond them comes along by itself."""

    rules: Sequence[Rule]
    """In the order in which reasons are listed."""

    @property
    def raw(self) -> str:
        """The DuckDB table of the rows as extracted."""
        return f"{self.name}_raw"

    def judged(self, verdict: Verdict) -> str:
        """`companies_good`: the DuckDB view, and the last part of the asset key."""
        return f"{self.name}_{verdict}"

    @property
    def needed_columns(self) -> set[str]:
        """The columns without which a row cannot be told apart, placed or judged."""
        asked = set(re.findall(r"\w+", " ".join(f"{r.sql} {r.asked_when}" for r in self.rules)))
        asked |= {rule.linked.column for rule in self.rules if rule.linked}
        return asked.intersection(c.name for c in self.columns) | {self.key, self.state.column}

    @property
    def errors(self) -> list[Rule]:
        """The rules that make a row bad."""
        return [rule for rule in self.rules if rule.severity is Severity.ERROR]


def fingerprint(tables: Sequence[Table]) -> str:
    """Sixteen hex digits that change when a rule does: its name, SQL, severity or place."""
    rules = [[t.name, *r.asked] for t in tables for r in t.rules]
    return hashlib.sha256(json.dumps(rules).encode()).hexdigest()[:16]


def quoted(identifier: str) -> str:
    """A name as SQL, safe for any name a source column may have."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL, for DuckDB and Postgres; binding one in DuckDB imports pandas, 0.8 s."""
    return "'" + text.replace("'", "''") + "'"
