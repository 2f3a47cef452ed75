"""The morning's facts as one page that needs nothing else: no network, no script.

What the facts are is in morning.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from outreach_assets.steps.morning import Morning, StateMorning
from outreach_assets.steps.snapshots.history import Point
from outreach_assets.tables.table import Table

# Where people expect a state, one tile each; the territories at the edges.
MAP = """
    AK .  .  .  .  .  .  .  .  .  .  ME
    .  .  .  .  .  .  .  .  .  .  VT NH
    .  WA ID MT ND MN IL WI MI NY RI MA
    .  OR NV WY SD IA IN OH PA NJ CT .
    .  CA UT CO NE MO KY WV VA MD DE .
    .  .  AZ NM KS AR TN NC SC DC .  .
    .  .  .  .  OK LA MS AL GA .  .  .
    HI AS .  .  TX .  .  .  .  FL .  PR
    GU MP .  .  .  .  unassigned  .  .  .  .  VI"""

WIDTH, HEIGHT = 180, 36

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
h1 { margin: 0 } h2 { margin: 2.2rem 0 .6rem; font-size: 1.15rem }
table { border-collapse: collapse; width: 100% } td, th { padding: .25rem .6rem; text-align: left;
  border-bottom: 1px solid #8884; vertical-align: top } .n { text-align: right;
  font-variant-numeric: tabular-nums }
.map { display: grid; grid-template-columns: repeat(12, 3.1rem); gap: 3px }
.tile { height: 2.5rem; display: grid; place-items: center; border-radius: 5px; font-size: .85rem;
  background: #8883; color: inherit; text-decoration: none }
.published { background: #2e9e5b; color: #fff } .unchanged { background: #9fd3b5; color: #123 }
.held { background: #d9480f; color: #fff } .failed, .killed { background: #b0122b; color: #fff }
.judged, .cancelled { background: #f2c14e; color: #222 }
.key { display: inline-block; width: .9rem; height: .9rem; border-radius: 3px;
  margin: 0 .3rem 0 1rem; vertical-align: -2px }
.quiet { opacity: .7 } .good { color: #2e9e5b } .bad { color: #d9480f }
polyline { fill: none; stroke: #4c7cd6; stroke-width: 2 }
"""


def morning_page(morning: Morning, tables: Sequence[Table], ui_url: str) -> str:
    """The whole page as HTML; every word from outside is escaped."""
    return "\n".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8>",
            "<meta name=viewport content='width=device-width'>",
            f"<title>Outreach {morning.at:%Y-%m-%d}</title><style>{STYLE}</style>",
            f"<h1>Outreach, {morning.at:%A %d %B %Y}</h1>",
            f"<p class=quiet>as of {morning.at:%H:%M} UTC</p>",
            *_map(morning, ui_url),
            *_troubles(morning, ui_url),
            *_bucket(morning),
            *_backups(morning),
            *_changes(morning),
            *_reasons(morning, tables),
            *_states(morning, ui_url),
            "</html>",
        ]
    )


def _map(morning: Morning, ui_url: str) -> Iterator[str]:
    by_state = {one.state: one for one in morning.states}
    yield "<h2>Which states ran</h2><div class=map>"
    for cell in MAP.split():
        one = by_state.get(cell)
        if one is None:
            yield "<span></span>"
            continue
        label = "none" if len(cell) > len("WV") else cell
        title = escape(f"{cell}: {one.status} {one.says or ''}".strip(), quote=True)
        kind = escape(one.status.split()[0])
        yield _link(ui_url, one, label, f"class='tile {kind}' title='{title}'")
    yield "</div><p>"
    for status, count in morning.statuses.items():
        yield f"<span class='key {escape(status.split()[0])}'></span>{count} {escape(status)}"
    yield "</p>"


def _troubles(morning: Morning, ui_url: str) -> Iterator[str]:
    ill = [one for one in morning.states if one in morning.ill or one.says]
    yield "<h2>Held, failed, released</h2>"
    if not ill:
        yield "<p class=good>None.</p>"
    else:
        yield "<table><tr><th>state<th>how<th>why"
        for one in ill:
            yield (
                f"<tr><td>{_link(ui_url, one, one.state)}<td>{escape(one.status)}"
                f"<td>{escape(one.says or '')}"
            )
        yield "</table>"
    yield "<h2>Open alerts</h2>"
    if not morning.alerts:
        yield "<p class=good>None.</p>"
        return
    yield "<table><tr><th>since<th>what<th>where<th>why"
    for alert in morning.alerts:
        what = " ".join(filter(None, [alert.kind, alert.subject]))
        yield (
            f"<tr><td>{alert.opened_at:%Y-%m-%d %H:%M}<td>{escape(what)}"
            f"<td>{escape(alert.place)}<td>{escape(alert.sentence)}"
        )
    yield "</table>"


def _bucket(morning: Morning) -> Iterator[str]:
    yield "<h2>Is what lies in the bucket what was validated?</h2>"
    if morning.problems:
        yield "<ul class=bad>"
        yield from (f"<li>{escape(problem)}" for problem in morning.problems)
        yield "</ul>"
    else:
        yield (
            f"<p class=good>Yes: the store says so of all {morning.objects:,} objects, by size and "
            "sha256.</p>"
        )
    yield (
        f"<p>{morning.waiting:,} failures wait to be exported.</p>"
        if morning.waiting
        else "<p>Every failure has been exported.</p>"
    )


def _backups(morning: Morning) -> Iterator[str]:
    look = "good" if morning.backups.is_well else "bad"
    yield f"<h2>Are the folders backed up?</h2><p class={look}>{escape(morning.backups.says)}</p>"


def _changes(morning: Morning) -> Iterator[str]:
    yield "<h2>What was published within a day, and what it changed</h2>"
    if not morning.changes:
        yield "<p>No row turned good or bad, came, went or changed.</p>"
        return
    yield "<table><tr><th>what, and what made it so<th class=n>rows"
    for change, rows in morning.changes.items():
        yield f"<tr><td>{escape(change)}<td class=n>{rows:,}"
    yield "</table>"


def _reasons(morning: Morning, tables: Sequence[Table]) -> Iterator[str]:
    yield "<h2>Why rows are bad, over time</h2>"
    yield "<table><tr><th>table<th>reason<th class=n>rows<th class=n>share<th>share, over time"
    for table in tables:
        for rule in table.rules:
            points = morning.reasons.get(rule.name, ())
            last = points[-1] if points else None
            rows = "" if last is None or last.rows is None else f"{last.rows:,}"
            share = (
                f"{last.rows / last.of:.1%}" if last and last.rows is not None and last.of else ""
            )
            yield (
                f"<tr><td>{escape(table.name)}<td title='{escape(rule.says, quote=True)}'>"
                f"{escape(rule.name)} <span class=quiet>{escape(rule.severity)}</span>"
                f"<td class=n>{rows}<td class=n>{share}<td>{_line(points)}"
            )
    yield "</table>"


def _states(morning: Morning, ui_url: str) -> Iterator[str]:
    yield "<h2>Every state</h2><table><tr><th>state<th>newest run<th>version"
    yield from (f"<th class=n>{name}" for name in ("companies", "bad", "people", "bad"))
    yield "<th class=n>more rows"
    for one in morning.states:
        newest = one.newest
        counts = [""] * 4
        if newest is not None:
            rows = {
                (t, v): newest.rows(t, v) for t in ("companies", "people") for v in ("good", "bad")
            }
            counts = [
                f"{number:,}"
                for table in ("companies", "people")
                for number in (rows[table, "good"] + rows[table, "bad"], rows[table, "bad"])
            ]
        yield (
            f"<tr><td>{_link(ui_url, one, one.state)}<td>{escape(one.status)}"
            f"<td>{escape(newest.version) if newest else ''}"
            + "".join(f"<td class=n>{count}" for count in counts)
            + f"<td class=n>{_delta(one.row_delta)}"
        )
    yield "</table>"


def _link(ui_url: str, one: StateMorning, text: str, attributes: str = "") -> str:
    """The state, leading to its newest run where it has one."""
    if one.run_id is None:
        return f"<span {attributes}>{escape(text)}</span>"
    href = escape(f"{ui_url.rstrip('/')}/runs/{one.run_id}", quote=True)
    return f"<a href='{href}' {attributes}>{escape(text)}</a>"


def _delta(row_delta: Mapping[str, int]) -> str:
    return ", ".join(f"{escape(name)} {rows:+,}" for name, rows in row_delta.items() if rows)


def _line(points: Sequence[Point]) -> str:
    """A line of the share over time, from nought to the most."""
    shares = [point.rows / point.of for point in points if point.rows is not None and point.of]
    if not shares:
        return ""
    most = max(shares) or 1
    step = WIDTH / max(len(shares) - 1, 1)
    drawn = " ".join(
        f"{2 + number * step:.1f},{HEIGHT - 3 - share / most * (HEIGHT - 6):.1f}"
        for number, share in enumerate(shares if len(shares) > 1 else shares * 2)
    )
    return (
        f"<svg width={WIDTH + 4} height={HEIGHT} role=img aria-label='{len(shares)} versions, "
        f"at most {most:.1%}'><polyline points='{drawn}'/></svg>"
    )
