"""Every rule of every table, asked of a real DuckDB; and what a table says of itself."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.steps.validate import asked_rows, split_rows
from outreach_assets.tables.catalogue import TABLES, tables_for, tables_judged_by
from outreach_assets.tables.companies import COMPANIES
from outreach_assets.tables.people import PEOPLE
from outreach_assets.tables.table import Rule, Severity, Table, Verdict, fingerprint, quoted
from tests.given import a_company, a_duck, a_person, given_raw

GOOD_EMAILS = [
    "a@b.c",
    "first.last+tag@mail.example.com",
    "a b@example.com",
    " a@b.c ",
    "a@b.c\n",
    "a\nb@c.d",
    "a@b\n.c",
    "\n@\n.\n",
    "Пётр@почта.рф",
    "🦊@🦊.🦊",
    "é@é.é",
    "a@b..c",
    "a@..c",
    "'; DROP@x.y",
]
BAD_EMAILS = [
    None,
    "",
    " ",
    "\n",
    "plain",
    "plain.example.com",
    "@",
    "@.",
    "@b.c",
    "a@",
    "a@b",
    "a@.c",
    "a@b.",
    "a@.",
    "a@@b.c",
    "a@b@c.d",
    "a@b.c@",
    "a@b.c, d@e.f",
    "a\uff20b.c",
    "a@b\u3002c",
]
CASES = [
    *((PEOPLE, {"email": email}, []) for email in GOOD_EMAILS),
    *((PEOPLE, {"email": email}, ["email_invalid"]) for email in BAD_EMAILS),
    (PEOPLE, {"title": None}, ["title_missing"]),
    (PEOPLE, {"title": ""}, []),
    (PEOPLE, {"title": "\n"}, []),
    (PEOPLE, {"title": "部長"}, []),
    (PEOPLE, {"title": None, "email": None}, ["email_invalid", "title_missing"]),
    (COMPANIES, {"company_name": None}, ["company_name_missing"]),
    (COMPANIES, {"company_name": ""}, []),
    (COMPANIES, {"company_name": "\u200b"}, []),
    (COMPANIES, {"website_url": None}, ["website_url_missing"]),
    (COMPANIES, {"website_url": ""}, ["website_url_invalid"]),
    (COMPANIES, {"website_url": "acme"}, ["website_url_invalid"]),
    (COMPANIES, {"website_url": "acme\u3002example"}, ["website_url_invalid"]),
    (COMPANIES, {"website_url": "."}, []),
    (COMPANIES, {"website_url": "\n.\n"}, []),
    (COMPANIES, {"website_url": "https://bücher.example/%_"}, []),
    (
        COMPANIES,
        {"company_name": None, "website_url": None},
        ["company_name_missing", "website_url_missing"],
    ),
    (
        COMPANIES,
        {"company_name": None, "website_url": "x"},
        ["company_name_missing", "website_url_invalid"],
    ),
]
ALWAYS = Rule(name="always", says="is so", complaint="Not so", sql="TRUE")


@pytest.fixture(scope="module")
def duck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Duck]:
    with a_duck(tmp_path_factory.mktemp("duck")) as opened:
        yield opened


def a_row(table: Table, key: str, fields: dict[str, object]) -> dict[str, object]:
    return (a_company if table is COMPANIES else a_person)(key, **fields)


def reasons_by_key(duck: Duck, table: Table) -> dict[str, list[str]]:
    bad = duck.execute(f"SELECT {table.key}, validation_errors FROM {table.name}_bad").fetchall()
    good = duck.execute(f"SELECT {table.key}, [] FROM {table.name}_good").fetchall()
    assert len(dict(bad + good)) == len(bad) + len(good)
    return dict(bad + good)


def drop_views(duck: Duck, table: Table) -> None:
    for verdict in Verdict:
        duck.execute(f"DROP VIEW IF EXISTS {table.judged(verdict)}")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_rule_judges_as_its_table_says(duck: Duck, table: Table) -> None:
    cases = [(fields, reasons) for of, fields, reasons in CASES if of is table]
    given_raw(duck, COMPANIES, [])
    given_raw(duck, table, [a_row(table, f"{n}", fields) for n, (fields, _) in enumerate(cases)])
    drop_views(duck, table)
    split_rows(duck, [table], ["WV"])
    found = reasons_by_key(duck, table)
    for number, (fields, reasons) in enumerate(cases):
        assert (fields, found[f"{number}"]) == (fields, reasons)
    assert len(found) == len(cases)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_no_rule_answers_null_to_a_row_of_nulls(duck: Duck, table: Table) -> None:
    given_raw(duck, COMPANIES, [a_company(company_name=None)])
    given_raw(duck, table, [{}, *(a_row(t, "k", f) for t, f, _ in CASES if t is table)])
    for rule in table.rules:
        rows = asked_rows(table, [rule])
        found = duck.execute(f"SELECT count(*) FROM {rows} WHERE ({rule.broken}) IS NULL")
        assert found.fetchall() == [(0,)]


@pytest.mark.parametrize("answer", ["NULL", "TRUE", "FALSE", "NULL::BOOLEAN"])
@pytest.mark.parametrize("asked", ["NULL", "TRUE", "FALSE"])
def test_a_rule_is_broken_by_every_answer_but_true(duck: Duck, answer: str, asked: str) -> None:
    rule = Rule(name="r", says="s", complaint="Not s", sql=answer, asked_when=asked)
    [(broken,)] = duck.execute(f"SELECT {rule.broken}").fetchall()
    assert broken is (asked == "TRUE" and answer != "TRUE")


def test_a_warning_is_counted_and_moves_nothing(duck: Duck) -> None:
    warning = Rule(
        name="bio_missing",
        says="has",
        complaint="Missing bio",
        sql="bio <> ''",
        severity=Severity.WARN,
    )
    table = replace(PEOPLE, rules=[warning, *PEOPLE.rules])
    given_raw(duck, COMPANIES, [])
    given_raw(duck, table, [a_person("p1"), a_person("p2", title=None), a_person("p3", bio="x")])
    drop_views(duck, table)
    verdict = split_rows(duck, [table], ["WV"])["people"]["WV"]
    assert verdict.warnings == {"bio_missing": 2, "company_not_valid": 0}
    assert verdict.reasons == {"email_invalid": 0, "title_missing": 1}
    assert reasons_by_key(duck, table) == {"p1": [], "p2": ["title_missing"], "p3": []}
    assert verdict.adds_up


COMPANIES_OF_BOTH_KINDS = [
    a_company("good"),
    a_company("nameless", company_name=None),
    a_company("dotless", website_url="x"),
    a_company("elsewhere", outreach_state="PA", company_name=None),
    a_company("elsewhere"),
    a_company("twice", company_name=None),
    a_company("twice"),
    {"company_name": None},
]
PEOPLE_OF_BAD_COMPANIES = {"nameless", "dotless", "twice"}


def people_of_every_company() -> list[dict[str, object]]:
    known = {str(row.get("company_unique_id")) for row in COMPANIES_OF_BOTH_KINDS}
    people = [a_person(key, company_unique_id=key) for key in sorted(known - {"None"})]
    return [*people, a_person("of none", company_unique_id=None), a_person("of unknown")]


@pytest.mark.parametrize("severity", Severity)
def test_a_person_is_judged_by_their_own_state_s_company(duck: Duck, severity: Severity) -> None:
    companies, people = tables_for(severity)
    given_raw(duck, companies, COMPANIES_OF_BOTH_KINDS)
    given_raw(duck, people, people_of_every_company())
    for table in (companies, people):
        drop_views(duck, table)
    verdict = split_rows(duck, [companies, people], ["WV", "PA"])["people"]["WV"]
    warned = severity is Severity.WARN
    assert {**verdict.warnings, **verdict.reasons}["company_not_valid"] == 3
    assert ("company_not_valid" in verdict.warnings) is warned
    found = {key for key, reasons in reasons_by_key(duck, people).items() if reasons}
    assert found == (set() if warned else PEOPLE_OF_BAD_COMPANIES)
    assert verdict.bad.rows == (0 if warned else 3)
    assert verdict.adds_up


def test_the_fingerprint_of_a_linked_rule_changes_with_the_other_table_s_rules() -> None:
    rule = PEOPLE.rules[-1]
    assert rule.linked is not None
    looser = replace(COMPANIES, rules=COMPANIES.rules[1:])
    other = replace(rule, linked=replace(rule.linked, table=looser))
    assert other.fingerprint != rule.fingerprint
    assert len({rule.fingerprint for table in TABLES for rule in table.rules}) == 6


def test_only_severities_differ_between_settings() -> None:
    assert tables_for("warn") == TABLES
    known = {rule for table in TABLES for rule in table.rules}
    [other] = [rule for t in tables_for("error") for rule in t.rules if rule not in known]
    assert other == replace(PEOPLE.rules[-1], severity=Severity.ERROR)


@pytest.mark.parametrize("severity", Severity)
def test_tables_are_found_by_the_fingerprint_of_their_rules(severity: Severity) -> None:
    assert tables_judged_by(fingerprint(tables_for(severity))) == tables_for(severity)
    assert tables_judged_by("other rules") is None


def test_a_table_without_rules_has_only_good_rows(duck: Duck) -> None:
    table = replace(PEOPLE, rules=[])
    given_raw(duck, table, [a_person("p1", email=None)])
    drop_views(duck, table)
    split_rows(duck, [table], ["WV"])
    assert reasons_by_key(duck, table) == {"p1": []}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"sql": "FALSE"},
        {"asked_when": "FALSE"},
        {"severity": Severity.WARN},
    ],
    ids=str,
)
def test_the_fingerprint_changes_with_a_rule(change: dict[str, object]) -> None:
    one, other = (replace(PEOPLE, rules=[rule]) for rule in (ALWAYS, replace(ALWAYS, **change)))
    assert fingerprint([one]) != fingerprint([other])


def test_the_fingerprint_changes_with_number_and_order_of_rules() -> None:
    rules = [[], [*PEOPLE.rules], [*PEOPLE.rules][::-1], [*PEOPLE.rules, ALWAYS]]
    found = {fingerprint([replace(PEOPLE, rules=some)]) for some in rules}
    assert len(found | {fingerprint([replace(COMPANIES, rules=[*PEOPLE.rules])])}) == 5


def test_the_fingerprint_stays_when_only_words_about_a_rule_change() -> None:
    reworded = replace(ALWAYS, says="is so, in other words")
    other = replace(PEOPLE, rules=[reworded], columns=PEOPLE.columns[:5])
    assert fingerprint([other]) == fingerprint([replace(PEOPLE, rules=[ALWAYS])])


def test_needed_columns_are_the_keys_the_state_and_what_rules_ask_for() -> None:
    assert COMPANIES.needed_columns == {
        *("company_unique_id", "address_state", "company_name", "website_url"),
    }
    assert PEOPLE.needed_columns == {"unique_id", "company_unique_id", "email", "title"}
    asked = replace(ALWAYS, asked_when="bio IS NOT NULL")
    assert "bio" in replace(PEOPLE, rules=[asked]).needed_columns


@pytest.mark.parametrize("name", ["plain", 'a"b', "a;b", "Größe", ""])
def test_a_quoted_name_is_one_name(name: str) -> None:
    assert quoted(name)[1:-1].replace('""', '"') == name


def test_good_and_bad_views_have_the_columns_the_page_promises(duck: Duck, tmp_path: Path) -> None:
    given_raw(duck, COMPANIES, [])
    given_raw(duck, PEOPLE, [])
    drop_views(duck, PEOPLE)
    split_rows(duck, [PEOPLE], ["WV"])
    source = [column.name for column in PEOPLE.columns]
    good, bad = (
        [row[0] for row in duck.execute(f"DESCRIBE people_{verdict}").fetchall()]
        for verdict in Verdict
    )
    assert good == [*source, "outreach_state"]
    assert bad == [*source, "validation_errors", "outreach_state"]
