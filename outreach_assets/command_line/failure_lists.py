"""`outreach failures list` and `stats`: what the failures log holds. People's names are masked."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.failure_exports import Which
from outreach_assets.command_line.show import print_json, print_table
from outreach_core.states import checked_states

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outreach_assets.steps.failures.lists import Failure, FailureStats, Wanted

COMMONEST = 20
CELL_CHARACTERS = 60


State = Annotated[
    list[str] | None, typer.Option("--state", "-s", help="Only this state; may be repeated.")
]
Type = Annotated[Which, typer.Option("--type", help="Whose failures.")]


def list_command(
    state: State = None,
    type_: Type = Which.BOTH,
    limit: Annotated[int, typer.Option(min=1, help="The most to show.")] = 50,
    *,
    as_json: AsJson = False,
) -> None:
    """The records that fail, newest first; one that failed often once, as it failed last.

    A record that was mended is listed until the next validation of its state. The names of people
    are masked, in JSON too.

    Examples: `outreach failures list --state WV` · `outreach failures list --type person --json`
    """
    from outreach_assets.steps.failures.lists import newest_failures  # noqa: PLC0415 psycopg
    from outreach_core.neon import open_neon  # noqa: PLC0415

    wanted = _wanted(state, type_)
    found, total = newest_failures(open_neon(load_settings()), wanted, limit=limit)
    if as_json:
        print_json({"total": total, "failures": [asdict(one) for one in found]})
        return
    print_table(
        f"{len(found):,} of {total:,} failures",
        ["type", "id", "name", "state", "reason", "last seen (UTC)", "pipeline", "exported"],
        [_row(one) for one in found],
    )


def stats_command(
    state: State = None, type_: Type = Which.BOTH, *, as_json: AsJson = False
) -> None:
    """How many records fail, by type, state and reason, and what no export has taken yet.

    Examples: `outreach failures stats` · `outreach failures stats --state WV --json`
    """
    from outreach_assets.steps.failures.lists import failure_stats  # noqa: PLC0415 psycopg
    from outreach_core.neon import open_neon  # noqa: PLC0415

    stats = failure_stats(open_neon(load_settings()), _wanted(state, type_))
    if as_json:
        print_json({"by_type": stats.by_type, **asdict(stats)})
        return
    _print_stats(stats)


def shown(text: str | None) -> str:
    """A cell from outside as a terminal may have it: no colours, no controls, not too long."""
    if text is None:
        return "-"
    plain = "".join(c if c.isprintable() else " " for c in text[: CELL_CHARACTERS + 1])
    return escape(plain if len(plain) <= CELL_CHARACTERS else plain[: CELL_CHARACTERS - 1] + "…")


def _wanted(state: list[str] | None, type_: Which) -> "Wanted":
    from outreach_assets.steps.failures.lists import Wanted  # noqa: PLC0415

    return Wanted(
        types=type_.types,
        states=checked_states(state) if state else None,
    )


def _row(one: "Failure") -> list[object]:
    return [
        one.failure_type,
        shown(one.record_id),
        shown(one.name),
        shown(one.state),
        shown(one.fail_reason),
        f"{one.seen_at:%Y-%m-%d %H:%M}" if one.seen_at else "-",
        shown(one.pipeline_id),
        "yes" if one.is_exported else "no",
    ]


def _print_stats(stats: "FailureStats") -> None:
    by_type = stats.by_type
    waiting = {type_: stats.unexported.get(type_) for type_ in by_type}
    print_table(
        f"{sum(by_type.values()):,} records fail",
        ["type", "records", "log rows not exported", "oldest of them (UTC)"],
        [
            [
                type_,
                count,
                one.rows if (one := waiting[type_]) else 0,
                f"{one.since:%Y-%m-%d %H:%M}" if one and one.since else "-",
            ]
            for type_, count in by_type.items()
        ],
    )
    _print_counts("by state", "state", stats.by_state)
    commonest = dict(list(stats.by_reason.items())[:COMMONEST])
    more = len(stats.by_reason) - len(commonest)
    _print_counts(f"by reason (and {more:,} rarer)" if more else "by reason", "reason", commonest)


def _print_counts(title: str, name: str, counts: "Mapping[str, Mapping[str, int]]") -> None:
    rows = [[shown(k), c.get("company", 0), c.get("person", 0)] for k, c in counts.items()]
    print_table(title, [name, "companies", "people"], rows)
