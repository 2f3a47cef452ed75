"""What can be asked of an export of failures, in words that cost nothing to import."""

from enum import StrEnum


class FailureType(StrEnum):
    """What has failed."""

    COMPANY = "company"
    PERSON = "person"

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields of the files, in order."""
        return (
            f"{self}_id",
            f"{self}_name",
            "fail_reason",
            "state",
            "validation_timestamp",
            "pipeline_id",
        )


class FailureFormat(StrEnum):
    """The kinds of file; the value is also how their names end."""

    JSON = "json"
    """One array of objects, one object a line."""

    CSV = "csv"
    """RFC 4180 in UTF-8 with a header; NULL and an empty text are both an empty cell."""

    JSONL = "jsonl"
    PARQUET = "parquet"
