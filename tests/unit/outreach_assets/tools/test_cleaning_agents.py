"""Each agent of clean-my-data on values worked out by hand."""

import csv
import io
import random
from pathlib import Path

import duckdb
import pytest

from outreach_assets.tools.clean_my_data.agents import DEFAULT
from outreach_assets.tools.clean_my_data.phones import e164, usual_sql
from outreach_assets.tools.refusals import ToolRefusedError
from tests.unit.outreach_assets.tools.cleaned import Cleaned, a_column, cleaned

DAY_FIRST = [
    ("13/02/2024", "2024-02-13"),
    ("01/02/2024", "2024-02-01"),
    ("5.6.2024", "2024-06-05"),
    ("31/02/2024", "31/02/2024"),
]
CASES: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "unicode": (
        "name",
        [
            ("Zoe\u0308", "Zoë"),
            ("A\u00a0\u2009B", "A  B"),
            ("Bo\u200bb\ufeff", "Bob"),
            ("a\u200db", "ab"),
            ("👨\u200d👩", "👨\u200d👩"),
            ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
            ("x\x07y", "xy"),
            ("\u200b", ""),
        ],
    ),
    "trim": (
        "name",
        [(" Ann ", "Ann"), ("\tBo\n", "Bo"), ("   ", ""), ("\u00a0C", "C"), ("D  E", "D  E")],
    ),
    "null words": (
        "note",
        [("N/A", ""), (" null ", ""), ("-", ""), ("NaN", ""), ("none", "none"), ("n/a?", "n/a?")],
    ),
    "dates with the day first": ("joined", DAY_FIRST),
    "dates with the month first": (
        "joined",
        [("02/13/2024", "2024-02-13"), ("1/2/2024", "2024-01-02"), ("3-4-2024", "2024-03-04")],
    ),
    "dates that could be either": (
        "joined",
        [("01/02/2024", "01/02/2024"), ("03/03/2024", "2024-03-03"), ("2024-01-02", "2024-01-02")],
    ),
    "dates in contradiction": (
        "joined",
        [("13/02/2024", "2024-02-13"), ("02/14/2024", "2024-02-14"), ("1/2/2024", "1/2/2024")],
    ),
    "dates in words and with times": (
        "joined",
        [
            ("Jan 2, 2024", "2024-01-02"),
            ("2nd September 2024", "2024-09-02"),
            ("2-Feb-2024", "2024-02-02"),
            ("2024/1/2", "2024-01-02"),
            ("2024-01-02 03:04:05", "2024-01-02T03:04:05"),
            ("2024-01-02T03:04:05.123+05:30", "2024-01-02T03:04:05.123+05:30"),
            ("Jan 2, 2024 3:04 PM", "2024-01-02T15:04"),
            ("Jan 2, 2024 12:30 am", "2024-01-02T00:30"),
            ("2024-01-02 13:04 pm", "2024-01-02 13:04 pm"),
            ("2024-02-30", "2024-02-30"),
            ("1/2/24", "1/2/24"),
        ],
    ),
    "numbers with a decimal point": (
        "revenue",
        [
            ("$1,234.50", "1234.50"),
            ("1,234", "1234"),
            ("($5)", "-5"),
            ("-$7", "-7"),
            ("1 234 567", "1234567"),
            ("007", "007"),
            ("1e3", "1e3"),
            ("12%", "12%"),
        ],
    ),
    "numbers with a decimal comma": (
        "revenue",
        [("1.234,5", "1234.5"), ("1.234", "1234"), ("1,234", "1.234"), ("12,5 €", "12.5")],
    ),
    "numbers grouped by commas only": (
        "revenue",
        [("1,234", "1234"), ("12,345", "12345"), ("123,456", "123456"), ("7", "7")],
    ),
    "numbers that could be either": ("revenue", [("1,234", "1,234"), ("7", "7"), ("8", "8")]),
    "numbers in contradiction": (
        "revenue",
        [("1,5", "1,5"), ("1.5", "1.5"), ("1,234", "1,234"), ("7", "7")],
    ),
    "two currencies": ("price", [("$5", "$5"), ("€6", "€6"), ("7", "7")]),
    "phones": (
        "phone",
        [
            ("(304) 555-1234", "+13045551234"),
            ("3045559876", "+13045559876"),
            ("1-304-555-4321", "+13045554321"),
            ("+44 20 7946 0958", "+442079460958"),
            ("304-555-1111 x12", "304-555-1111 x12"),
            ("555-1234", "555-1234"),
        ],
    ),
    "ten digits that are no phone": ("account", [("3045551234", "3045551234")] * 3),
    "emails": (
        "contact",
        [
            ("Ann@X.Example", "ann@x.example"),
            ("mailto:bo@y.example", "bo@y.example"),
            ("<cy@z.example>;", "cy@z.example"),
            ("di@z.example", "di@z.example"),
            ("not one", "not one"),
        ],
    ),
    "urls": (
        "website",
        [
            ("www.X.example/", "https://www.x.example"),
            ("HTTP://Y.example:80/A?b=C", "http://y.example/A?b=C"),
            ("z.example/p/", "https://z.example/p/"),
        ],
    ),
    "domains are not made URLs": ("domain", [("x.example", "x.example")]),
    "states": (
        "billingState",
        [
            ("West Virginia", "WV"),
            ("w.va", "w.va"),
            ("wv", "WV"),
            ("D.C.", "DC"),
            (" new  york", "NY"),
            ("Puerto Rico", "PR"),
        ],
    ),
    "names like states are no states": ("first_name", [("Georgia", "Georgia"), ("Ok", "Ok")]),
    "formulas": (
        "note",
        [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("+1 304", "+1 304"),
            ("-x", "'-x"),
            ("\t=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ('=HYPERLINK("http://evil.example")', '\'=HYPERLINK("http://evil.example")'),
        ],
    ),
}


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Cleaned:
    """Every case as a column of one file: `joined_3` is as much a date as `joined`."""
    longest = max(len(pairs) for _, pairs in CASES.values())
    columns = [
        [f"{name}_{place}", *(given for given, _ in pairs), *[""] * (longest - len(pairs))]
        for place, (name, pairs) in enumerate(CASES.values())
    ]
    columns.append(["row", *(f"r{number}" for number in range(longest))])
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(zip(*columns, strict=True))
    return cleaned(tmp_path_factory.mktemp("together"), text.getvalue(), evidence=0.5)


@pytest.mark.parametrize("case", CASES)
def test_values_become_what_was_worked_out_by_hand(together: Cleaned, case: str) -> None:
    _, pairs = CASES[case]
    found = together.column(list(CASES).index(case))
    assert found[: len(pairs)] == [expected for _, expected in pairs]


def test_the_log_replayed_over_the_file_gives_the_cleaned_rows(together: Cleaned) -> None:
    assert together.replayed() == [[cell or None for cell in row] for row in together.rows]


@pytest.mark.parametrize("region", ["US", "GB"])
def test_what_is_written_as_usual_is_what_the_library_says(region: str) -> None:
    rng = random.Random(3)  # noqa: S311 (the same numbers every time)
    areas = ["304", "202", "800", "416", "876", "900", "521", "199", "555"]
    shapes = ["+1{}{}{}", "({}) {}-{}", "{}.{}.{}", "1-{}-{}-{}", "+1 ({}) {} {}", "{}{}{}"]
    values = {
        rng.choice(shapes).format(
            rng.choice(areas), f"{rng.randrange(1000):03}", f"{rng.randrange(10000):04}"
        )
        for _ in range(300)
    }
    listed = ", ".join(f"('{value}')" for value in sorted(values))
    with duckdb.connect() as duck:
        found = duck.execute(
            f"SELECT value, {usual_sql(region)} FROM (VALUES {listed}) AS t(value)"
        ).fetchall()
    usual = {value: said for value, said in found if said}
    assert len(usual) > 20
    assert {value: e164(value, region)[0] for value in usual} == usual


def test_a_column_below_the_evidence_is_left_as_text(tmp_path: Path) -> None:
    content = a_column("contact", "Ann@X.example", "Bo@X.example", "call me", "later")
    assert cleaned(tmp_path, content).column()[0] == "Ann@X.example"
    assert cleaned(tmp_path, content, evidence=0.5).column()[0] == "ann@x.example"


def test_what_was_left_is_logged_with_its_reason(tmp_path: Path) -> None:
    done = cleaned(tmp_path, a_column("joined", "1/2/2024", "2024-01-02"))
    reason = "day and month could be either"
    assert done.log == [(1, "joined", "1/2/2024", "1/2/2024", "dates", reason)]
    asked = cleaned(tmp_path, a_column("joined", "1/2/2024"), date_order="day_first")
    assert asked.column() == ["2024-02-01"]


def test_only_the_chosen_agents_work_whatever_their_order(tmp_path: Path) -> None:
    done = cleaned(tmp_path, "email,n\n A@X.example ,1\nB@X.example ,N/A\n", agents="emails, trim")
    assert done.rows == [["a@x.example", "1"], ["b@x.example", "N/A"]]
    assert {entry[4] for entry in done.log} == {"trim", "emails"}


def test_empty_cells_are_filled_where_it_was_asked_for(tmp_path: Path) -> None:
    content = "city,tier\nParis,a\n,b\nN/A,\nRome,\nOslo,b\n"
    agents = [*DEFAULT, "fill_nulls"]
    by_value = cleaned(tmp_path, content, agents=agents, fill_value="?!", fill_columns="city")
    assert by_value.rows == [
        *(["Paris", "a"], ["?!", "b"], ["?!", ""], ["Rome", ""], ["Oslo", "b"])
    ]
    frequent = cleaned(
        tmp_path, content, agents=agents, fill_with="most_frequent", fill_columns="tier"
    )
    assert frequent.rows == [["Paris", "a"], ["", "b"], ["Rome", "b"], ["Oslo", "b"]]


def test_rows_without_what_is_required_are_quarantined_with_the_reason(tmp_path: Path) -> None:
    content = "id,email,phone\n1,a@x.example,\n2,n/a,\n3,,1\n,,\n"
    done = cleaned(tmp_path, content, agents=[*DEFAULT, "drop_nulls"], required_columns="email")
    assert done.column() == ["1"]
    assert done.quarantined[0] == ["2", "", "", "2", "empty: email"]
    whole = cleaned(tmp_path, content, agents="drop_nulls")
    assert whole.quarantined == [["", "", "", "4", "every cell is empty"]]


def test_the_first_of_equal_rows_stays_once_they_are_cleaned(tmp_path: Path) -> None:
    done = cleaned(tmp_path, "a,b\nx,\n x,n/a\ny,1\nx,\nx,1\n")
    assert done.rows == [["x", ""], ["y", "1"], ["x", "1"]]
    removed = [(row, agent, reason) for row, column, *_, agent, reason in done.log if not column]
    assert removed == [
        (2, "exact_duplicates", "equal to row 1"),
        (4, "exact_duplicates", "equal to row 1"),
    ]


def test_rows_alike_are_quarantined_only_when_their_digits_are_the_same(tmp_path: Path) -> None:
    content = (
        "id,company,street\n1,Blåbær Bakery LLC,12 Main St.\n2,BLABAER bakery,13 Main St\n"
        "3,blabær bakery llc,12 main st\n4,Blabær Bakeryy LLC,12 Main St\n5,Other Inc,12 Main St\n"
    )
    agents = [*DEFAULT, "near_duplicates"]
    match = {"match_columns": "company,street"}
    same = cleaned(tmp_path, content, agents=agents, **match, similarity=1)
    assert [(row[3], row[4]) for row in same.quarantined] == [("3", "like row 1")]
    alike = cleaned(tmp_path, content, agents=agents, **match)
    assert [(row[3], row[4]) for row in alike.quarantined] == [
        ("3", "like row 1"),
        ("4", "like row 1"),
    ]
    assert cleaned(tmp_path, content, agents=agents).quarantined == []


def test_an_outlier_is_flagged_or_quarantined_and_ids_are_none(tmp_path: Path) -> None:
    # Quartiles of 1..11 and 1,000: 3.75 and 9.25, so what is beyond 9.25 + 3 * 5.5 = 25.75.
    content = "price,id\n" + "".join(f"{n},{n}\n" for n in range(1, 12)) + "1000,1000\n"
    flagged = cleaned(tmp_path, content)
    reason = "beyond 3 interquartile ranges: not from -12.75 to 25.75"
    assert flagged.log == [(12, "price", "1000", "1000", "outliers", reason)]
    assert len(flagged.rows) == 12
    out = cleaned(tmp_path, content, outlier_action="quarantine")
    assert out.quarantined == [["1000", "1000", "12", f"price: {reason}"]]


def test_formulas_are_kept_when_they_are_asked_for(tmp_path: Path) -> None:
    content = '"=name",b\n=1+1,x\n'
    assert cleaned(tmp_path, content).lines == [["'=name", "b"], ["'=1+1", "x"]]
    kept = cleaned(tmp_path, content, keep_formulas=True)
    assert kept.lines == [["=name", "b"], ["=1+1", "x"]]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"agents": "trim,polish"}, "no agent polish: there are unicode"),
        ({"sparkle": 1}, "no parameter sparkle"),
        ({"phone_region": "XX"}, "phone_region"),
        ({"fill_value": "N/A"}, "fill_value"),
        ({"similarity": 0.1}, "similarity"),
        ({"required_columns": "emial"}, "no column emial; the file has email"),
        ({"match_columns": ["x"]}, "match_columns"),
        ({"fill_columns": "y"}, "fill_columns"),
    ],
)
def test_what_is_not_known_is_named(
    tmp_path: Path, parameters: dict[str, object], named: str
) -> None:
    with pytest.raises(ToolRefusedError, match=named):
        cleaned(tmp_path, "email\na@x.example\n", **parameters)


def test_a_file_whose_rows_would_be_lost_is_refused(tmp_path: Path) -> None:
    content = "a,b\n" + "1,2\n" * 300 + "1\n"
    with pytest.raises(ToolRefusedError, match="row 301 has 1 cells"):
        cleaned(tmp_path, content)
