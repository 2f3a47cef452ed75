"""What validate-outreach takes and gives."""

from enum import StrEnum

from pydantic import Field

from outreach_assets.tools.tool import CSV, JSON, PRIMARY, Parameters, Tool, ToolInput, ToolOutput


class WhichTable(StrEnum):
    """The tables there are rules for, or: see by the columns."""

    AUTO = "auto"
    COMPANIES = "companies"
    PEOPLE = "people"


class ValidateParameters(Parameters):
    """What validate-outreach may be told."""

    table: WhichTable = Field(
        default=WhichTable.AUTO,
        description="Whose rules the rows are judged by; auto sees it by the columns.",
    )


VALIDATE_OUTREACH = Tool(
    id="validate-outreach",
    title="Validate outreach rows",
    says="Judges a file of companies or people by the very rules of the nightly pipeline.",
    version="1",
    parameters=ValidateParameters,
    inputs=(ToolInput(name=PRIMARY, says="Rows of company_master or people_master."),),
    outputs=(
        ToolOutput(
            name="good.csv",
            content_type=CSV,
            says="The rows that are good, in the order in which they came.",
        ),
        ToolOutput(
            name="bad.csv",
            content_type=CSV,
            says="The rows that are bad, with every reason by name and in words.",
        ),
        ToolOutput(
            name="validation_summary.json",
            content_type=JSON,
            says="Counts, broken rules, keys missing or repeated, values of a wrong type.",
        ),
    ),
    work="outreach_assets.tools.validate_outreach.judge:judge_file",
)
