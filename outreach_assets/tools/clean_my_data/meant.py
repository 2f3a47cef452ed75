"""What the values of a column are found to mean, as the SQL that writes them in one way."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Meant:
    """SQL over `value`, which has been trimmed and is not NULL."""

    after: str
    """The value as it should be written; NULL where it cannot be known."""

    left: str
    """Why it was left, where `after` is NULL."""

    says: str | None = None
    """What the column was found to say, such as that days come first."""

    relation: str | None = None
    """The table to look in, when it is not that of the values: it has value and `after`."""
