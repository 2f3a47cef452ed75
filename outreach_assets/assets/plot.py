"""A history as a picture in an asset's metadata: one line for each of several things, over time.

Drawn by hand as SVG inside Markdown, which Dagster shows; no library is needed for a few lines.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import NamedTuple

import dagster as dg

WIDTH, HEIGHT, LEFT, TOP, ROW = 640, 220, 56, 12, 18
COLOURS = ("#4c7cd6", "#2e9e5b", "#8a63d2", "#c98a1b", "#1b9aaa", "#7f8c8d")
BAD = "#d9480f"


class Dot(NamedTuple):
    """One measurement."""

    at: datetime
    value: float
    is_good: bool


def history_plot(lines: Mapping[str, Sequence[Dot]], unit: str) -> dg.MarkdownMetadataValue:
    """The lines by their names, from nought to the most; what was not good is a red dot."""
    picture = b64encode(_svg(lines, unit).encode()).decode()
    return dg.MetadataValue.md(f"![{unit}](data:image/svg+xml;base64,{picture})")


def _svg(lines: Mapping[str, Sequence[Dot]], unit: str) -> str:
    dots = [dot for line in lines.values() for dot in line]
    first, last = min(dot.at for dot in dots), max(dot.at for dot in dots)
    most = max(dot.value for dot in dots) or 1.0
    span = (last - first).total_seconds() or 1.0

    def place(dot: Dot) -> str:
        x = LEFT + (dot.at - first).total_seconds() / span * (WIDTH - LEFT - 12)
        return f"{x:.1f} {TOP + HEIGHT - dot.value / most * HEIGHT:.1f}"

    drawn = [
        _line(n, name, [(place(dot), dot) for dot in line])
        for n, (name, line) in enumerate(lines.items())
    ]
    bottom = TOP + HEIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} '
        f'{bottom + ROW * (len(lines) + 1) + 8}" width="{WIDTH}" font-family="sans-serif" '
        'font-size="12" fill="#888">'
        f'<path d="M {LEFT} {TOP} V {bottom} H {WIDTH}" fill="none" stroke="#888"/>'
        f'<text x="{LEFT - 6}" y="{TOP + 10}" text-anchor="end">{most:,.3g}</text>'
        f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">0</text>'
        f'<text x="{LEFT}" y="{bottom + 15}">{first:%Y-%m-%d}</text>'
        f'<text x="{WIDTH - 8}" y="{bottom + 15}" text-anchor="end">{last:%Y-%m-%d}, '
        f"{escape(unit)}</text>{''.join(drawn)}</svg>"
    )


def _line(number: int, name: str, placed: Sequence[tuple[str, Dot]]) -> str:
    colour = COLOURS[number % len(COLOURS)]
    path = " L ".join(place for place, _ in placed)
    parts = [f'<path d="M {path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for place, dot in placed:
        x, y = place.split()
        fill = colour if dot.is_good else BAD
        parts.append(f'<circle cx="{x}" cy="{y}" r="{3 if dot.is_good else 5}" fill="{fill}"/>')
    below = TOP + HEIGHT + ROW * (number + 2)
    parts.append(f'<text x="{LEFT}" y="{below}" fill="{colour}">{escape(name)}</text>')
    return "".join(parts)
