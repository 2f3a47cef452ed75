"""The report: what data_profile_report.json holds, and what the workbook and the page show.

Shares are between 0 and 1. Every value that came from the file has been masked where it, or its
column, is personal. Fields may be added within one schema version; none changes its meaning.
"""

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1


class Part(BaseModel):
    """Every part of a report: frozen, and described by its docstrings."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, extra="forbid")


class FileFacts(Part):
    """The file as it was handed in."""

    kind: str
    """CSV, JSON Lines, Parquet or XLSX."""

    size_bytes: int
    encoding: str | None
    """What the text was written in; it was read as such. None for Parquet and XLSX."""

    delimiter: str | None
    sheet: str | None
    """The sheet that was read, of a workbook: always the first."""

    ragged_rows: int
    """Rows left out because they have more or fewer cells than there are columns."""

    first_ragged_rows: list[str]


class Counted(Part):
    """A value, a pattern or a form, and in how many rows it is."""

    value: str
    rows: int
    share: float
    """Of the rows that have a value."""


class Lengths(Part):
    """Characters per value."""

    shortest: int
    longest: int
    mean: float


class Bin(Part):
    """One bar of a histogram: from its lower edge up to the next one."""

    start: str
    end: str
    rows: int


class Spread(Part):
    """How numbers or times lie: the quantiles interpolate linearly, as numpy and pandas do."""

    min: str
    p01: str
    p05: str
    p25: str
    p50: str
    p75: str
    p95: str
    p99: str
    max: str
    histogram: list[Bin]
    """Twenty bars between the outer fences; what lies beyond is in the first and the last."""


class Numbers(Part):
    """What is known of a column of numbers, beyond how they lie."""

    mean: float
    standard_deviation: float | None
    """Of a sample: divided by n - 1. None for a single number."""

    sum: float
    zeros: int
    negatives: int


class Outliers(Part):
    """Numbers or times beyond the fences: quartiles -+ `outlier_fence` interquartile ranges."""

    rows: int
    below: str
    above: str


class Sensitive(Part):
    """Something personal that was found."""

    kind: str
    rows: int
    how: str
    """`whole value`, `inside text`, or `column name`: what it was recognised by."""


class ColumnReport(Part):
    """One column."""

    name: str
    place: int
    """1 is the first."""

    type: str
    """What at least 95 % of the values are: integer, decimal, boolean, date, timestamp or text; or
    empty. Numbers with leading zeros are text: they are codes."""

    meaning: str
    """What they stand for: email, phone, url, date, id, category, state, money, percent, zip,
    name, number, boolean, ip address, social security number, card number or text."""

    fits: int
    """Rows whose value is what the type or meaning asks for."""

    rows: int
    nulls: int
    """No value at all; an empty cell of a CSV."""

    blanks: int
    """A value of nothing but white space, or an empty text where the file can tell."""

    distinct: int
    unique: int
    """Values that are in one row only."""

    duplicates: int
    """Rows with a value that an earlier row has."""

    padded: int
    """Rows with white space before or behind the value."""

    lengths: Lengths | None
    top_values: list[Counted]
    patterns: list[Counted]
    """Digits as 9, letters as a and A, runs of letters as a+ and A+; from a sample of the distinct
    values where there are many more than 5,000."""

    forms: list[Counted]
    """How the values are written, where there are known ways: dates, numbers, phones, …"""

    is_day_first: bool
    """Whether 1/2/2024 was read as the first of February."""

    spread: Spread | None
    numbers: Numbers | None
    outliers: Outliers | None
    sensitive: list[Sensitive]
    score: float
    """0 to 100: the mean of the column's completeness, validity and consistency."""


class Dependency(Part):
    """Each value of one column goes with one value of another, in every row."""

    column: str
    follows_from: str
    groups: int
    """Values of `follows_from` that are in more than one row: the evidence."""


class Correlation(Part):
    """How two columns go together."""

    first: str
    second: str
    measure: str
    """`pearson` for two columns of numbers (-1 to 1), `cramers_v` for two categories (0 to 1)."""

    value: float


class TableReport(Part):
    """The rows as a whole."""

    rows: int
    columns: int
    empty_cells: int
    """Nulls and blanks."""

    duplicate_rows: int
    """Rows equal to an earlier one in every column."""

    keys: list[list[str]]
    """Columns, or pairs where no single one does, that tell every row from every other."""

    dependencies: list[Dependency]
    correlations: list[Correlation]
    correlations_are_approximate: bool
    """Whether they are from about 100,000 rows all over the table, which has more than 200,000:
    then a correlation is off by less than 0.01 in 99 of 100 cases."""

    not_looked_at: list[str]
    """What was left out because the table is too wide, as sentences."""


class QualityPart(Part):
    """One part of the score."""

    name: str
    score: float
    weight: float
    says: str
    """What was counted, as a sentence."""


class Quality(Part):
    """How good the table is: 0 to 100, the weighted mean of its parts."""

    score: float
    parts: list[QualityPart]


class Issue(Part):
    """Something to look at, worst first."""

    severity: str
    """high, medium or low."""

    code: str
    column: str | None
    rows: int
    sentence: str


class ColumnDrift(Part):
    """One column beside the baseline's column of the same name."""

    name: str
    compared_as: str
    """numbers, times, categories, or values: ids and text, where new values are the rule."""

    verdict: str
    """stable (PSI under 0.1), moderate (under 0.25), major; or not compared."""

    psi: float | None
    """Population stability index. A share of nothing counts as 0.0001."""

    ks: float | None
    """Kolmogorov-Smirnov: the largest distance between the two cumulative distributions."""

    ks_p_value: float | None
    null_share_before: float
    null_share_now: float
    unseen_rows: int
    """Rows whose value the baseline does not have."""

    new_values: list[Counted]
    vanished_values: list[Counted]


class TypeChange(Part):
    """A column of another type than before."""

    name: str
    before: str
    now: str


class DriftReport(Part):
    """The table beside its baseline."""

    rows_before: int
    rows_now: int
    columns_added: list[str]
    columns_removed: list[str]
    types_changed: list[TypeChange]
    columns: list[ColumnDrift]


class ProfileReport(Part):
    """Everything profile-my-data found out."""

    schema_version: int = SCHEMA_VERSION
    tool: str
    tool_version: str
    parameters: dict[str, int | float]
    file: FileFacts
    table: TableReport
    quality: Quality
    issues: list[Issue]
    columns: list[ColumnReport]
    drift: DriftReport | None
