"""Any two snapshots under any two sets of rules, compared as an oracle in plain Python does."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outreach_assets.steps.changes import SnapshotFiles, compare
from outreach_assets.tables.catalogue import tables_for
from outreach_assets.tables.table import Table
from tests.given import a_company, a_duck, a_person, export_raw

V1, V2 = "20260504030201", "20260505030201"
KEYS = [f"p{number:02}" for number in range(20)]
Person = tuple[str, str | None, str | None, str]
"""Email, title, bio, company."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of one day."""

    takes_dotless: bool
    asks_title: bool
    asks_company: bool

    @property
    def tables(self) -> tuple[Table, ...]:
        companies, people = tables_for("error" if self.asks_company else "warn")
        sql = {"email_invalid": "email LIKE '%@%'"} if self.takes_dotless else {}
        rules = [replace(rule, sql=sql.get(rule.name, rule.sql)) for rule in people.rules]
        left = [rule for rule in rules if self.asks_title or rule.name != "title_missing"]
        return (companies, replace(people, rules=tuple(left)))

    def reasons(self, person: Person, companies: Mapping[str, str | None]) -> set[str]:
        email, title, _, company = person
        return {
            *(
                ["email_invalid"]
                if email == "x" or (email == "a@b" and not self.takes_dotless)
                else []
            ),
            *(["title_missing"] if self.asks_title and title is None else []),
            *(["company_not_valid"] if self.asks_company and companies[company] is None else []),
        }


@dataclass(frozen=True, kw_only=True)
class Day:
    """A snapshot to be."""

    people: Mapping[str, Person]
    companies: Mapping[str, str | None]
    rules: Rules

    def exported(self, home: Path, version: str) -> SnapshotFiles:
        companies = [a_company(key, website_url=website) for key, website in self.companies.items()]
        people = [
            a_person(key, email=email, title=title, bio=bio, company_unique_id=company)
            for key, (email, title, bio, company) in self.people.items()
        ]
        manifests = export_raw(home, companies, people, version=version, tables=self.rules.tables)
        return SnapshotFiles(manifest=manifests["WV"], place=lambda key: home / "exports" / key)


def expected(old: Day, new: Day, rule_or_engine: str) -> Iterator[tuple[str, str, str]]:
    for key in sorted({*old.people, *new.people}):
        was, now = old.people.get(key), new.people.get(key)
        if was is None or now is None:
            yield (key, "vanished" if now is None else "appeared", "data")
            continue
        before = old.rules.reasons(was, old.companies)
        after = new.rules.reasons(now, new.companies)
        judged_anew = new.rules.reasons(was, old.companies)
        if before == after:
            if was != now:
                yield (key, "changed", "data")
        elif not after:
            yield (key, "fixed", "data" if judged_anew else rule_or_engine)
        elif not before:
            yield (key, "broken", rule_or_engine if judged_anew & after else "data")
        else:
            yield (key, "changed", rule_or_engine if judged_anew == after else "data")


persons = st.tuples(
    st.sampled_from(["a@b.c", "a@b", "x"]),
    st.sampled_from([None, "CFO"]),
    st.sampled_from([None, "bio"]),
    st.sampled_from(["c1", "c2"]),
)
days = st.builds(
    Day,
    people=st.lists(
        st.one_of(persons, persons, st.none()), min_size=len(KEYS), max_size=len(KEYS)
    ).map(lambda rows: {key: row for key, row in zip(KEYS, rows, strict=True) if row}),
    companies=st.fixed_dictionaries(dict.fromkeys(["c1", "c2"], st.sampled_from([None, "a.b"]))),
    rules=st.builds(
        Rules, takes_dotless=st.booleans(), asks_title=st.booleans(), asks_company=st.booleans()
    ),
)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(old=days, new=days, is_engine=st.booleans())
def test_any_two_snapshots_are_compared_as_the_oracle_does(
    old: Day, new: Day, *, is_engine: bool
) -> None:
    with TemporaryDirectory() as folder:
        home = Path(folder)
        one, other = old.exported(home, V1), new.exported(home, V2)
        if is_engine:  # the same rules, which another DuckDB answered otherwise
            says = {"duckdb": "1.4.0", "rule_fingerprints": other.manifest.rule_fingerprints}
            one = replace(one, manifest=one.manifest.model_copy(update=says))
        with a_duck(home) as duck:
            facts = compare(duck, new.rules.tables, one, other, home / "list.parquet")
        with duckdb.connect() as reader:
            found = reader.execute(
                f"SELECT key, change, cause FROM read_parquet('{home}/list.parquet') "
                "WHERE table_name = 'people' ORDER BY key"
            ).fetchall()
    assert found == list(expected(old, new, "engine" if is_engine else "rule"))
    assert sum(facts.counts["people"].values()) == len(found)
