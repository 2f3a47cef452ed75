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
from outreach_core.settings import Settings


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

    @classmethod
    def of(cls, settings: Settings) -> "KillSwitches":
        """The thresholds as the environment sets them."""
        return cls(
            max_bad_share=settings.outreach_max_bad_share,
            max_row_change=settings.outreach_max_row_change,
            max_bad_share_by_state=settings.outreach_max_bad_share_by_state,
            max_row_change_by_state=settings.outreach_max_row_change_by_state,
        )

    def bad_share(self, state: str) -> float:
        """K1 for this state."""
        return self.max_bad_share_by_state.get(state, self.max_bad_share)

    def row_change(self, state: str) -> float:
        """K2 for this state."""
        return self.max_row_change_by_state.get(state, self.max_row_change)

    def fingerprint(self, state: str) -> str:
        """The same as long as both are: `K1 0.15 K2 0.3`."""
        shares = {
            Switch.BAD_SHARE: self.bad_share(state),
            Switch.ROW_CHANGE: self.row_change(state),
        }
        return " ".join(f"{switch} {most:g}" for switch, most in shares.items())


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
    most = switches.bad_share(state)
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
    most = switches.row_change(state)
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
