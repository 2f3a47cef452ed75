"""How the drills of a destination went, one after the other, drawn.

How such a picture is drawn is in plot.py.
"""

from collections.abc import Sequence
from itertools import groupby

import dagster as dg

from outreach_assets.assets.plot import Dot, history_plot
from outreach_core.drill_table import DrillResult

HISTORY = 400
"""So many results are drawn: a year of eight policies and destinations."""


def drill_plot(history: Sequence[DrillResult]) -> dg.MarkdownMetadataValue:
    """By destination, each drill as one dot: all its policies together."""
    lines: dict[str, list[Dot]] = {}
    ordered = sorted(history, key=lambda one: (one.destination, one.drilled_at, one.drill_id))
    for (name, _), together in groupby(ordered, lambda one: (one.destination, one.drill_id)):
        drill = list(together)
        dot = Dot(
            at=drill[0].drilled_at,
            value=sum(one.seconds for one in drill),
            is_good=all(one.is_passed for one in drill),
        )
        lines.setdefault(name, []).append(dot)
    return history_plot(lines, "seconds of each drill, by destination")
