"""When a state must not be published (K1 to K3), however well its run went.

Thresholds are settings. What becomes of a held state is in hold.py; that counts add up, which
nobody may overrule, is in validate.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from outreach_assets.steps.manifest import Manifest
from outreach_assets.steps.validate import StateVerdict
from outreach_assets.tables.companies import COMPANIES


class Switch(StrEnum):
    """What can hold a state."""

    BAD_SHARE = "K1"
    ROW_CHANGE = "K2"
    KEYS = "K3"


@dataclass(frozen=True, kw_only=True)
class KillSwitches:
    """The thresholds: shares, 0.15 for 15 %; by state where one has its own."""

    max_bad_share: float = 0.15
    max_row_change: float = 0.30
    max_bad_share_by_state: Mapping[str, float] = field(default_factory=dict)
    max_row_change_by_state: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Tripped:
    """One switch that one state has tripped, and the sentence that says by what."""

    switch: Switch
    table: str
    says: str


def tripped(
    switches: KillSwitches, state: str, judged: Mapping[str, StateVerdict], last: Manifest | None
) -> list[Tripped]:
    """What holds this state, given how its tables were judged and what was published last."""
    return [
        *_bad_share(switches, state, judged[COMPANIES.name]),
        *_row_change(switches, state, judged, last),
        *_keys(judged),
    ]


def row_delta(judged: Mapping[str, StateVerdict], last: Manifest) -> dict[str, int]:
    """By table, how many rows more than in the last published snapshot."""
    return {name: verdict.raw.rows - _rows(last, name) for name, verdict in judged.items()}


def _bad_share(switches: KillSwitches, state: str, companies: StateVerdict) -> Iterator[Tripped]:
    most = switches.max_bad_share_by_state.get(state, switches.max_bad_share)
    bad, rows = companies.bad.rows, companies.raw.rows
    if rows and bad / rows > most:
        yield Tripped(
            switch=Switch.BAD_SHARE,
            table=COMPANIES.name,
            says=f"{bad} of {rows} companies are bad: {bad / rows:.1%}, more than {most:.1%}",
        )


def _row_change(
    switches: KillSwitches, state: str, judged: Mapping[str, StateVerdict], last: Manifest | None
) -> Iterator[Tripped]:
    if last is None:
        return
    most = switches.max_row_change_by_state.get(state, switches.max_row_change)
    for name, delta in row_delta(judged, last).items():
        before = _rows(last, name)
        if before and abs(delta) / before > most:
            yield Tripped(
                switch=Switch.ROW_CHANGE,
                table=name,
                says=f"{name} went from {before} to {before + delta} since {last.version}: "
                f"{delta / before:+.1%}, more than {most:.1%}",
            )


def _keys(judged: Mapping[str, StateVerdict]) -> Iterator[Tripped]:
    for name, verdict in judged.items():
        if verdict.keys_missing:
            says = f"{verdict.keys_missing} {name} have no key"
            yield Tripped(switch=Switch.KEYS, table=name, says=says)
        if verdict.keys_repeated:
            says = f"{verdict.keys_repeated} {name} have a key that another one has too"
            yield Tripped(switch=Switch.KEYS, table=name, says=says)


def _rows(manifest: Manifest, table: str) -> int:
    return sum(file.rows for file in manifest.files if file.table == table)
