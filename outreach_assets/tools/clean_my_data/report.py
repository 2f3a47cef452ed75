"""What cleaning_report.json holds, field by field; who counts it is in reporting.py."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1


class Part(BaseModel):
    """What every part of the report is."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RowCounts(Part):
    """Every row read is in one of the other three."""

    read: int
    cleaned: int
    quarantined: int
    duplicates_removed: int


class AgentReport(Part):
    """What one agent did."""

    agent: str
    is_on: bool
    cells_changed: int
    cells_left: int
    """Looked at, not understood or only flagged, and named in the log."""

    rows_removed: int
    rows_quarantined: int


class ColumnReport(Part):
    """What was done to one column."""

    name: str
    kind: str
    share: float | None
    """Of its different values, how many are of that kind."""

    says: str | None
    cells_changed: Mapping[str, int]
    cells_left: Mapping[str, int]


class CleaningReport(Part):
    """The whole report."""

    schema_version: int
    tool: str
    tool_version: str
    file: Mapping[str, object]
    parameters: Mapping[str, object]
    rows: RowCounts
    turns: int
    """How often the table was gone through; the last time changed nothing."""

    is_settled: bool
    """Whether cleaning the cleaned file changes nothing more."""

    agents: Sequence[AgentReport]
    columns: Sequence[ColumnReport]
    reasons: Mapping[str, int]
    """Quarantined rows by agent and reason, rows' numbers left out."""
