"""What can be asked of the sample rows, in words that cost nothing to import.

Making them is in sample_data.py.
"""

from dataclasses import dataclass
from enum import StrEnum

from outreach_core.errors import PermanentError

PEOPLE_PER_COMPANY = 4


class SampleSize(StrEnum):
    """How much; every size begins with the rows of the smaller ones of the same seed."""

    DEMO = "demo"
    S = "S"
    M = "M"
    L = "L"

    @property
    def companies(self) -> int:
        """Rows in marketing.company_master; people are four times as many."""
        return {"demo": 15_000, "S": 37_000, "M": 370_000, "L": 1_480_000}[self.value]

    @property
    def people(self) -> int:
        """Rows in marketing.people_master."""
        return self.companies * PEOPLE_PER_COMPANY


class SampleTarget(StrEnum):
    """Whose database it is. A named one (`NEON_*`) takes a second word from the person."""

    EMBEDDED = "embedded"
    NAMED = "named"
    NAMED_ON_PURPOSE = "named on purpose"


class ExistingRows(StrEnum):
    """What becomes of rows that are in the tables already."""

    REFUSE = "refuse"
    REPLACE = "replace"


@dataclass(frozen=True, kw_only=True)
class SampleFacts:
    """What was loaded, and how long it took."""

    companies: int
    people: int
    seconds: float


class SampleRefusedError(PermanentError):
    """Loading would touch rows or a database that nobody said it may touch."""
