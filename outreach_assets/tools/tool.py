"""What a tool says of itself before anybody runs it: its parameters, what it reads and writes.

Each tool's own manifest is in its folder; what it does is loaded by the worker only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name

from pydantic import BaseModel, ConfigDict, ValidationError

from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError

PRIMARY, BASELINE = "primary", "baseline"

CSV = "text/csv"
JSON = "application/json"
HTML = "text/html"
PARQUET = "application/vnd.apache.parquet"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

READABLE = (CSV, "text/tab-separated-values", "application/x-ndjson", PARQUET, XLSX)
"""What every tool takes, whatever the file is called."""


class Parameters(BaseModel):
    """What a tool may be told; each tool has its own subclass, every field with a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, kw_only=True)
class ToolInput:
    """A file the tool reads."""

    name: str
    says: str
    is_required: bool = True


@dataclass(frozen=True, kw_only=True)
class ToolOutput:
    """A file the tool writes."""

    name: str
    content_type: str
    says: str
    is_always_written: bool = True
    schema: str | None = None
    """Of a JSON file: `module:model` of what is in it, field by field."""

    def as_json(self) -> dict[str, object]:
        """As programs read it."""
        return {
            "name": self.name,
            "content_type": self.content_type,
            "description": self.says,
            "always": self.is_always_written,
            "schema": resolve_name(self.schema).model_json_schema() if self.schema else None,
        }


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One tool's manifest."""

    id: str
    title: str
    says: str
    """What it does, in one sentence."""

    version: str
    """Changes when the same file and parameters may give another result."""

    parameters: type[Parameters]
    inputs: Sequence[ToolInput]
    outputs: Sequence[ToolOutput]
    work: str
    """`module:function`, which takes an Assignment and gives what is worth saying at once."""

    def as_json(self) -> dict[str, object]:
        """The manifest as programs read it; `parameters` is a JSON schema."""
        return {
            "id": self.id,
            "title": self.title,
            "description": self.says,
            "version": self.version,
            "parameters": self.parameters.model_json_schema(),
            "inputs": [
                {
                    "name": one.name,
                    "description": one.says,
                    "required": one.is_required,
                    "content_types": list(READABLE),
                }
                for one in self.inputs
            ],
            "outputs": [one.as_json() for one in self.outputs],
        }

    def checked_parameters(self, given: Mapping[str, object]) -> Parameters:
        """The parameters with their defaults. Raises ToolRefusedError naming every wrong one."""
        try:
            return self.parameters.model_validate(dict(given))
        except ValidationError as error:
            wrong = "; ".join(
                _problem(".".join(str(part) for part in one["loc"]), one["type"], one["msg"])
                for one in error.errors(include_url=False, include_input=False)
            )
            known = ", ".join(self.parameters.model_fields)
            raise ToolRefusedError(
                ErrorCode.INVALID_PARAMETERS, f"{wrong}. {self.id} knows {known}"
            ) from error


def _problem(name: str, kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return f"there is no parameter {name[:80]}"
    return f"{name}: {message[:1].lower()}{message[1:]}"
