"""What clean-my-data takes and gives."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from outreach_assets.tools.clean_my_data.agents import DEFAULT, SAYS, Agent
from outreach_assets.tools.tool import (
    CSV,
    JSON,
    PARQUET,
    PRIMARY,
    XLSX,
    Parameters,
    Tool,
    ToolInput,
    ToolOutput,
)

NULL_WORDS = ("null", "(null)", "n/a", "#n/a", "nan", "nil", "-", "--", "?")


class DateOrder(StrEnum):
    """Which of day and month comes first in 1/2/2024."""

    AUTO = "auto"
    DAY_FIRST = "day_first"
    MONTH_FIRST = "month_first"


class FillWith(StrEnum):
    """What empty cells are filled with."""

    VALUE = "value"
    MOST_FREQUENT = "most_frequent"


class OutlierAction(StrEnum):
    """What becomes of a row with an outlier."""

    FLAG = "flag"
    QUARANTINE = "quarantine"


def _listed(given: object) -> object:
    """`a,b` as a command line says a list."""
    if isinstance(given, str):
        return [word.strip() for word in given.split(",") if word.strip()]
    return given


def _known_agents(given: object) -> object:
    names = _listed(given)
    if isinstance(names, Iterable):
        unknown = [str(name)[:40] for name in names if name not in list(Agent)]
        if unknown:
            raise ValueError(
                f"there is no agent {', '.join(unknown)}: there are {', '.join(Agent)}"
            )
    return names


def _known_region(region: str) -> str:
    # A tenth of a second to import, which who only lists the tools need not wait for.
    from phonenumbers import SUPPORTED_REGIONS  # noqa: PLC0415

    if region.upper() not in SUPPORTED_REGIONS:
        raise ValueError("is no region: write a country's two-letter code, such as US")
    return region.upper()


Words = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class CleanParameters(Parameters):
    """What clean-my-data may be told."""

    agents: Annotated[tuple[Agent, ...], BeforeValidator(_known_agents)] = Field(
        default=DEFAULT,
        description="Who cleans, separated by commas; in whatever order they are named, they work "
        "in this one. " + " ".join(f"{agent}: {says}" for agent, says in SAYS.items()),
    )
    evidence: float = Field(
        default=0.8,
        ge=0.5,
        le=1,
        description="A column is one of dates, numbers, phones, emails, URLs or states when at "
        "least this share of its different values is.",
    )
    date_order: DateOrder = Field(
        default=DateOrder.AUTO,
        description="What 1/2/2024 means; auto sees it by the other values of the column.",
    )
    phone_region: Annotated[str, AfterValidator(_known_region)] = Field(
        default="US", description="Where phone numbers without a country code are, as its code."
    )
    null_words: Words = Field(
        default=NULL_WORDS, description="Words that mean that there is no value, in any case."
    )
    fill_with: FillWith = Field(
        default=FillWith.VALUE,
        description="What fill_nulls fills in: fill_value, or each column's most frequent value.",
    )
    fill_value: str = Field(
        default="unknown", min_length=1, max_length=1000, description="See fill_with."
    )
    fill_columns: Words = Field(
        default=(), description="Columns that fill_nulls fills; all when none is named."
    )
    required_columns: Words = Field(default=(), description="See drop_nulls.")
    match_columns: Words = Field(
        default=(),
        description="Columns that near_duplicates compares; all when none is named, and then no "
        "two rows with different ids are alike.",
    )
    similarity: float = Field(
        default=0.95,
        ge=0.8,
        le=1,
        description="Jaro-Winkler similarity from which near_duplicates takes letters for alike.",
    )
    outlier_action: OutlierAction = Field(
        default=OutlierAction.FLAG, description="flag changes nothing but the log."
    )
    outlier_fence: float = Field(
        default=3,
        ge=1,
        le=20,
        description="A number is an outlier beyond so many interquartile ranges.",
    )
    keep_formulas: bool = Field(
        default=False,
        description="Leave cells that a spreadsheet would run as formulas as they are; otherwise "
        "they get a ' before them.",
    )

    @model_validator(mode="after")
    def _fills_with_a_value(self) -> "CleanParameters":
        if self.fill_value.strip().lower() in {"", *(word.lower() for word in self.null_words)}:
            raise ValueError("fill_value is a word for no value: choose another")
        return self


CLEAN_MY_DATA = Tool(
    id="clean-my-data",
    title="Clean my data",
    says="Cleans a table by agents that can be chosen; every change is in a log.",
    version="1",
    parameters=CleanParameters,
    inputs=(ToolInput(name=PRIMARY, says="The table to clean."),),
    outputs=(
        ToolOutput(
            name="cleaned_data.csv",
            content_type=CSV,
            says="The cleaned rows, in their order and with their columns.",
        ),
        ToolOutput(
            name="quarantined_rows.csv",
            content_type=CSV,
            says="Rows left out, as cleaned so far, with their number in the file and the reason.",
        ),
        ToolOutput(
            name="cleaning_log.parquet",
            content_type=PARQUET,
            says="Row, column, before, after, agent and, where a cell was left or a row taken out, "
            "the reason. Rows are counted from 1, without the line of names.",
        ),
        ToolOutput(
            name="cleaning_report.json",
            content_type=JSON,
            says="For programs: counts by agent and column.",
            schema="outreach_assets.tools.clean_my_data.report:CleaningReport",
        ),
        ToolOutput(name="cleaning_report.xlsx", content_type=XLSX, says="The same for people."),
        ToolOutput(
            name="cleaned_data.tsv",
            content_type="text/tab-separated-values",
            says="Also this when the file was TSV.",
            is_always_written=False,
        ),
        ToolOutput(
            name="cleaned_data.jsonl",
            content_type="application/x-ndjson",
            says="Also this when the file was JSON Lines.",
            is_always_written=False,
        ),
        ToolOutput(
            name="cleaned_data.parquet",
            content_type=PARQUET,
            says="Also this when the file was Parquet.",
            is_always_written=False,
        ),
        ToolOutput(
            name="cleaned_data.xlsx",
            content_type=XLSX,
            says="Also this when the file was XLSX.",
            is_always_written=False,
        ),
    ),
    work="outreach_assets.tools.clean_my_data.clean:clean_file",
)
