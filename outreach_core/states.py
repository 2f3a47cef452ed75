"""The states a row can belong to: what the partitions are, and where rows without a state go.

How a row finds its state is SQL and lives with the extract step.
"""

from collections.abc import Iterable

from outreach_core.errors import PermanentError

UNASSIGNED = "unassigned"
"""Every row whose state is NULL or no known code, and every person whose company does not exist."""

STATE_CODES = tuple(
    """
    AK AL AR AS AZ CA CO CT DC DE FL GA GU HI IA ID IL IN KS KY LA MA MD ME MI MN MO MP MS MT
    NC ND NE NH NJ NM NV NY OH OK OR PA PR RI SC SD TN TX UT VA VI VT WA WI WV WY
    """.split(),
)
"""USPS codes of the 50 states, DC and the five inhabited territories, in alphabetical order."""

ALL_STATES = (*STATE_CODES, UNASSIGNED)
"""Every partition, in the order Dagster shows them: a run covers a contiguous range of these."""


class UnknownStateError(PermanentError):
    """Somebody asked for a state that is none of ours."""


def checked_states(states: Iterable[str]) -> tuple[str, ...]:
    """The given states, each once, in our order; `wv` is read as `WV`.

    Raises UnknownStateError naming the ones that do not exist.
    """
    asked = {UNASSIGNED if s.lower() == UNASSIGNED else s.upper() for s in states}
    unknown = sorted(asked.difference(ALL_STATES))
    if unknown:
        raise UnknownStateError(
            f"unknown state {', '.join(unknown)}: expected a two-letter code such as WV, "
            f"DC, a territory (AS, GU, MP, PR, VI) or '{UNASSIGNED}'",
        )
    return tuple(s for s in ALL_STATES if s in asked)


def contiguous_ranges(states: Iterable[str]) -> list[tuple[str, ...]]:
    """The states cut into neighbours, because one Dagster run covers one partition range."""
    asked = set(states)
    ranges: list[list[str]] = [[]]
    for state in ALL_STATES:
        if state in asked:
            ranges[-1].append(state)
        elif ranges[-1]:
            ranges.append([])
    return [tuple(r) for r in ranges if r]
