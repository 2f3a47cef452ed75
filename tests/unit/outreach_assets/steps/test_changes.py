"""What changed between two snapshots and why: hand-made pairs, and any pair against an oracle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pytest

from outreach_assets.steps.changes import SnapshotFiles, compare
from outreach_assets.steps.manifest import ChangesFacts
from outreach_assets.tables.catalogue import TABLES, tables_for
from outreach_assets.tables.people import PEOPLE
from outreach_assets.tables.table import Column, Rule, Table
from tests.given import Row, a_company, a_duck, a_person, export_raw

V1, V2 = "20260504030201", "20260505030201"
ANOTHER_ENGINE = {"duckdb": "1.4.0"}
FORMAT_1: dict[str, object] = {"format": 1, "rule_fingerprints": {}}
COMPANIES = (a_company("c1"),)
LOOSE_EMAIL = "email LIKE '%@%'"


def judged_by(**rules: object) -> tuple[Table, ...]:
    """The catalogue with the SQL of some people's rules replaced; None takes a rule away."""
    companies, people = TABLES
    changed = [
        replace(rule, sql=str(rules.get(rule.name, rule.sql)))
        for rule in people.rules
        if rules.get(rule.name, rule.sql) is not None
    ]
    return (companies, replace(people, rules=tuple(changed)))


@dataclass(frozen=True, kw_only=True)
class Side:
    """A snapshot to be: rows, the rules they are judged by, what its manifest says otherwise."""

    people: Sequence[Row] = ()
    companies: Sequence[Row] = COMPANIES
    tables: Sequence[Table] = TABLES
    says: Mapping[str, object] | None = None

    def exported(self, home: Path, version: str) -> SnapshotFiles:
        manifest = export_raw(
            home, self.companies, self.people, version=version, tables=self.tables
        )["WV"]
        return SnapshotFiles(
            manifest=manifest.model_copy(update=self.says), place=lambda key: home / "exports" / key
        )


def compared(
    home: Path, old: Side, new: Side, tables: Sequence[Table] = TABLES
) -> tuple[ChangesFacts, list[dict[str, object]]]:
    """The facts, and the rows of the list."""
    out = home / "list" / "changes.parquet"
    pair = (old.exported(home, V1), new.exported(home, V2))
    with a_duck(home) as duck:
        facts = compare(duck, tables, *pair, out)
    with duckdb.connect() as reader:
        found = reader.execute(f"FROM read_parquet('{out}')")
        names = [column[0] for column in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    assert (facts.rows, facts.size_bytes) == (len(rows), out.stat().st_size)
    return facts, rows


def named(rows: Sequence[Mapping[str, object]]) -> dict[object, tuple[object, object]]:
    assert len({(row["table_name"], row["key"]) for row in rows}) == len(rows)
    return {row["key"]: (row["change"], row["cause"]) for row in rows}


def test_each_kind_of_change_by_data_is_named(tmp_path: Path) -> None:
    old = [
        a_person("stays"),
        a_person("stays bad", title=None),
        a_person("fixed", title=None),
        a_person("broken"),
        a_person("vanished"),
        a_person("edited", bio="before"),
        a_person("edited bad", title=None),
        a_person("other reason", title=None),
        a_person("list", skills=None),
    ]
    new = [
        a_person("stays"),
        a_person("stays bad", title=None),
        a_person("fixed"),
        a_person("broken", email="x", title=None),
        a_person("appeared", title=None),
        a_person("edited", bio="after"),
        a_person("edited bad", title=None, bio="after"),
        a_person("other reason", email="x"),
        a_person("list", skills=[]),
    ]
    facts, rows = compared(tmp_path, Side(people=old), Side(people=new))
    assert named(rows) == {
        "fixed": ("fixed", "data"),
        "broken": ("broken", "data"),
        "vanished": ("vanished", "data"),
        "appeared": ("appeared", "data"),
        "edited": ("changed", "data"),
        "edited bad": ("changed", "data"),
        "other reason": ("changed", "data"),
        "list": ("changed", "data"),
    }
    assert facts.since == V1
    assert facts.key == f"outreach/wv/changes/verdict_changes_{V2}.parquet"
    assert facts.counts == {
        "companies": {},
        "people": {
            "appeared by data": 1,
            "broken by data": 1,
            "changed by data": 4,
            "fixed by data": 1,
            "vanished by data": 1,
        },
    }
    by_key = {row["key"]: row for row in rows}
    assert by_key["broken"] == {
        "outreach_state": "WV",
        "table_name": "people",
        "key": "broken",
        "change": "broken",
        "cause": "data",
        "row_changed": True,
        "old_reasons": [],
        "new_reasons": ["email_invalid", "title_missing"],
        "reasons_judged_anew": [],
    }
    for key, side in (("appeared", "old_reasons"), ("vanished", "new_reasons")):
        assert by_key[key][side] is None
        assert by_key[key]["row_changed"] is None


def test_a_snapshot_compared_with_itself_has_no_changes(tmp_path: Path) -> None:
    side = Side(people=[a_person("p1"), a_person("p2", title=None)], companies=[a_company()])
    facts, rows = compared(tmp_path, side, side)
    assert (rows, facts.counts) == ([], {"companies": {}, "people": {}})
    assert not list(tmp_path.rglob("*.part"))


PEOPLE_ROWS = [a_person("good"), a_person("dotless", email="a@b"), a_person("bad", email="x")]
OLD_RULES = judged_by(email_invalid=LOOSE_EMAIL)


@pytest.mark.parametrize(
    ("says", "cause"),
    [
        ({}, "rule"),
        (ANOTHER_ENGINE, "rule"),
        (FORMAT_1, "rule"),
        ({**ANOTHER_ENGINE, "rule_fingerprints": "new"}, "engine"),
        ({**ANOTHER_ENGINE, **FORMAT_1, "rules": "new"}, "engine"),
    ],
)
def test_the_same_row_judged_otherwise_is_put_down_to_what_has_changed(
    tmp_path: Path, says: Mapping[str, object], cause: str
) -> None:
    new = Side(people=PEOPLE_ROWS).exported(tmp_path / "asked", V2).manifest
    said = {key: getattr(new, key) if value == "new" else value for key, value in says.items()}
    old = Side(people=PEOPLE_ROWS, tables=OLD_RULES, says=said)
    _, rows = compared(tmp_path, old, Side(people=PEOPLE_ROWS))
    assert named(rows) == {"dotless": ("broken", cause)}
    assert rows[0]["row_changed"] is False
    # And back: what was broken is fixed again.
    fixed = Side(people=PEOPLE_ROWS, tables=OLD_RULES)
    back = Side(people=PEOPLE_ROWS, says={k: v for k, v in said.items() if k == "duckdb"})
    if cause == "rule":
        _, rows = compared(tmp_path / "back", back, fixed, OLD_RULES)
        assert named(rows) == {"dotless": ("fixed", "rule")}


def test_a_rule_and_an_edit_of_the_same_row_are_told_apart(tmp_path: Path) -> None:
    old = [
        a_person("rule alone", email="a@b"),
        a_person("both, rule breaks it", email="a@b"),
        a_person("both, edit breaks it", bio="before"),
        a_person("rule would break it, edit mends it", email="a@b"),
        a_person("more reasons by rule", email="a@b", title=None),
        a_person("other reasons by both", email="a@b", title=None),
        a_person("edit breaks another rule", email="a@b"),
        a_person("rule adds a reason, edit mends all", email="a@b", title=None),
    ]
    new = [
        a_person("rule alone", email="a@b"),
        a_person("both, rule breaks it", email="a@b", bio="after"),
        a_person("both, edit breaks it", bio="after", title=None),
        a_person("rule would break it, edit mends it", email="a@b.c"),
        a_person("more reasons by rule", email="a@b", title=None, bio="after"),
        a_person("other reasons by both", email="a@b"),
        a_person("edit breaks another rule", email="a@b.c", title=None),
        a_person("rule adds a reason, edit mends all", email="a@b.c"),
    ]
    _, rows = compared(tmp_path, Side(people=old, tables=OLD_RULES), Side(people=new))
    assert named(rows) == {
        "rule alone": ("broken", "rule"),
        "both, rule breaks it": ("broken", "rule"),
        "both, edit breaks it": ("broken", "data"),
        "rule would break it, edit mends it": ("changed", "data"),
        "more reasons by rule": ("changed", "rule"),
        "other reasons by both": ("changed", "data"),
        "edit breaks another rule": ("broken", "data"),
        "rule adds a reason, edit mends all": ("fixed", "data"),
    }


def test_a_rule_that_came_or_went_is_a_rule_that_changed(tmp_path: Path) -> None:
    people = [a_person("untitled", title=None), a_person("both", title=None, email="x")]
    without = Side(people=people, tables=judged_by(title_missing=None))
    _, rows = compared(tmp_path / "came", without, Side(people=people))
    assert named(rows) == {"untitled": ("broken", "rule"), "both": ("changed", "rule")}
    _, rows = compared(tmp_path / "went", Side(people=people), without, without.tables)
    assert named(rows) == {"untitled": ("fixed", "rule"), "both": ("changed", "rule")}


def test_another_order_of_rules_changes_no_row(tmp_path: Path) -> None:
    people = [a_person("both", title=None, email="x")]
    turned = (TABLES[0], replace(PEOPLE, rules=PEOPLE.rules[::-1]))
    _, rows = compared(tmp_path, Side(people=people, tables=turned), Side(people=people))
    assert rows == []


def test_a_person_of_a_company_that_turned_bad_is_broken_by_data(tmp_path: Path) -> None:
    strict = tables_for("error")
    people = [a_person("p1"), a_person("p2", company_unique_id="c2")]
    companies = [a_company("c1"), a_company("c2")]
    worse = [a_company("c1", website_url=None), a_company("c2")]
    old = Side(people=people, companies=companies, tables=strict)
    _, rows = compared(
        tmp_path, old, Side(people=people, companies=worse, tables=strict), tables=strict
    )
    assert named(rows) == {"c1": ("broken", "data"), "p1": ("broken", "data")}
    assert next(row for row in rows if row["key"] == "p1")["row_changed"] is False


def test_a_person_of_a_company_that_a_rule_made_bad_is_broken_by_rule(tmp_path: Path) -> None:
    companies, people = tables_for("error")
    looser = replace(companies, rules=companies.rules[:1])
    [*others, rule] = people.rules
    assert rule.linked is not None
    linked = replace(rule, linked=replace(rule.linked, table=looser))
    before = (looser, replace(people, rules=(*others, linked)))
    side = Side(people=[a_person("p1")], companies=[a_company("c1", website_url=None)])
    _, rows = compared(
        tmp_path,
        replace(side, tables=before),
        replace(side, tables=(companies, people)),
        tables=(companies, people),
    )
    assert named(rows) == {"c1": ("broken", "rule"), "p1": ("broken", "rule")}


def test_warn_made_error_breaks_people_by_rule(tmp_path: Path) -> None:
    strict = tables_for("error")
    side = Side(people=[a_person("p1")], companies=[a_company("c1", website_url=None)])
    _, rows = compared(tmp_path, side, replace(side, tables=strict), tables=strict)
    assert named(rows) == {"p1": ("broken", "rule")}


def test_keys_that_are_missing_or_repeated_are_each_one_change(tmp_path: Path) -> None:
    alike = [a_person("alike"), a_person("alike")]
    old = [*alike, a_person("twice"), a_person("twice"), a_person("thrice")]
    new = [
        *alike,
        *(a_person("twice"), a_person("twice", title=None)),
        *(a_person("thrice"), a_person("thrice"), a_person("thrice")),
        *({**a_person(), "unique_id": None}, {**a_person(), "unique_id": None}),
    ]
    _, rows = compared(tmp_path, Side(people=old), Side(people=new))
    assert named(rows) == {
        "twice": ("broken", "data"),
        "thrice": ("changed", "data"),
        None: ("appeared", "data"),
    }


def with_column(name: str, kind: str) -> tuple[Table, ...]:
    others = [column for column in PEOPLE.columns if column.name != name]
    columns = (*others, Column(name=name, type=kind, means="m"))
    return (TABLES[0], replace(PEOPLE, columns=columns))


def test_a_new_column_changes_only_the_rows_with_a_value_in_it(tmp_path: Path) -> None:
    old = Side(people=[a_person("p1"), a_person("p2")])
    new = Side(
        people=[a_person("p1"), a_person("p2", later="x")], tables=with_column("later", "text")
    )
    _, rows = compared(tmp_path, old, new)
    assert named(rows) == {"p2": ("changed", "data")}


def test_a_number_in_a_wider_type_is_the_same_number(tmp_path: Path) -> None:
    people = [a_person("p1", promotion_audit_log_id=7), a_person("p2", promotion_audit_log_id=8)]
    wider = Side(
        people=[people[0], a_person("p2", promotion_audit_log_id=2**40)],
        tables=with_column("promotion_audit_log_id", "bigint"),
    )
    _, rows = compared(tmp_path, Side(people=people), wider)
    assert named(rows) == {"p2": ("changed", "data")}


def test_a_rule_over_a_column_that_the_old_rows_lack_breaks_them_by_rule(tmp_path: Path) -> None:
    later = with_column("later", "text")
    rule = Rule(
        name="later_missing", says="is there", complaint="Missing later", sql="later IS NOT NULL"
    )
    asked = (TABLES[0], replace(later[1], rules=(*PEOPLE.rules, rule)))
    _, rows = compared(
        tmp_path,
        Side(people=[a_person("p1"), a_person("p2")]),
        Side(people=[a_person("p1"), a_person("p2", later="x")], tables=asked),
        asked,
    )
    assert named(rows) == {"p1": ("broken", "rule"), "p2": ("changed", "data")}


@pytest.mark.parametrize(
    ("says", "causes"),
    [
        ({}, ("rule", "unclear", "data")),
        (FORMAT_1, ("rule", "unclear", "unclear")),
        (
            {**ANOTHER_ENGINE, "rule_fingerprints": {"email_invalid": "x"}},
            ("rule", "unclear", "unclear"),
        ),
    ],
)
def test_without_the_rules_of_the_new_snapshot_a_guess_is_not_made(
    tmp_path: Path, says: Mapping[str, object], causes: tuple[str, ...]
) -> None:
    old = [a_person("same", email="a@b"), a_person("edited", email="a@b"), a_person("other")]
    new = [
        a_person("same", email="a@b"),
        a_person("edited", email="a@b", bio="after"),
        a_person("other", title=None),
    ]
    _, rows = compared(
        tmp_path,
        Side(people=old, tables=OLD_RULES, says=says),
        Side(people=new),
        tables=tables_for("error"),
    )
    assert named(rows) == dict(
        zip(("same", "edited", "other"), (("broken", cause) for cause in causes), strict=True)
    )
    assert {row["reasons_judged_anew"] for row in rows} == {None}
