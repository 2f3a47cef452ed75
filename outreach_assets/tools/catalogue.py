"""All tools, in the order in which they are listed."""

from outreach_assets.tools.clean_my_data.manifest import CLEAN_MY_DATA
from outreach_assets.tools.profile_my_data.manifest import PROFILE_MY_DATA
from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError
from outreach_assets.tools.tool import Tool
from outreach_assets.tools.validate_outreach.manifest import VALIDATE_OUTREACH

TOOLS = (PROFILE_MY_DATA, VALIDATE_OUTREACH, CLEAN_MY_DATA)


def tool_by_id(tool_id: str) -> Tool:
    """The tool of that id. Raises ToolRefusedError naming the ones there are."""
    for tool in TOOLS:
        if tool.id == tool_id:
            return tool
    known = ", ".join(tool.id for tool in TOOLS)
    raise ToolRefusedError(
        ErrorCode.INVALID_TOOL_ID, f"there is no tool {tool_id[:80]}: there are {known}"
    )
