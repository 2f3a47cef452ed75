"""How a rule's failures add up over states whose snapshots are not of the same moment."""

import json
from pathlib import Path

from b2_resources.keys import manifest_key
from outreach_assets.steps.snapshots.history import broken_over_time
from outreach_assets.tables.catalogue import TABLES
from tests.given import a_person, export_raw

DAYS = [f"202605{day:02}030201" for day in range(4, 14)]


def untitled(home: Path, state: str, day: str, count: int) -> None:
    """A snapshot of three people, so many of them without a title."""
    people = [
        a_person(f"p{number}", outreach_state=state, title=None if number < count else "CFO")
        for number in range(3)
    ]
    export_raw(home, [], people, states=(state,), version=day)


def series(
    home: Path, points: int, rule: str = "title_missing"
) -> list[tuple[str, int | None, int]]:
    found = broken_over_time(home / "exports", TABLES, points=points)[rule]
    return [(point.version, point.rows, point.of) for point in found]


def test_a_version_counts_each_state_as_it_was_then(tmp_path: Path) -> None:
    untitled(tmp_path, "WV", DAYS[0], 1)
    untitled(tmp_path, "PA", DAYS[1], 3)
    untitled(tmp_path, "WV", DAYS[2], 2)
    untitled(tmp_path, "PA", DAYS[2], 0)
    assert series(tmp_path, 9) == [(DAYS[0], 1, 3), (DAYS[1], 4, 6), (DAYS[2], 2, 6)]
    assert series(tmp_path, 1) == [(DAYS[2], 2, 6)]


def test_the_points_begin_where_every_state_is_known(tmp_path: Path) -> None:
    untitled(tmp_path, "PA", DAYS[0], 3)
    for day in DAYS[1:5]:
        untitled(tmp_path, "WV", day, 1)
    # With two receipts of each state, nobody knows of WV before the third day.
    assert series(tmp_path, 2) == [(DAYS[3], 4, 6), (DAYS[4], 4, 6)]
    untitled(tmp_path, "PA", DAYS[5], 2)
    untitled(tmp_path, "PA", DAYS[6], 1)
    assert series(tmp_path, 2) == [(DAYS[5], 3, 6), (DAYS[6], 2, 6)]


def test_a_rule_that_no_receipt_knew_yet_was_broken_by_nobody_knows_how_many(
    tmp_path: Path,
) -> None:
    for day in DAYS[:2]:
        untitled(tmp_path, "WV", day, 1)
    first = tmp_path / "exports" / manifest_key("WV", DAYS[0])
    known = json.loads(first.read_bytes())
    del known["warnings"], known["rule_fingerprints"]
    first.write_text(json.dumps({**known, "format": 1}))
    assert series(tmp_path, 9, "company_not_valid") == [(DAYS[0], None, 3), (DAYS[1], 0, 3)]


def test_without_a_receipt_there_is_no_history(tmp_path: Path) -> None:
    assert set(map(len, broken_over_time(tmp_path, TABLES, points=9).values())) == {0}
