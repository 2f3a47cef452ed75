"""Published rows in a notebook: with their types, and only as they were published."""

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from b2_resources import keys
from b2_resources.local_store import LocalStore
from outreach_assets.steps.snapshots.fetch import FetchDiffersError
from outreach_assets.steps.snapshots.load import NotPublishedError, load_rows
from outreach_assets.steps.upload import publish
from tests.given import a_company, a_person, export_raw

V1, V2 = "20260504030201", "20260505030201"


def given_published(home: Path, version: str = V1) -> LocalStore:
    store = LocalStore(home / "store")
    companies = [
        a_company("c1", description=version, data_quality_score=Decimal("12.50"), keywords=["a"]),
        a_company("c2", outreach_state="PA", founded_year=1999),
    ]
    manifests = export_raw(
        home, companies, [a_person("p1", title=None)], version=version, states=("PA", "WV")
    )
    assert len(publish(store, home / "exports", [*manifests.values()])) == 2
    return store


def test_rows_of_several_states_come_with_their_types(tmp_path: Path) -> None:
    rows = load_rows("companies", store=given_published(tmp_path))
    assert rows.schema.field("data_quality_score").type == pa.decimal128(5, 2)
    assert rows.schema.field("keywords").type == pa.list_(pa.field("element", pa.string()))
    found = rows.to_pandas().set_index("company_unique_id")
    assert found.loc["c1", "data_quality_score"] == Decimal("12.50")
    assert found["outreach_state"].to_dict() == {"c1": "WV", "c2": "PA"}


def test_bad_rows_bring_their_reasons(tmp_path: Path) -> None:
    rows = load_rows("people", "bad", states=["WV"], store=given_published(tmp_path))
    assert rows.column("validation_errors").to_pylist() == [["title_missing"]]


def test_an_older_version_is_read_by_its_name(tmp_path: Path) -> None:
    given_published(tmp_path)
    store = given_published(tmp_path, V2)
    for version, wanted in ((None, V2), (V1, V1)):
        rows = load_rows("companies", states=["WV"], version=version, store=store)
        assert rows.column("description").to_pylist() == [wanted]


def test_other_bytes_than_were_published_are_not_read(tmp_path: Path) -> None:
    store = given_published(tmp_path)
    key = keys.snapshot_key("WV", "companies", "good", V1)
    store.put_bytes(key, store.root.joinpath(key).read_bytes() + b" ")
    with pytest.raises(FetchDiffersError, match="companies_good_20260504030201"):
        load_rows("companies", states=["WV"], store=store)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("contacts", "good"), "there is no good contacts: expected companies or people"),
        (("people", "valid"), "there is no valid people"),
    ],
)
def test_a_table_that_is_not_published_is_refused(asked: tuple[str, str], says: str) -> None:
    with pytest.raises(NotPublishedError, match=says):
        load_rows(*asked)


def test_a_state_without_a_snapshot_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotPublishedError, match="nothing is published in WY"):
        load_rows("people", states=["WY"], store=given_published(tmp_path))
