"""The names of a file's columns: how many there may be, and that each is one name."""

from collections import Counter
from collections.abc import Sequence

from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError

MOST_COLUMNS = 1000
SHOWN = 5


def checked_names(names: Sequence[object]) -> list[str]:
    """The names without the blanks around them.

    Raises ToolRefusedError when there are too many, or one is empty or there twice.
    """
    if len(names) > MOST_COLUMNS:
        raise ToolRefusedError(
            ErrorCode.TOO_MANY_COLUMNS,
            f"there are {len(names):,} columns: at most {MOST_COLUMNS:,} are read. Leave some out, "
            "or turn the table around when its rows are columns",
        )
    found = ["" if name is None else str(name).strip() for name in names]
    empty = [f"{place}" for place, name in enumerate(found, start=1) if not name]
    if empty:
        raise ToolRefusedError(
            ErrorCode.EMPTY_COLUMN_NAMES,
            f"column {_listed(empty)} has no name: name every column in the first line",
        )
    twice = [name[:60] for name, count in Counter(found).items() if count > 1]
    if twice:
        raise ToolRefusedError(
            ErrorCode.DUPLICATE_COLUMN_NAMES,
            f"more than one column is called {_listed(twice)}: give each a name of its own",
        )
    return found


def _listed(words: Sequence[str]) -> str:
    more = len(words) - SHOWN
    return ", ".join(words[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def inner_name(place: int) -> str:
    """What the column is called in our own tables: no name from a file is ever part of SQL."""
    return f"c{place}"


def literal(text: str) -> str:
    """A value as SQL: binding one imports pandas and pyarrow, 0.8 s (measured)."""
    return "'" + text.replace("'", "''") + "'"
