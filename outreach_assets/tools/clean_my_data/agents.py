"""The agents that clean, by name: in which order they work, which do when nobody chooses.

What each does is in the file of its subject; who calls them is in cells.py and rows.py.
"""

from enum import StrEnum


class Agent(StrEnum):
    """Those that can be chosen, in the order in which they work."""

    UNICODE = "unicode"
    TRIM = "trim"
    NULL_WORDS = "null_words"
    DATES = "dates"
    NUMBERS = "numbers"
    PHONES = "phones"
    EMAILS = "emails"
    URLS = "urls"
    STATES = "states"
    FILL_NULLS = "fill_nulls"
    DROP_NULLS = "drop_nulls"
    EXACT_DUPLICATES = "exact_duplicates"
    NEAR_DUPLICATES = "near_duplicates"
    OUTLIERS = "outliers"


PLAIN_TEXT, FORMULAS = "plain_text", "formulas"
"""The first and the last to work on a cell. They cannot be left out: CSV holds no NUL and one kind
of line end, and a spreadsheet would run what `formulas` marks."""

DEFAULT = tuple(
    agent
    for agent in Agent
    if agent not in (Agent.FILL_NULLS, Agent.DROP_NULLS, Agent.NEAR_DUPLICATES)
)

SAYS = {
    Agent.UNICODE: "Composes characters (NFC), removes zero-width and control characters, makes "
    "every odd space a plain one.",
    Agent.TRIM: "Removes white space around a value; a cell of nothing else becomes empty.",
    Agent.NULL_WORDS: "Empties cells that say that there is no value (null_words).",
    Agent.DATES: "Writes dates as ISO 8601, in columns of dates. Which of day and month comes "
    "first is seen by the column's values; where they do not say it, the cell is left.",
    Agent.NUMBERS: "Takes thousands separators and the currency away and writes a decimal point, "
    "in columns of numbers. A column of two currencies or two decimal marks is left.",
    Agent.PHONES: "Writes phone numbers as E.164, in columns of phone numbers that are called so "
    "or are punctuated; numbers with an extension are left.",
    Agent.EMAILS: "Writes email addresses in lower case without mailto:, <> and what follows, in "
    "columns of addresses.",
    Agent.URLS: "Adds https:// where there is no scheme, writes scheme and host in lower case, "
    "in columns of URLs that are called so or mostly have a scheme or www.",
    Agent.STATES: "Writes US states and territories as their codes, in columns called state, "
    "province or region whose values are such.",
    Agent.FILL_NULLS: "Fills empty cells (fill_with, fill_value, fill_columns).",
    Agent.DROP_NULLS: "Quarantines rows without a value in required_columns; without any value at "
    "all when there are none.",
    Agent.EXACT_DUPLICATES: "Removes rows that are equal to an earlier one in every column.",
    Agent.NEAR_DUPLICATES: "Quarantines rows like an earlier one in match_columns: the same digits "
    "and, but for case, accents and punctuation, the same or similar letters.",
    Agent.OUTLIERS: "Flags in the log, or quarantines, rows with a number far from the others of "
    "its column (outlier_action, outlier_fence).",
}
