"""Every verdict and every reason, held against an oracle that shares nothing with the pipeline.

The oracle reads the tables with psycopg and judges in plain Python; the pipeline's answer is read
from the published Parquet files. Values are compared as text: both sides print instants in UTC.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from b2_resources import keys
from b2_resources.local_store import LocalStore
from outreach_assets.steps.manifest import Manifest
from outreach_assets.steps.upload import Outcome, Published, publish
from outreach_assets.tables.catalogue import tables_for
from outreach_core.postgres import Postgres
from outreach_core.sample_data import SampleSize, SampleTarget, load_sample
from tests.given import export_states

STATES = {
    *(
        "AK AL AR AZ CA CO CT DE FL GA HI IA ID IL IN KS KY LA MA MD ME MI MN MO MS MT NC ND NE NH "
        "NJ NM NV NY OH OK OR PA RI SC SD TN TX UT VA VT WA WI WV WY DC AS GU MP PR VI"
    ).split()
}
PLACES = [*sorted(STATES), "unassigned"]

COMPANY_NOT_VALID = "company_not_valid"

Values = tuple[object, ...]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the oracle says of a row."""

    state: str
    reasons: list[str]
    values: Values
    warnings: list[str]


def company_reasons(row: Mapping[str, object]) -> Iterator[str]:
    if row["company_name"] is None:
        yield "company_name_missing"
    website = row["website_url"]
    if website is None:
        yield "website_url_missing"
    elif "." not in str(website):
        yield "website_url_invalid"


def person_reasons(
    row: Mapping[str, object], company: Mapping[str, object] | None
) -> Iterator[str]:
    email = row["email"]
    if email is None or not is_email(str(email)):
        yield "email_invalid"
    if row["title"] is None:
        yield "title_missing"
    if company is not None and any(True for _ in company_reasons(company)):
        yield COMPANY_NOT_VALID


def is_email(text: str) -> bool:
    """Something, one @, something, a dot, something; without a regular expression."""
    before, at, after = text.partition("@")
    if not (before and at) or "@" in after:
        return False
    return any(dot not in (0, len(after) - 1) for dot, c in enumerate(after) if c == ".")


def judgements(postgres: Postgres, table: str, warns_of: Sequence[str]) -> dict[str, Judgement]:
    """The oracle's answer for every row, by key."""
    companies = dict(read(postgres, "marketing.company_master", "company_unique_id"))
    if table == "companies":
        return {
            key: Judgement(
                state=place(row["address_state"]),
                reasons=list(company_reasons(row)),
                values=as_arriving(row),
                warnings=[],
            )
            for key, row in companies.items()
        }
    people = {}
    for key, row in read(postgres, "marketing.people_master", "unique_id"):
        company = companies.get(str(row["company_unique_id"]))
        broken = list(person_reasons(row, company))
        people[key] = Judgement(
            state=place((company or {}).get("address_state")),
            reasons=[name for name in broken if name not in warns_of],
            values=as_arriving(row),
            warnings=[name for name in broken if name in warns_of],
        )
    return people


def place(state: object) -> str:
    return str(state) if state in STATES else "unassigned"


def as_arriving(row: Mapping[str, object]) -> Values:
    """Its values; a NaN becomes NULL on the way, and nothing else changes."""
    return tuple(None if value == "NaN" and n == SCORE else value for n, value in row.items())


SCORE = "data_quality_score"


def read(postgres: Postgres, table: str, key: str) -> Iterator[tuple[str, dict[str, object]]]:
    """The rows with lists as lists and everything else as Postgres prints it."""
    with postgres.connect() as connection:
        connection.execute("SET LOCAL timezone = 'UTC'")
        columns = connection.execute(
            "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
            (table,),
        ).fetchall()
        listed = ", ".join(name if kind == "text[]" else f"{name}::text" for name, kind in columns)
        for row in connection.execute(f"SELECT {listed} FROM {table}".encode()):
            named = dict(zip((name for name, _ in columns), row, strict=True))
            yield str(named[key]), named


def published_rows(
    store: LocalStore, table: str, verdict: str
) -> Iterator[tuple[str, list[str], Values]]:
    """State, reasons and values of the published rows, printed the way Postgres prints them."""
    by_file = {store.place_of(keys.newest_key(s, table, verdict)): s for s in PLACES}
    files = f"read_parquet({[*by_file]}, filename = 'file')"
    with duckdb.connect() as duck:
        duck.execute("SET timezone = 'UTC'")
        described = duck.execute(f"DESCRIBE SELECT * EXCLUDE (file) FROM {files}").fetchall()
        columns = [(name, kind) for name, kind, *_ in described if name != "validation_errors"]
        listed = ", ".join(n if k == "VARCHAR[]" else f"{n}::VARCHAR" for n, k in columns)
        reasons = "validation_errors" if verdict == "bad" else "[]::VARCHAR[]"
        found = duck.execute(f"SELECT file, {reasons}, {listed} FROM {files}").fetchall()
    for file, broken, *values in found:
        yield by_file[file], broken, tuple(values)


def publish_everything(
    postgres: Postgres, home: Path, company_not_valid: str
) -> tuple[LocalStore, Sequence[Manifest]]:
    store = LocalStore(home / "store")
    tables = tables_for(company_not_valid)
    manifests = list(export_states(postgres, home, PLACES, tables=tables).values())
    for outcome in publish(store, home / "exports", manifests).values():
        assert isinstance(outcome, Published)
        assert outcome.outcome is Outcome.PUBLISHED
    return store, manifests


def disagreements(
    store: LocalStore, table: str, expected: Mapping[str, Judgement]
) -> Iterator[object]:
    """What was published otherwise than the oracle says; every row is looked at."""
    seen: Counter[str] = Counter()
    for verdict in ("good", "bad"):
        for state, reasons, values in published_rows(store, table, verdict):
            seen[str(values[0])] += 1
            wanted = expected[str(values[0])]
            where = (wanted.state, "bad" if wanted.reasons else "good")
            if (state, verdict, reasons, values) != (*where, wanted.reasons, wanted.values):
                yield state, verdict, reasons, values, wanted
    if seen != Counter(expected.keys()):
        yield seen - Counter(expected.keys()), Counter(expected.keys()) - seen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "company_not_valid"),
    [
        (SampleSize.DEMO, "error"),
        pytest.param(SampleSize.DEMO, "warn", marks=pytest.mark.slow),
        pytest.param(SampleSize.S, "warn", marks=pytest.mark.slow),
        pytest.param(SampleSize.S, "error", marks=pytest.mark.slow),
    ],
)
def test_the_oracle_agrees_with_every_row(
    postgres: Postgres, tmp_path: Path, size: SampleSize, company_not_valid: str
) -> None:
    load_sample(postgres, size=size, seed=11, target=SampleTarget.EMBEDDED)
    store, manifests = publish_everything(postgres, tmp_path, company_not_valid)
    warns_of = [COMPANY_NOT_VALID] if company_not_valid == "warn" else []
    for table, rows in (("companies", size.companies), ("people", size.people)):
        expected = judgements(postgres, table, warns_of)
        assert len(expected) == rows
        assert list(disagreements(store, table, expected)) == []
        reasons = Counter(reason for found in expected.values() for reason in found.reasons)
        for reason, count in reasons.items():
            assert sum(manifest.reasons[reason] for manifest in manifests) == count
        warned = Counter(name for found in expected.values() for name in found.warnings)
        for name, count in warned.items():
            assert sum(manifest.warnings[name] for manifest in manifests) == count
    assert COMPANY_NOT_VALID in (warned if warns_of else reasons)


@pytest.mark.parametrize("table", ["company_master", "people_master"])
def test_files_have_the_sources_columns_in_its_order(
    postgres: Postgres, tmp_path: Path, table: str
) -> None:
    manifest = export_states(postgres, tmp_path)["WV"]
    with postgres.connect() as connection:
        source = [
            name
            for (name,) in connection.execute(
                "SELECT column_name FROM information_schema.columns "
                "WHERE table_name = %s ORDER BY ordinal_position",
                (table,),
            )
        ]
    name = "companies" if table == "company_master" else "people"
    assert [column for column, _ in manifest.file(name, "good").columns] == source
    bad = [column for column, _ in manifest.file(name, "bad").columns]
    assert bad == [*source, "validation_errors"]
