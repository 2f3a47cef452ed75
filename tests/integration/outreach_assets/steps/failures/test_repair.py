"""The mending loop: corrected rows judged by the same rules, written whole or not at all."""

import csv
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outreach_assets.steps.failures import repair_write
from outreach_assets.steps.failures.corrections import CorrectionsFileError, read_corrections
from outreach_assets.steps.failures.repair import Outcome, Repair, plan_repair
from outreach_assets.steps.failures.repair_write import (
    ChangedMeanwhileError,
    MasterBusyError,
    MasterRefusedError,
    write_repair,
)
from outreach_assets.steps.record import NotMigratedError
from outreach_assets.steps.source import held_snapshot
from outreach_assets.tables.catalogue import TABLES, tables_for
from outreach_assets.tables.table import Table
from outreach_core.audit import operator
from outreach_core.postgres import Connection, Postgres
from tests.given import (
    COMPANY_MASTER,
    PEOPLE_MASTER,
    a_company,
    a_duck,
    a_person,
    given_rows,
    given_sql,
    judge,
)
from tests.servers.pgbouncer import pgbouncer

PROJECT = Path(__file__).parents[4]
Plan = Callable[[str], Repair]


@pytest.fixture
def plan(postgres: Postgres, tmp_path: Path) -> Plan:
    """What this text, as a CSV file, comes to in the test's database."""
    return lambda text: planned(postgres, tmp_path, text)


def planned(
    postgres: Postgres, folder: Path, text: str, tables: Sequence[Table] = TABLES
) -> Repair:
    file = folder / "mended.csv"
    file.write_text(text, encoding="utf-8", newline="")
    corrections = read_corrections(file)
    with a_duck(folder) as duck, held_snapshot(postgres) as snapshot:
        return plan_repair(duck, snapshot, tables, corrections)


def masters(postgres: Postgres, table: str = COMPANY_MASTER) -> dict[str, dict[str, object]]:
    """Every row by key, without its NULLs."""
    with postgres.connect() as connection:
        rows = connection.execute(
            f"SELECT to_jsonb(t) FROM {table} AS t ORDER BY 1".encode()
        ).fetchall()
    return {
        row.get("unique_id") or row["company_unique_id"]: {k: v for k, v in row.items() if v}
        for (row,) in rows
    }


def audit(postgres: Postgres) -> list[dict[str, object]]:
    with postgres.connect() as connection:
        return [
            row[0]
            for row in connection.execute(
                "SELECT details FROM shq.audit_log "
                "WHERE event_type = 'outreach_failure_repaired' ORDER BY id"
            )
        ]


def outcomes(repair: Repair) -> dict[str, str]:
    return {row.key: row.outcome for row in repair.rows}


def whys(repair: Repair) -> dict[int, str]:
    return {refusal.line: refusal.why for refusal in repair.refused}


def found_bad(postgres: Postgres, folder: Path) -> dict[str, list[str]]:
    """What the next validation finds bad, and why."""
    with a_duck(folder) as duck:
        judge(duck, postgres)
        return dict(
            duck.execute(
                "SELECT company_unique_id, validation_errors FROM companies_bad "
                "UNION ALL SELECT unique_id, validation_errors FROM people_bad"
            ).fetchall()
        )


def waits_for_a_lock(connection: Connection) -> bool:
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ).fetchone()
    return row is not None and bool(row[0])


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_bad_row_goes_round_the_loop_and_comes_back_good(
    postgres: Postgres, plan: Plan, tmp_path: Path
) -> None:
    given_rows(
        postgres,
        [a_company("c1", website_url=None), a_company("c2", website_url="nodot")],
        [a_person("p1", email="no", title=None)],
    )
    before = masters(postgres)
    mended = plan(
        "company_id,company_name,fail_reason,state,validation_timestamp,pipeline_id,website_url\r\n"
        "c1,Acme,Missing website,WV,2025-11-18,WV-VALIDATION-20251118,acme.example\r\n"
        "c2,New Name,Invalid website,WV,2025-11-18,WV-VALIDATION-20251118,\r\n"
    )
    assert [(r.key, r.reasons_before, r.reasons_after) for r in mended.rows] == [
        ("c1", ["website_url_missing"], ()),
        ("c2", ["website_url_invalid"], ["website_url_invalid"]),
    ]
    assert masters(postgres) == before  # judging writes nothing
    assert write_repair(postgres, mended) == 1
    after = masters(postgres)
    assert after["c2"] == before["c2"]
    assert {k for k in after["c1"] if after["c1"][k] != before["c1"].get(k)} == {
        "website_url",
        "updated_at",
    }
    people = plan("person_id,person_name,email,title\np1,Ann,ann@acme.example,CFO\n")
    assert write_repair(postgres, people) == 1
    assert found_bad(postgres, tmp_path) == {"c2": ["website_url_invalid"]}
    assert audit(postgres) == [
        {
            "who": operator(),
            "table": COMPANY_MASTER,
            "key": "c1",
            "columns": ["website_url"],
            "reasons_before": ["website_url_missing"],
        },
        {
            "who": operator(),
            "table": PEOPLE_MASTER,
            "key": "p1",
            "columns": ["email", "title"],
            "reasons_before": ["email_invalid", "title_missing"],
        },
    ]


def test_repeating_a_repair_changes_nothing(postgres: Postgres, plan: Plan) -> None:
    given_rows(postgres, [a_company("c1", website_url=None)])
    text = 'company_id,website_url,keywords\nc1,acme.example,"[""a b"",""c""]"\n'
    write_repair(postgres, plan(text))
    before = masters(postgres)
    again = plan(text)
    assert again.to_write == []
    assert again.is_all_good
    assert outcomes(again) == {"c1": Outcome.GOOD}
    assert write_repair(postgres, again) == 0
    assert masters(postgres) == before
    assert len(audit(postgres)) == 1


def test_every_type_of_cell_arrives_as_it_was_meant(postgres: Postgres, plan: Plan) -> None:
    given_rows(postgres, [a_company("c1"), a_company("c2")], [a_person("p1")])
    given_sql(postgres, f"ALTER TABLE {COMPANY_MASTER} ADD founded date, ADD code varchar(3)")
    repair = plan(
        "company_unique_id;employee_count;data_quality_score;promoted_from_intake_at;keywords;"
        "description;founded;code\n"
        'c1;12;95.1;2025-11-18 03:04:05;"{red,""white wine""}";\'=1+1;2025-11-18;abc\n'
        "c2;-5;1e1;2025-11-18T03:04:05+02:00;\"[a, 'b, c', NULL]\"; 'tis;;\n;;\n"
    )
    assert whys(repair) == {}
    write_repair(postgres, repair)
    rows = masters(postgres)
    assert rows["c1"]["employee_count"] == 12
    assert rows["c1"]["data_quality_score"] == 95.1
    assert str(rows["c1"]["promoted_from_intake_at"]).startswith("2025-11-18T03:04:05")
    assert rows["c1"]["keywords"] == ["red", "white wine"]
    assert rows["c1"]["description"] == "=1+1"
    assert (rows["c1"]["founded"], rows["c1"]["code"]) == ("2025-11-18", "abc")
    assert rows["c2"]["employee_count"] == -5
    assert rows["c2"]["data_quality_score"] == 10
    assert str(rows["c2"]["promoted_from_intake_at"]).startswith("2025-11-18T01:04:05")
    assert rows["c2"]["keywords"] == ["a", "b, c", None]
    assert rows["c2"]["description"] == " 'tis"
    write_repair(postgres, plan("unique_id,email_verified\np1,TRUE\n"))
    assert masters(postgres, PEOPLE_MASTER)["p1"]["email_verified"] is True


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("employee_count", "twelve"),
        ("employee_count", "12.0"),
        ("employee_count", "3000000000"),
        ("data_quality_score", "95.125"),
        ("data_quality_score", "12345"),
        ("data_quality_score", "NaN"),
        ("created_at", "11/18/2025 3:04"),
        ("created_at", "2025-13-40"),
        ("keywords", "red, white"),
        ("keywords", "{rot"),
        ("keywords", "['red' 'white']"),
        ("keywords", '[["red"]]'),
        ("code", "abcd"),
        ("website_url", "a\0b"),
    ],
)
def test_a_cell_that_does_not_fit_refuses_its_row_alone(
    typed: tuple[Postgres, Path], column: str, cell: str
) -> None:
    quoted = '"' + cell.replace('"', '""') + '"'
    repair = planned(*typed, f"company_id,{column},industry\nc1,{quoted},\nc2,,wine\n")
    assert list(whys(repair)) == [2]
    assert column in whys(repair)[2] or "NUL" in whys(repair)[2]
    assert cell not in whys(repair)[2]  # it may be anything
    assert [row.key for row in repair.to_write] == ["c2"]
    assert not repair.is_all_good


@pytest.fixture(scope="module")
def typed(
    postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Postgres, Path]]:
    """One database for the tests of cells: c1 and c2 stay as they are."""
    name = f"cells_{uuid4().hex}"
    with postgres_server.connect(autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    postgres = postgres_server.database(name)
    given_rows(postgres, [a_company("c1"), a_company("c2")])
    given_sql(postgres, f"ALTER TABLE {COMPANY_MASTER} ADD code varchar(3)")
    yield postgres, tmp_path_factory.mktemp("typed")
    with postgres_server.connect(autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_rows_that_cannot_be_told_apart_are_refused_and_the_others_go_on(
    typed: tuple[Postgres, Path],
) -> None:
    repair = planned(
        *typed,
        "company_id,industry\nc1,wine\nc9,beer\nc2,gin\nc2,rum\n,tea\nc1\nc1,a,b\n\n , \n",
    )
    assert whys(repair) == {
        3: "not in marketing.company_master",
        4: "its key is in 2 rows of the file: keep one",
        5: "its key is in 2 rows of the file: keep one",
        6: "its company_id is empty",
        7: "it has 1 cells and the header 2: check its commas and quotes",
        8: "it has 3 cells and the header 2: check its commas and quotes",
    }
    assert [row.key for row in repair.to_write] == ["c1"]


def test_a_key_that_the_master_has_twice_is_refused(postgres: Postgres, plan: Plan) -> None:
    given_rows(postgres)
    given_sql(postgres, f"ALTER TABLE {COMPANY_MASTER} DROP CONSTRAINT company_master_pkey CASCADE")
    given_rows(postgres, [a_company("c1"), a_company("c1")])
    assert whys(plan("company_id,industry\nc1,wine\n")) == {
        2: "its key is in 2 rows of marketing.company_master"
    }


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("company_id,webiste_url", "did you mean website_url"),
        ("company_id,fail_reason,updated_at", "corrects no column"),
        ("company_id", "corrects no column"),
    ],
)
def test_a_file_whose_columns_are_no_corrections_is_refused(
    typed: tuple[Postgres, Path], header: str, says: str
) -> None:
    with pytest.raises(CorrectionsFileError, match=says):
        planned(*typed, f"{header}\nc1,x,y\n")


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.fixed_dictionaries(
        {},
        optional={
            "company_name": TEXT,
            "website_url": st.sampled_from(["nodot", "a.b", "'=a.b", "ü.example", "'", "\\.\n"]),
            "employee_count": st.integers(-(2**31), 2**31 - 1).map(str),
            "keywords": st.lists(TEXT, min_size=1).map(json.dumps),
        },
    )
)
@pytest.mark.slow
def test_any_overlay_is_judged_as_the_next_validation_judges_it(
    typed: tuple[Postgres, Path], cells: dict[str, str]
) -> None:
    postgres, folder = typed
    text = io.StringIO(newline="")
    given_row = {"company_id": "any", "industry": "wine", **cells}
    writer = csv.DictWriter(text, list(given_row))
    writer.writeheader()
    writer.writerow(given_row)
    given_rows(postgres, [a_company("any", company_name=None, website_url=None)])
    try:
        (row,) = (repair := planned(postgres, folder, text.getvalue())).rows
        # As if it were good: what is judged afterwards must be what was foretold.
        write_repair(postgres, replace(repair, rows=[replace(row, reasons_after=())]))
        assert found_bad(postgres, folder).get("any", []) == list(row.reasons_after)
        assert planned(postgres, folder, text.getvalue()).rows[0].changes == {}
    finally:
        given_sql(postgres, f"DELETE FROM {COMPANY_MASTER} WHERE company_unique_id = 'any'")


def test_a_persons_company_is_judged_too_where_a_setting_says_so(
    postgres: Postgres, tmp_path: Path
) -> None:
    given_rows(
        postgres,
        [a_company("good"), a_company("bad", website_url=None, address_state="XX")],
        [
            a_person("p1", company_unique_id="bad", title=None),
            a_person("p2", company_unique_id="bad"),
            a_person("p3", company_unique_id="good"),
            a_person("p4", company_unique_id="unknown"),
        ],
    )
    text = "unique_id,company_unique_id,title\np1,,CFO\np2,good,\np3,bad,\np4,,CFO\n"
    strict = planned(postgres, tmp_path, text, tables_for("error"))
    assert {r.key: (list(r.reasons_before), list(r.reasons_after)) for r in strict.rows} == {
        "p1": (["title_missing", "company_not_valid"], ["company_not_valid"]),
        "p2": (["company_not_valid"], []),
        "p3": ([], ["company_not_valid"]),
        "p4": ([], []),
    }
    assert planned(postgres, tmp_path, text).is_all_good


def test_a_row_that_somebody_changed_meanwhile_stops_all_of_them(
    postgres: Postgres, plan: Plan
) -> None:
    given_rows(postgres, [a_company(key, website_url=None) for key in ("c1", "c2", "c3")])
    repair = plan("company_id,website_url\nc1,a.example\nc2,b.example\nc3,c.example\n")
    given_sql(
        postgres,
        f"UPDATE {COMPANY_MASTER} SET industry = 'wine' WHERE company_unique_id = 'c2'",
        f"DELETE FROM {COMPANY_MASTER} WHERE company_unique_id = 'c3'",
    )
    before = masters(postgres)
    with pytest.raises(ChangedMeanwhileError, match="changed c2, c3 since"):
        write_repair(postgres, repair)
    assert masters(postgres) == before
    assert audit(postgres) == []


def test_a_change_that_is_not_committed_yet_is_waited_for_and_kept(
    postgres: Postgres, plan: Plan
) -> None:
    given_rows(postgres, [a_company(key, website_url=None) for key in ("c1", "c2")])
    repair = plan("company_id,website_url\nc1,a.example\nc2,b.example\n")
    with ThreadPoolExecutor() as pool, postgres.connect(autocommit=True) as watching:
        with postgres.connect() as other:
            other.execute(f"UPDATE {COMPANY_MASTER} SET industry = 'x'".encode())
            writing = pool.submit(write_repair, postgres, repair)
            wait_until(lambda: waits_for_a_lock(watching))
        with pytest.raises(ChangedMeanwhileError, match="changed c1, c2 since"):
            writing.result(timeout=60)
    assert {row.get("website_url") for row in masters(postgres).values()} == {None}


def test_a_row_that_somebody_holds_is_not_waited_for_without_end(
    postgres: Postgres, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair_write, "LOCK_SECONDS", 0.05)
    given_rows(postgres, [a_company("c1", website_url=None)])
    repair = plan("company_id,website_url\nc1,a.example\n")
    with postgres.connect() as other:
        other.execute(f"SELECT FROM {COMPANY_MASTER} FOR UPDATE".encode())
        with pytest.raises(MasterBusyError, match="run it again"):
            write_repair(postgres, repair)


@pytest.mark.parametrize(
    ("prepare", "error"),
    [
        (
            f"ALTER TABLE {COMPANY_MASTER} ADD CONSTRAINT no_b CHECK (website_url <> 'b.example')",
            MasterRefusedError,
        ),
        (
            f"CREATE RULE keep AS ON UPDATE TO {COMPANY_MASTER} DO INSTEAD NOTHING",
            MasterRefusedError,
        ),
        ("DROP TABLE shq.audit_log", NotMigratedError),
    ],
)
def test_what_the_database_refuses_leaves_nothing_behind(
    postgres: Postgres, plan: Plan, prepare: str, error: type[Exception]
) -> None:
    given_rows(postgres, [a_company(key, website_url=None) for key in ("c1", "c2")])
    repair = plan("company_id,website_url,industry\nc1,a.example,x\nc2,b.example,\n")
    given_sql(postgres, prepare)
    before = masters(postgres)
    with pytest.raises(error, match="nothing was written") as refused:
        write_repair(postgres, repair)
    assert "b.example" not in str(refused.value)
    assert masters(postgres) == before


WRITER = """
import sys
from pathlib import Path
from tests.integration.outreach_assets.steps.failures.test_repair import planned
from outreach_assets.steps.failures.repair_write import write_repair
from outreach_core.postgres import Postgres
postgres = Postgres(conninfo=sys.stdin.readline().strip(), name="the test's")
write_repair(postgres, planned(postgres, Path(sys.argv[1]), sys.argv[2]))
"""


def test_a_repair_that_is_killed_between_rows_and_audit_leaves_nothing(
    postgres: Postgres, tmp_path: Path
) -> None:
    given_rows(postgres, [a_company(key, website_url=None) for key in ("c1", "c2")])
    before = masters(postgres)
    text = "company_id,website_url,industry\nc1,a.example,\nc2,b.example,wine\n"
    with postgres.connect() as holding, postgres.connect(autocommit=True) as watching:
        holding.execute("LOCK TABLE shq.audit_log IN EXCLUSIVE MODE")
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), text],
            stdin=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
        )
        assert process.stdin is not None
        with closing(process.stdin) as stdin:
            stdin.write(postgres.conninfo + "\n")
        wait_until(lambda: waits_for_a_lock(watching))
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    assert masters(postgres) == before
    assert audit(postgres) == []
    write_repair(postgres, planned(postgres, tmp_path, text))
    assert masters(postgres)["c2"]["website_url"] == "b.example"
    assert len(audit(postgres)) == 2


@pytest.mark.pgbouncer
def test_a_repair_goes_through_a_transaction_pooler(postgres: Postgres, tmp_path: Path) -> None:
    given_rows(postgres, [a_company(f"c{n}", website_url=None) for n in range(300)])
    rows = "".join(f"c{n},a{n}.example,x\n" for n in range(300))
    with pgbouncer(postgres, tmp_path) as pooled:
        repair = planned(pooled, tmp_path, f"company_id,website_url,employee_count\n{rows}")
        assert set(whys(repair)) == set(range(2, 302))
        repair = planned(pooled, tmp_path, f"company_id,website_url\n{rows.replace(',x', '')}")
        assert write_repair(pooled, repair) == 300
    assert found_bad(postgres, tmp_path) == {}
    assert len(audit(postgres)) == 300
