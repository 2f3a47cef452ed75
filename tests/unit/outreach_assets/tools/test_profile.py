"""What profile-my-data says of small tables, against answers worked out by hand and by pandas."""

import math
import random
import zipfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from outreach_assets.tools.profile_my_data import rows as table_rows
from outreach_assets.tools.profile_my_data.drift import ks_p_value, psi
from outreach_assets.tools.profile_my_data.quantiles import Weighted, quantiles
from outreach_assets.tools.profile_my_data.report import ColumnReport, ProfileReport
from tests.unit.outreach_assets.tools.handed_in import profiled


def column(report: ProfileReport, name: str) -> ColumnReport:
    return next(one for one in report.columns if one.name == name)


def of_values(folder: Path, *values: str, name: str = "x") -> ColumnReport:
    """The report on one column beside a number for every row."""
    rows = "".join(f'{n},"{value}"\n' for n, value in enumerate(values))
    return column(profiled(folder, f"row,{name}\n{rows}"), name)


def test_counts_are_what_a_person_counts(tmp_path: Path) -> None:
    one = of_values(tmp_path, "a", "b", " a", "a", "", "  ", "c", "", "b", "a")
    assert (one.rows, one.nulls, one.blanks, one.padded) == (10, 2, 1, 1)
    assert (one.distinct, one.unique, one.duplicates) == (5, 3, 3)
    assert [(v.value, v.rows) for v in one.top_values[:2]] == [("a", 3), ("b", 2)]
    assert one.top_values[0].share == pytest.approx(3 / 7, abs=1e-6)
    assert one.lengths is not None
    assert (one.lengths.shortest, one.lengths.longest, one.lengths.mean) == (1, 2, 1.14)


@pytest.mark.parametrize(
    ("values", "name", "found"),
    [
        (["1", "-2", "+3"], "x", ("integer", "number")),
        (["1.5", "2", "1e3"], "x", ("decimal", "number")),
        (["1,234.5", "12", "7,000"], "x", ("decimal", "number")),
        (["$1.00", "($2,000.50)", "3.10 USD"], "x", ("decimal", "money")),
        (["1", "2", "3"], "total_amount", ("integer", "money")),
        (["5%", "7.5 %"], "x", ("decimal", "percent")),
        (["00501", "25301", "10001"], "zip", ("text", "zip")),
        (["2024-02-29", "2023-01-01"], "x", ("date", "date")),
        (["2024-02-29 01:02", "2023-01-01T00:00:00Z"], "x", ("timestamp", "date")),
        (["2/29/2024", "12/31/2023"], "x", ("date", "date")),
        (["Jan 2, 2024", "March 3, 2024"], "x", ("date", "date")),
        (["true", "FALSE", "True"], "x", ("boolean", "boolean")),
        (["a@b.example", "c.d+e@f.example"], "x", ("text", "email")),
        (["https://a.example/x", "www.b.example"], "x", ("text", "url")),
        (["+13045551234", "(304) 555-9876", "304-555-1111"], "x", ("text", "phone")),
        (["3045551234", "3045551235"], "work_phone", ("integer", "phone")),
        (["WV", "OH", "pa", "WV"], "x", ("text", "state")),
        (["8a1f0b9c-1111-4222-8333-0123456789ab"] * 2, "x", ("text", "id")),
        (["A-1", "A-2", "A-3"], "customer_id", ("text", "id")),
        (["red", "blue", "red", "blue", "red"], "x", ("text", "category")),
        (["Ann", "Bob"], "first_name", ("text", "name")),
        (["192.168.0.1", "10.0.0.1"], "x", ("text", "ip address")),
        (["123-45-6789", "987-65-4321"], "x", ("text", "social security number")),
        (["4111 1111 1111 1111"], "x", ("text", "card number")),
        (["some words", "and more of them"], "x", ("text", "text")),
        (["", ""], "x", ("empty", "empty")),
    ],
)
def test_type_and_meaning_are_what_a_person_sees(
    tmp_path: Path, values: list[str], name: str, found: tuple[str, str]
) -> None:
    one = of_values(tmp_path, *values, name=name)
    assert (one.type, one.meaning) == found


def test_numbers_are_what_pandas_says(tmp_path: Path) -> None:
    rng = random.Random(7)  # noqa: S311 (the same numbers every time)
    numbers = [round(rng.gauss(50, 12), 2) for _ in range(997)] + [500.0, -300.0, 50.0]
    report = profiled(tmp_path, "x,y\n" + "".join(f"{n},{n * 2 + 1}\n" for n in numbers))
    one, series = column(report, "x"), pd.Series(numbers)
    assert one.spread is not None
    assert one.numbers is not None
    assert one.outliers is not None
    quantiles = {"p01": 0.01, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
    for name, at in quantiles.items():
        assert float(getattr(one.spread, name)) == pytest.approx(series.quantile(at))
    assert (float(one.spread.min), float(one.spread.max)) == (-300.0, 500.0)
    assert one.numbers.mean == pytest.approx(series.mean())
    assert one.numbers.standard_deviation == pytest.approx(series.std())
    assert one.numbers.sum == pytest.approx(series.sum())
    first, third = series.quantile(0.25), series.quantile(0.75)
    reach = 1.5 * (third - first)
    assert one.outliers.rows == int(((series < first - reach) | (series > third + reach)).sum())
    assert sum(bar.rows for bar in one.spread.histogram) == len(numbers)


@pytest.mark.parametrize(
    "numbers",
    [
        [3.0],
        [2.0, 1.0],
        [*range(1000), 1e12, -1e12],
        [0.1 * n for n in range(50)],
        [1e308, -1e308, 5.0],
        [7.0, 7.0 + 1e-15, 7.0],
    ],
)
def test_quantiles_are_numpys_whatever_the_weights(numbers: list[float]) -> None:
    weights = [1 + n % 7 for n in range(len(numbers))]
    rows = ", ".join(f"({x!r}::DOUBLE, {n})" for x, n in zip(numbers, weights, strict=True))
    weighted = Weighted(
        relation=f"(VALUES {rows}) AS t(x, n)",
        low=min(numbers),
        high=max(numbers),
        rows=sum(weights),
    )
    wanted = [0.0, 0.01, 0.25, 0.5, 0.95, 1.0]
    with duckdb.connect() as duck:
        found = quantiles(duck, weighted, wanted)
    assert found == pytest.approx(list(np.quantile(np.repeat(numbers, weights), wanted)))


def test_numbers_too_large_to_square_are_outliers_and_no_more(tmp_path: Path) -> None:
    one = of_values(tmp_path, "1e308", "-1e308", "1e999", "1", "2", "3")
    assert one.spread is not None
    assert one.numbers is not None
    assert one.outliers is not None
    assert (one.spread.min, one.spread.max, one.numbers.sum) == ("1", "3", 6.0)
    assert one.outliers.rows == 3


def test_correlations_of_many_rows_are_near_and_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_rows, "SPREAD_ROWS", 2000)
    rng = np.random.default_rng(3)
    x = rng.normal(size=8000)
    frame = pd.DataFrame({"x": x, "y": x * 0.5 + rng.normal(size=8000)})
    table = profiled(tmp_path, frame.to_csv(index=False)).table
    (one,) = table.correlations
    assert table.correlations_are_approximate
    assert one.value != pytest.approx(frame.corr().loc["x", "y"], abs=1e-6)
    assert one.value == pytest.approx(frame.corr().loc["x", "y"], abs=0.05)


def test_duplicate_rows_are_pandas(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"a": rng.integers(0, 9, 400), "b": rng.integers(0, 9, 400)})
    table = profiled(tmp_path, frame.to_csv(index=False)).table
    assert table.duplicate_rows == frame.duplicated().sum()
    assert not table.correlations_are_approximate


def test_drift_of_numbers_is_numpys(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    before, now = rng.normal(50, 9, 700).round(1), rng.normal(54, 12, 500).round(1)
    texts = [pd.DataFrame({"x": numbers}).to_csv(index=False) for numbers in (now, before)]
    drift = profiled(tmp_path, texts[0], baseline=texts[1]).drift
    assert drift is not None
    edges = np.quantile(before, [n / 10 for n in range(1, 10)])
    shares = [
        np.bincount(np.searchsorted(edges, numbers), minlength=10) / len(numbers)
        for numbers in (before, now)
    ]
    expected = float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
    assert drift.columns[0].psi == pytest.approx(expected, abs=1e-6)
    at = np.union1d(before, now)
    heights = [
        np.searchsorted(np.sort(numbers), at, side="right") / len(numbers)
        for numbers in (before, now)
    ]
    assert drift.columns[0].ks == pytest.approx(np.abs(heights[0] - heights[1]).max(), abs=1e-6)


def test_correlations_are_what_pandas_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=500)
    frame = pd.DataFrame({"x": x, "y": x * 0.5 + rng.normal(size=500), "z": -x})
    report = profiled(tmp_path, frame.to_csv(index=False))
    found = {(c.first, c.second): c.value for c in report.table.correlations}
    expected = frame.corr()
    assert found["x", "z"] == -1.0
    assert found["x", "y"] == pytest.approx(expected.loc["x", "y"], abs=1e-5)


def test_cramers_v_by_hand(tmp_path: Path) -> None:
    # Counts 30 10 / 10 30: chi² = 80 (30*30 - 10*10)² / (40*40*40*40) = 20; V = sqrt(20 / 80).
    rows = ["a,x"] * 30 + ["a,y"] * 10 + ["b,x"] * 10 + ["b,y"] * 30
    report = profiled(tmp_path, "p,q\n" + "\n".join(rows) + "\n")
    (one,) = report.table.correlations
    assert (one.measure, one.value) == ("cramers_v", 0.5)


def test_duplicates_keys_and_dependencies_by_hand(tmp_path: Path) -> None:
    rows = ["1,WV,West Virginia,a", "2,WV,West Virginia,b", "3,OH,Ohio,a", "4,OH,Ohio,b"]
    table = profiled(tmp_path, "n,code,state,half\n" + "\n".join(rows) + "\n").table
    assert table.duplicate_rows == 0
    assert table.keys == [["n"]]
    assert {(d.column, d.follows_from) for d in table.dependencies} == {
        ("state", "code"),
        ("code", "state"),
    }
    repeated = profiled(tmp_path, "code,half\nWV,a\nWV,b\nOH,a\nOH,b\nOH,b\nOH,b\n").table
    assert (repeated.duplicate_rows, repeated.keys) == (2, [])
    assert profiled(tmp_path, "code,half\nWV,a\nWV,b\nOH,a\nOH,b\n").table.keys == [
        ["code", "half"]
    ]


def test_a_null_breaks_a_dependency(tmp_path: Path) -> None:
    table = profiled(tmp_path, "a,b,n\nx,1,1\nx,,2\ny,2,3\ny,2,4\n").table
    assert ("b", "a") not in {(d.column, d.follows_from) for d in table.dependencies}


def test_dependencies_of_a_large_table_are_those_of_all_its_rows(tmp_path: Path) -> None:
    # 25,000 rows: `half` seems to follow from `group` among the first ones, and in all but one.
    rows = [f"{n},{n % 5},{'vwxyz'[n % 5]},{n % 9000},{n % 9000 % 7}" for n in range(25_000)]
    rows[-1] = "24999,4,z,3,100"
    report = profiled(tmp_path, "n,code,state,group,half\n" + "\n".join(rows) + "\n")
    found = {(d.column, d.follows_from) for d in report.table.dependencies}
    assert found == {("state", "code"), ("code", "state")}


def test_day_first_dates_are_read_so_and_mixed_ones_are_an_issue(tmp_path: Path) -> None:
    one = of_values(tmp_path, "31/12/2023", "01/02/2024", name="when")
    assert one.is_day_first
    assert one.spread is not None
    assert (one.spread.min, one.spread.max) == ("2023-12-31", "2024-02-01")
    report = profiled(tmp_path, "when\n2024-01-02\n2024-01-03\n2/30/2024\n")
    codes = {(issue.code, issue.rows) for issue in report.issues}
    assert {("mixed_formats", 1), ("does_not_fit", 1)} <= codes


def test_a_column_mostly_of_dates_names_what_is_none(tmp_path: Path) -> None:
    report = profiled(tmp_path, "when\n" + "2024-01-02\n" * 7 + "3.1.2024\n2/30/2024\nunknown\n")
    one = column(report, "when")
    assert (one.type, one.meaning, one.fits) == ("text", "date", 8)
    assert {("does_not_fit", 2), ("mixed_formats", 3)} <= {(i.code, i.rows) for i in report.issues}


def test_the_score_is_the_weighted_mean_of_its_parts(tmp_path: Path) -> None:
    quality = profiled(tmp_path, "a,b\n1,x\n,y\n3,\n3,\n").quality
    parts = {part.name: part.score for part in quality.parts}
    # 3 of 8 cells are empty; one row of four repeats another.
    assert (parts["completeness"], parts["uniqueness"]) == (62.5, 75.0)
    assert math.fsum(part.weight for part in quality.parts) == pytest.approx(1)
    assert quality.score == pytest.approx(
        sum(part.score * part.weight for part in quality.parts), abs=0.06
    )


PERSONAL = (
    "full_name,email,phone,note,birth_date\n"
    "Ann Secretson,ann@secret.example,+13049876543,"
    "call 304-555-9999 or ann@home.example,1980-05-06\n"
    "Bob Hiddenman,bob@secret.example,+13049876544,"
    "ssn 321-54-9876 card 4111 1111 1111 1111,1981-07-08\n"
)


def test_nothing_personal_is_in_any_output(tmp_path: Path) -> None:
    report = profiled(tmp_path, PERSONAL, baseline=PERSONAL.replace("Ann", "Cid"))
    kinds = {(c.name, s.kind) for c in report.columns for s in c.sensitive}
    assert {
        ("full_name", "person name"),
        ("email", "email address"),
        ("phone", "phone number"),
        ("note", "phone number"),
        ("note", "email address"),
        ("note", "social security number"),
        ("note", "card number"),
        ("birth_date", "date of birth"),
    } <= kinds
    for output in (tmp_path / "outputs").iterdir():
        text = output.read_bytes() if output.suffix != ".xlsx" else unpacked(output)
        for secret in (
            *("Secretson", "Hiddenman", "ann@", "bob@", "987654", "555-9999", "321-54-9876"),
            *("4111", "05-06"),
        ):
            assert secret.encode() not in text, (output.name, secret)


def unpacked(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())


def test_psi_and_ks_by_hand(tmp_path: Path) -> None:
    # Shares 1/2 1/2 against 1/4 3/4: (-1/4) ln(1/2) + (1/4) ln(3/2).
    assert psi([50, 50], [25, 75]) == pytest.approx(
        0.25 * math.log(2) + 0.25 * math.log(1.5), abs=1e-6
    )
    before = "c,n\n" + "a,1\na,2\nb,3\nb,4\n"
    now = "c,n\n" + "a,1\nb,2\nb,5\nd,6\n"
    drift = profiled(tmp_path, now, baseline=before, drift_bins=2).drift
    assert drift is not None
    category, number = drift.columns
    assert [v.value for v in category.new_values] == ["d"]
    assert category.vanished_values == []
    assert category.unseen_rows == 1
    # a 1/2 to 1/4, b 1/2 to 1/2, d 0.0001 to 1/4.
    expected = 0.25 * math.log(2) + (0.25 - 0.0001) * math.log(2500)
    assert category.psi == pytest.approx(expected, abs=1e-6)
    assert category.verdict == "major"
    # At 4 all of the baseline lies below, half of the rows now.
    assert number.ks == 0.5
    # Halves of the baseline at 2.5: two and two rows now.
    assert number.psi == 0.0


def test_ks_p_values_are_kolmogorovs() -> None:
    # The 5 % point of Kolmogorov's distribution is 1.3581.
    assert ks_p_value(1.3581 / math.sqrt(50_000), 100_000, 100_000) == pytest.approx(0.05, abs=2e-3)
    assert ks_p_value(0.0, 10, 10) == 1.0


def test_columns_that_came_went_or_changed_are_named(tmp_path: Path) -> None:
    report = profiled(tmp_path, "a,c\n1,x\n2,y\n", baseline="a,b\nu,1\nv,2\n")
    assert report.drift is not None
    assert (report.drift.columns_added, report.drift.columns_removed) == (["c"], ["b"])
    (changed,) = report.drift.types_changed
    assert (changed.name, changed.before, changed.now) == ("a", "text", "integer")
    assert {"column_removed", "column_added", "type_changed"} <= {i.code for i in report.issues}


def test_the_same_file_beside_itself_has_not_drifted(tmp_path: Path) -> None:
    text = "c,n,d\n" + "".join(f"{'ab'[n % 2]},{n},2024-01-{n % 28 + 1:02d}\n" for n in range(300))
    drift = profiled(tmp_path, text, baseline=text).drift
    assert drift is not None
    assert {(one.verdict, one.psi, one.ks or 0.0) for one in drift.columns} == {("stable", 0, 0)}


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    texts = []
    for _ in range(2):
        profiled(tmp_path, PERSONAL, baseline=PERSONAL)
        texts.append({p.name: p.read_bytes() for p in (tmp_path / "outputs").iterdir()})
    assert texts[0] == texts[1]
