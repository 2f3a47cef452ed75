"""Why a tool did not do what it was asked to: a code for programs, a sentence for people."""

from enum import StrEnum

from outreach_core.errors import PermanentError


class ErrorCode(StrEnum):
    """What programs may rely on; the sentence beside it may change."""

    INVALID_TOOL_ID = "INVALID_TOOL_ID"
    INVALID_PARAMETERS = "INVALID_PARAMETERS"
    FILES_NOT_FOUND = "FILES_NOT_FOUND"
    EMPTY_FILE = "EMPTY_FILE"
    NO_ROWS = "NO_ROWS"
    UNSUPPORTED_TYPE = "UNSUPPORTED_TYPE"
    BAD_ENCODING = "BAD_ENCODING"
    NUL_BYTES = "NUL_BYTES"
    LINE_TOO_LONG = "LINE_TOO_LONG"
    QUOTE_NOT_CLOSED = "QUOTE_NOT_CLOSED"
    RAGGED_ROWS = "RAGGED_ROWS"
    TOO_MANY_COLUMNS = "TOO_MANY_COLUMNS"
    EMPTY_COLUMN_NAMES = "EMPTY_COLUMN_NAMES"
    DUPLICATE_COLUMN_NAMES = "DUPLICATE_COLUMN_NAMES"
    BAD_CSV = "BAD_CSV"
    BAD_JSON = "BAD_JSON"
    BAD_PARQUET = "BAD_PARQUET"
    BAD_XLSX = "BAD_XLSX"
    UNPACKS_TOO_LARGE = "UNPACKS_TOO_LARGE"
    TABLE_NOT_RECOGNISED = "TABLE_NOT_RECOGNISED"
    MISSING_COLUMNS = "MISSING_COLUMNS"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    DISK_FULL = "DISK_FULL"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    TOOL_CRASHED = "TOOL_CRASHED"


class ToolRefusedError(PermanentError):
    """The tool did not do it; `code` says why to programs, the message to people."""

    def __init__(self, code: ErrorCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
