"""What the log says of failures: each record once, as it failed last, and people's names masked."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from outreach_assets.steps.failures.kinds import FailureType
from outreach_assets.steps.failures.lists import Wanted, failure_stats, newest_failures
from outreach_assets.steps.record import NotMigratedError
from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from outreach_core.states import UNASSIGNED
from tests.given import given_sql

LOG = "marketing.validation_failures_log"
COLUMNS = (
    *("failure_type", "company_id", "company_name", "person_id", "person_name", "fail_reason"),
    *("state", "validation_timestamp", "pipeline_id", "exported_to_b2"),
)


def a_failure(record: str | None, day: int, **fields: object) -> dict[str, object]:
    return {
        "failure_type": "company",
        "company_id": record,
        "company_name": "Acme",
        "fail_reason": "Missing website",
        "state": "WV",
        "validation_timestamp": datetime(2025, 11, day, tzinfo=UTC),
        "pipeline_id": f"WV-VALIDATION-202511{day:02}",
        **fields,
    }


def a_persons_failure(record: str, day: int, **fields: object) -> dict[str, object]:
    person = {"person_id": record, "person_name": "Ann Lee", "company_name": None}
    return a_failure(None, day, failure_type="person", **person, **fields)


def given_failures(postgres: Postgres, *failures: Mapping[str, object]) -> None:
    migrate(postgres)
    with postgres.connect() as connection:
        for one in failures:
            connection.execute(
                f"INSERT INTO {LOG} ({', '.join(COLUMNS)}) "
                f"VALUES ({', '.join(['%s'] * len(COLUMNS))})".encode(),
                [one.get(name) for name in COLUMNS],
            )


@pytest.fixture
def logged(postgres: Postgres) -> Postgres:
    given_failures(
        postgres,
        a_failure("c1", 16, fail_reason="Missing company name; Missing website", state="OH"),
        a_failure("c1", 18),
        a_failure("c2", 17, exported_to_b2=True),
        a_failure("c3", 15, state=None, validation_timestamp=None, exported_to_b2=False),
        a_failure("c4", 14, fail_reason="odd"),
        a_failure("c5", 13, fail_reason="odd"),
        a_failure("c6", 12, state="PA"),
        a_persons_failure("p1", 19, fail_reason="Missing or invalid email;Missing title "),
    )
    validated = (
        "INSERT INTO shq.validations VALUES ('PA', 'company', '2025-11-12 01:00Z', '', '', 0)"
    )
    given_sql(
        postgres, validated, f"UPDATE {LOG} SET created_at = '2025-11-15Z' WHERE company_id = 'c3'"
    )
    return postgres


def test_failures_come_newest_first_and_each_record_once(logged: Postgres) -> None:
    found, total = newest_failures(logged, Wanted(), limit=4)
    assert total == 6  # and c6 is mended
    assert [(f.record_id, f.state, f.is_exported) for f in found] == [
        ("p1", "WV", False),
        ("c1", "WV", False),
        ("c2", "WV", True),
        ("c3", None, False),
    ]


def test_the_name_of_a_person_is_masked_and_that_of_a_company_is_not(logged: Postgres) -> None:
    found, _ = newest_failures(logged, Wanted(), limit=2)
    assert [f.name for f in found] == ["A•••", "Acme"]


@pytest.mark.parametrize(
    ("wanted", "records"),
    [
        (Wanted(types=(FailureType.PERSON,)), ["p1"]),
        (Wanted(types=(FailureType.COMPANY,), states=("WV",)), ["c1", "c2", "c4", "c5"]),
        (Wanted(states=("OH",)), []),
        (Wanted(states=("OH", UNASSIGNED)), ["c3"]),
    ],
)
def test_a_type_or_a_state_narrows_the_list(
    logged: Postgres, wanted: Wanted, records: list[str | None]
) -> None:
    found, total = newest_failures(logged, wanted, limit=10)
    assert [f.record_id for f in found] == records
    assert total == len(records)


def test_the_counts_are_of_records_and_what_waits_is_of_log_rows(logged: Postgres) -> None:
    stats = failure_stats(logged, Wanted())
    assert stats.by_type == {"company": 5, "person": 1}
    assert stats.by_state == {"WV": {"company": 4, "person": 1}, UNASSIGNED: {"company": 1}}
    assert list(stats.by_reason.items()) == [
        ("Missing website", {"company": 3}),
        ("odd", {"company": 2}),
        ("Missing or invalid email", {"person": 1}),
        ("Missing title", {"person": 1}),
    ]
    waiting = {type_: (w.rows, w.since) for type_, w in stats.unexported.items()}
    assert waiting == {
        "company": (6, datetime(2025, 11, 12, tzinfo=UTC)),
        "person": (1, datetime(2025, 11, 19, tzinfo=UTC)),
    }


def test_an_empty_log_is_no_failures(postgres: Postgres) -> None:
    assert newest_failures(postgres, Wanted(), limit=1) == ([], 0)
    assert failure_stats(postgres, Wanted()).by_type == {"company": 0, "person": 0}


def test_a_database_without_the_log_names_the_command_that_makes_it(
    empty_postgres: Postgres,
) -> None:
    with pytest.raises(NotMigratedError, match="outreach db migrate"):
        newest_failures(empty_postgres, Wanted(), limit=1)
