"""Small drawings as inline SVG: a ring for the score, a bar for a share, a histogram."""

from collections.abc import Sequence
from html import escape
from math import pi

from outreach_assets.tools.profile_my_data.report import Bin

RADIUS = 34
WIDTH, HEIGHT = 460, 90
GOOD, FAIR = 90, 70


def ring(score: float) -> str:
    """The score, 0 to 100, as a ring with its number inside."""
    around = 2 * pi * RADIUS
    look = "good" if score >= GOOD else "fair" if score >= FAIR else "poor"
    return (
        f'<svg class="ring {look}" viewBox="0 0 80 80" role="img" aria-label="quality {score}">'
        f'<circle cx="40" cy="40" r="{RADIUS}"/>'
        f'<circle class="part" cx="40" cy="40" r="{RADIUS}" transform="rotate(-90 40 40)" '
        f'stroke-dasharray="{around * score / 100:.1f} {around:.1f}"/>'
        f'<text x="40" y="47">{score:.0f}</text></svg>'
    )


def bar(share: float) -> str:
    """A share between 0 and 1."""
    return (
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none">'
        '<rect class="all" width="100" height="8"/>'
        f'<rect width="{100 * share:.2f}" height="8"/></svg>'
    )


def histogram(bins: Sequence[Bin]) -> str:
    """Bars side by side with the first and the last edge below; nothing for one bar."""
    if len(bins) < 2:
        return ""
    tallest = max(one.rows for one in bins) or 1
    step = WIDTH / len(bins)
    bars = "".join(
        f'<rect x="{n * step + 1:.1f}" y="{HEIGHT - one.rows / tallest * HEIGHT:.1f}" '
        f'width="{step - 2:.1f}" height="{one.rows / tallest * HEIGHT:.1f}">'
        f"<title>{escape(one.start)} to {escape(one.end)}: {one.rows:,}</title></rect>"
        for n, one in enumerate(bins)
    )
    return (
        f'<svg class="histogram" viewBox="0 0 {WIDTH} {HEIGHT + 16}" role="img">{bars}'
        f'<line x1="0" y1="{HEIGHT}" x2="{WIDTH}" y2="{HEIGHT}"/>'
        f'<text x="0" y="{HEIGHT + 13}">{escape(bins[0].start)}</text>'
        f'<text class="end" x="{WIDTH}" y="{HEIGHT + 13}">{escape(bins[-1].end)}</text></svg>'
    )
