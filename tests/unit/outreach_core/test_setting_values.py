"""What a value may look like, held against who reads it. Whole settings are in test_settings.py."""

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach_core.setting_values import CRON_FIELDS, NO_SUCH_DAY, cron_schedule

NUMBERS = st.integers(0, 60).map(str)
WORDS = st.sampled_from([w for _, _, words in CRON_FIELDS.values() for w in words.split()])
ENDS = NUMBERS | WORDS
PARTS = st.one_of(
    st.just("*"),
    ENDS,
    st.builds("{}-{}".format, ENDS, ENDS),
    st.builds("{}/{}".format, st.just("*") | NUMBERS, st.integers(0, 99)),
    st.builds("{}-{}/{}".format, NUMBERS, NUMBERS, st.integers(0, 99)),
    st.text(max_size=3),
)
FIELDS = st.lists(PARTS, min_size=1, max_size=3).map(",".join)
NUMBERS_OF = st.tuples(
    *(st.integers(first, last).map(str) | st.just("*") for first, last, _ in CRON_FIELDS.values())
)


def is_taken(value: str) -> bool:
    try:
        cron_schedule(value)
    except ValueError:
        return False
    return True


def is_taken_by_dagster(value: str) -> bool:
    try:
        dg.ScheduleDefinition(name="x", job_name="y", cron_schedule=value)
    except dg.DagsterInvalidDefinitionError:
        return False
    return True


@given(st.lists(FIELDS, min_size=5, max_size=5).map(" ".join))
def test_what_is_taken_for_a_schedule_dagster_takes_too(value: str) -> None:
    if is_taken(value):
        assert is_taken_by_dagster(value)


@given(NUMBERS_OF.map(" ".join))
def test_a_plain_schedule_is_taken_when_dagster_takes_it(value: str) -> None:
    _, _, day, month, _ = value.split()
    never = (day, month) in NO_SUCH_DAY  # Dagster sees through two of these
    assert (is_taken(value) or never) == (is_taken_by_dagster(value) or never)


@pytest.mark.parametrize("value", ["*/15 * * * *", "0 2 * * MON-FRI", "30 1,13 1-7/2 jan,Jul 0"])
def test_a_schedule_as_people_write_it_is_taken(value: str) -> None:
    assert cron_schedule(value) == value
