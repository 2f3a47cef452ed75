"""What scripts push: the same objects as an export puts, and the same again for the same rows."""

import csv
import io
import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from b2_resources.keys import failures_place
from b2_resources.local_store import LocalStore
from b2_resources.object_store import ObjectStore, StoredObject, StoreRefusedError, get_bytes
from outreach_assets.steps.failures.push import (
    push_company_failures,
    push_company_failures_batched,
    push_person_failures,
    push_person_failures_batched,
)
from outreach_core.errors import PermanentError

COMPANY = {"company_id": "c1", "company_name": "Acme", "fail_reason": "Missing website"}
PIPELINE = "WV-VALIDATION-20251118"


def later_of(stored: StoredObject) -> int:
    place = failures_place("validation-failures/", stored.key)
    assert place is not None
    assert place.pipeline_id == PIPELINE
    return place.later


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OUTREACH_HOME", str(tmp_path / "home"))


def test_the_same_failures_are_the_same_object_and_others_get_a_later_name(
    store: ObjectStore,
) -> None:
    other = {**COMPANY, "company_id": "c2"}
    pushed = [
        push_company_failures([row], pipeline_id=PIPELINE, state="WV", store=store)
        for row in (COMPANY, COMPANY, other, COMPANY, other)
    ]
    assert [later_of(one) for one in pushed] == [1, 1, 2, 1, 2]
    assert len(list(store.list_objects())) == 2
    head = store.head(pushed[0].key)
    del (said := dict(head.metadata))["upload-timestamp"]
    assert said == {
        "pipeline-id": PIPELINE,
        "failure-type": "company",
        "record-count": "1",
        "state": "WV",
    }


def test_fields_left_out_are_filled_from_what_is_said_once(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    when = datetime(2025, 11, 18, 10, 0, 0, 250_000, tzinfo=UTC)
    row = {"person_id": 7, "fail_reason": "=1+1", "validation_timestamp": when, "more": "x"}
    pushed = push_person_failures([row], pipeline_id=PIPELINE, state="PA", store=store)
    assert json.loads(get_bytes(store, pushed.key)) == [
        {
            "person_id": "7",
            "person_name": None,
            "fail_reason": "=1+1",
            "state": "PA",
            "validation_timestamp": "2025-11-18T10:00:00.25Z",
            "pipeline_id": PIPELINE,
        }
    ]
    pushed = push_person_failures([row], pipeline_id=PIPELINE, export_format="csv", store=store)
    (read,) = csv.DictReader(io.StringIO(get_bytes(store, pushed.key).decode()))
    assert (read["fail_reason"], pushed.metadata["state"]) == ("'=1+1", "unassigned")


def test_batches_are_numbered_and_one_that_fails_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class RefusingOnce(LocalStore):
        def head(self, key: str) -> StoredObject:
            if "BATCH-002" in key and not refused:
                refused.append(key)
                raise StoreRefusedError(f"no room for {key}")
            return super().head(key)

    refused: list[str] = []
    store = RefusingOnce(tmp_path)
    rows = [{**COMPANY, "company_id": f"c{number}"} for number in range(5)]
    with caplog.at_level(logging.ERROR):
        assert push_company_failures_batched(rows, 2, pipeline_id=PIPELINE, store=store) == (3, 2)
    assert "no room for" in caplog.text
    assert push_company_failures_batched(rows, 2, pipeline_id=PIPELINE, store=store) == (5, 0)
    assert [found.key[-8:-5] for found in store.list_objects()] == ["001", "002", "003"]
    people = [{"person_id": "p1", "fail_reason": "x"}]
    assert push_person_failures_batched(people, pipeline_id="P", store=store) == (1, 0)


def test_without_a_store_the_settings_say_which_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("B2_VALIDATION_FAILURES_PREFIX", "bad-rows/")
    pushed = push_company_failures([COMPANY], pipeline_id=PIPELINE, export_format="parquet")
    assert (tmp_path / "home" / "store" / pushed.key).is_file()
    assert pushed.key.startswith("bad-rows/")


def test_a_format_that_does_not_exist_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="use json, csv, jsonl, parquet"):
        push_company_failures(
            [COMPANY], pipeline_id="P", export_format="xlsx", store=LocalStore(tmp_path)
        )
