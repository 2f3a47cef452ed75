"""What profile-my-data takes and gives."""

from pydantic import Field

from outreach_assets.tools.tool import (
    BASELINE,
    HTML,
    JSON,
    PRIMARY,
    XLSX,
    Parameters,
    Tool,
    ToolInput,
    ToolOutput,
)


class ProfileParameters(Parameters):
    """What profile-my-data may be told."""

    top_values: int = Field(
        default=10, ge=1, le=50, description="How many of the most frequent values are listed."
    )
    outlier_fence: float = Field(
        default=1.5,
        ge=0.5,
        le=10,
        description="A number is an outlier beyond so many interquartile ranges.",
    )
    drift_bins: int = Field(
        default=10, ge=2, le=50, description="In how many bins PSI compares numbers."
    )


PROFILE_MY_DATA = Tool(
    id="profile-my-data",
    title="Profile my data",
    says="Says what is in every column, how good the table is, and how it drifted from a baseline.",
    version="3",
    parameters=ProfileParameters,
    inputs=(
        ToolInput(name=PRIMARY, says="The table to look at."),
        ToolInput(name=BASELINE, says="An earlier one to compare it with.", is_required=False),
    ),
    outputs=(
        ToolOutput(
            name="data_profile_report.html", content_type=HTML, says="For people, in one page."
        ),
        ToolOutput(
            name="data_profile_report.xlsx", content_type=XLSX, says="For people, as a workbook."
        ),
        ToolOutput(
            name="data_profile_report.json",
            content_type=JSON,
            says="For programs.",
            schema="outreach_assets.tools.profile_my_data.report:ProfileReport",
        ),
    ),
    work="outreach_assets.tools.profile_my_data.profile:profile_file",
)
