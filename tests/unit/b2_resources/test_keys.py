import re
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2_resources import keys
from b2_resources.keys import FailuresPlace, KeyRefusedError, SnapshotPlace, VersionPlace
from outreach_core.states import ALL_STATES, UnknownStateError

VERSION = "20260131235959"


def test_the_keys_are_those_of_the_design() -> None:
    folder = "outreach/wv/companies/good/"
    newest = keys.newest_key("WV", "companies", "good")
    assert newest == folder + "companies_good.parquet"
    versioned = keys.snapshot_key("wv", "companies", "good", VERSION)
    assert versioned == f"{folder}companies_good_{VERSION}.parquet"
    assert keys.manifest_key("WV", VERSION) == f"outreach/wv/manifests/{VERSION}.json"
    assert keys.manifests_prefix("unassigned") == "outreach/unassigned/manifests/"
    assert keys.state_prefix("WV") == "outreach/wv/"


@given(
    state=st.sampled_from(ALL_STATES),
    table=st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True),
    verdict=st.sampled_from(["good", "bad"]),
    version=st.from_regex(r"[0-9]{14}", fullmatch=True),
)
def test_a_snapshots_key_says_what_it_was_built_from(
    state: str, table: str, verdict: str, version: str
) -> None:
    place = SnapshotPlace(state=state, table=table, verdict=verdict, version=version)
    key = keys.snapshot_key(state, table, verdict, version)
    assert keys.snapshot_place(key) == place
    newest = keys.snapshot_place(keys.newest_key(state, table, verdict))
    assert newest == SnapshotPlace(state=state, table=table, verdict=verdict, version=None)
    manifest = keys.manifest_key(state, version)
    of_version = VersionPlace(state=state, version=version)
    assert keys.manifest_place(manifest) == of_version
    changes = keys.changes_key(state, version)
    assert keys.changes_place(changes) == of_version
    held = keys.held_key(state, version, table, verdict)
    assert keys.held_place(held) == of_version
    assert keys.held_place(keys.held_manifest_key(state, version)) == of_version
    pruned = keys.pruned_key(state, version)
    assert keys.pruned_place(pruned) == of_version
    for built in (key, manifest, keys.newest_key(state, table, verdict), changes, held, pruned):
        assert keys.check_key(built) == built
        assert built.startswith(keys.check_prefix(keys.state_prefix(state)))


@pytest.mark.parametrize(
    "key",
    [
        "outreach/wv/companies/good/people_good.parquet",
        "outreach/wv/companies/good/companies_bad.parquet",
        "outreach/WV/companies/good/companies_good.parquet",
        "outreach/wv/companies/good/companies_good_2026.parquet",
        "outreach/wv/companies/good/companies_good.parquet.part",
        "x/outreach/wv/companies/good/companies_good.parquet",
        f"outreach/wv/manifests/{VERSION}.json.bak",
    ],
)
def test_other_keys_are_no_snapshots(key: str) -> None:
    assert keys.snapshot_place(key) is None
    assert keys.manifest_place(key) is None
    assert keys.changes_place(key) is None
    assert keys.held_place(key) is None


def test_an_unknown_state_has_no_keys() -> None:
    with pytest.raises(UnknownStateError):
        keys.newest_key("../x", "companies", "good")


@pytest.mark.parametrize(
    ("table", "verdict", "version"),
    [("../x", "good", VERSION), ("companies", "ugly", VERSION), ("companies", "good", "latest")],
)
def test_what_is_no_snapshot_has_no_key(table: str, verdict: str, version: str) -> None:
    with pytest.raises(KeyRefusedError):
        keys.snapshot_key("WV", table, verdict, version)


@given(st.text(max_size=40))
def test_a_key_that_is_taken_stays_below_its_folder(key: str) -> None:
    try:
        keys.check_key(key)
    except KeyRefusedError:
        return
    parts = key.split("/")
    assert not {"", ".", ".."} & set(parts)
    assert not any(character < " " or character == "\\" for character in key)
    key.encode()


@given(st.text(max_size=40))
def test_every_beginning_of_a_good_key_is_a_good_prefix(key: str) -> None:
    try:
        keys.check_key(key)
    except KeyRefusedError:
        return
    for length in range(len(key) + 1):
        assert keys.check_prefix(key[:length]) == key[:length]


def test_a_key_may_have_1024_bytes_and_no_more() -> None:
    longest = "/".join(["é" * 100] * 5) + "/" + "x" * 19
    assert len(longest.encode()) == 1024
    assert keys.check_key(longest) == longest
    with pytest.raises(KeyRefusedError, match="1024"):
        keys.check_key(longest + "x")


def test_exported_failures_lie_where_people_know_them() -> None:
    place = FailuresPlace(
        exported_on=date(2025, 11, 18),
        failure_type="company",
        pipeline_id="WV-VALIDATION-20251118",
        extension="json",
    )
    folder = "validation-failures/2025-11-18/"
    name = "company_failures_WV-VALIDATION-20251118"
    assert keys.failures_key("validation-failures/", place) == f"{folder}{name}.json"
    batch = replace(place, batch=1, extension="csv")
    assert keys.failures_key("validation-failures", batch) == f"{folder}{name}-BATCH-001.csv"
    later = keys.failures_key("", replace(batch, later=2))
    assert later == f"2025-11-18/{name}-BATCH-001-2.csv"


@given(
    prefix=st.sampled_from(["", "a/", "a/b/", "validation-failures/"]),
    exported_on=st.dates(),
    failure_type=st.sampled_from(["company", "person"]),
    pipeline_id=st.text(max_size=60).filter(lambda text: not re.search(r"-[\d]+\Z", text)),
    batch=st.none() | st.integers(1, 5000),
    later=st.integers(1, 999),
)
def test_a_key_of_failures_says_what_it_was_built_from(
    prefix: str,
    exported_on: date,
    failure_type: str,
    pipeline_id: str,
    batch: int | None,
    later: int,
) -> None:
    place = FailuresPlace(
        exported_on=exported_on,
        failure_type=failure_type,
        pipeline_id=pipeline_id,
        extension="json",
        batch=batch,
        later=later,
    )
    key = keys.failures_key(prefix, place)
    assert keys.check_key(key) == key
    assert keys.failures_prefix(key) == prefix.removesuffix("/")
    if "~" not in key:  # a long id is cut
        assert keys.failures_place(prefix, key) == place


@pytest.mark.parametrize(
    "key",
    [
        "vf/2025-13-18/company_failures_P.json",
        "vf/2025-11-18/companies_P.json",
        "2025-11-18/company_failures_P.json",
        "vf/x/2025-11-18/company_failures_P.json",
    ],
)
def test_other_keys_are_no_failures(key: str) -> None:
    assert keys.failures_place("vf/", key) is None


@given(st.dates(min_value=date(1970, 1, 1)))
def test_an_audit_key_says_its_day(day: date) -> None:
    assert keys.audit_day(keys.audit_key(day)) == day


@pytest.mark.parametrize(
    "key",
    [
        "audit/2026/11/audit_20261232.parquet",
        "audit/2026/10/audit_20261121.parquet",
        "audit/2026/11/audit_20261121.parquet.part",
    ],
)
def test_no_other_key_is_an_audit_key(key: str) -> None:
    assert keys.audit_key(date(2026, 11, 21)) == "audit/2026/11/audit_20261121.parquet"
    assert keys.audit_day(key) is None


def test_a_tasks_files_lie_below_its_user_under_names_of_ours() -> None:
    assert keys.task_input_key("anna", "3f0c", "primary") == (
        "users/anna/tasks/3f0c/inputs/primary.csv"
    )
    assert keys.task_output_key("anna", "3f0c", "report.json") == (
        "users/anna/tasks/3f0c/outputs/report.json"
    )


@pytest.mark.parametrize("part", ["", "..", "a/b", "A", "a\n", "-a", "a.b", "ä"])
def test_no_id_leads_out_of_a_tasks_folder(part: str) -> None:
    for user, task in ((part, "3f0c"), ("anna", part)):
        with pytest.raises(keys.KeyRefusedError):
            keys.task_input_key(user, task, "primary")
