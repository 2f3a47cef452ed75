"""Exports whose workers, or whose Postgres, are killed: every failure arrives exactly once."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from b2_resources.object_store import ObjectStore, get_bytes
from outreach_assets.steps.failures.export import export_failures, failure_batches
from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.postgres import Postgres
from tests.faults.exporter import NOW, ORDER, opened
from tests.faults.workplace import answers, eventually
from tests.given import LOG, given_many_failures, given_sql
from tests.servers.pgbouncer import pgbouncer
from tests.servers.rclone_s3 import RcloneS3

pytestmark = pytest.mark.slow

ROWS, KILLS, WORKERS = 60_000, 30, 2
SLOW_MARK = f"""
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(3); RETURN NEW; END';
    CREATE TRIGGER slow BEFORE UPDATE ON {LOG} FOR EACH ROW
        WHEN (NEW.company_id = 'c50') EXECUTE FUNCTION slow()"""
MARKING = """
    SELECT pid FROM pg_stat_activity
    WHERE query LIKE '%exported_to_b2 = true%' AND wait_event = 'PgSleep'"""


@dataclass(kw_only=True)
class Nursery:
    """Where workers come from, and what they have said."""

    process: "subprocess.Popen[str]"
    folder: Path
    alive: list[int] = field(default_factory=list)

    def start(self, moment: str = "") -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{moment}\n")
        self.process.stdin.flush()
        self.alive.append(int(self.process.stdout.readline()))
        return self.alive[-1]

    def said(self, pid: int) -> list[str]:
        log = self.folder / f"{pid}.log"
        return log.read_text().splitlines() if log.exists() else []

    def is_gone(self, pid: int) -> bool:
        with suppress(ProcessLookupError):
            os.kill(pid, 0)
            return False
        return True

    def hear(self, pid: int, word: str) -> bool:
        """Wait until it has said the word; False when it ended without."""
        while word not in self.said(pid) and not self.is_gone(pid):
            time.sleep(0.001)  # a batch takes ten; the test's timeout bounds this
        return word in self.said(pid)

    def kill(self, pid: int) -> bool:
        """True when that hit work: it had begun some and was not done."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: self.is_gone(pid))
        self.alive.remove(pid)
        said = self.said(pid)
        return bool(said) and said[-1] in {"claimed", "put"}


@contextmanager
def a_nursery(postgres: Postgres, place: str | dict[str, str], folder: Path) -> Iterator[Nursery]:
    folder.mkdir()
    asked = {"conninfo": postgres.conninfo, "store": place, "folder": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.exporter", json.dumps(asked)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        nursery = Nursery(process=process, folder=folder)
        try:
            yield nursery
        finally:
            for pid in [*nursery.alive]:
                nursery.kill(pid)
            process.kill()


@pytest.fixture
def postgres(server: Postgres) -> Iterator[Postgres]:
    name = f"exports_{uuid4().hex[:12]}"
    with server.connect(autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield server.database(name)
    with server.connect(autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def arrived(store: ObjectStore) -> Counter[str]:
    """How often each company's failure lies in the store."""
    return Counter(
        row["company_id"]
        for found in store.list_objects()
        for row in json.loads(get_bytes(store, found.key))
    )


def assert_exactly_once(postgres: Postgres, store: ObjectStore, rows: int) -> None:
    found = arrived(store)
    assert len(found) == found.total() == rows
    assert answers(postgres, f"SELECT DISTINCT exported_to_b2 FROM {LOG}") == [(True,)]
    batches = failure_batches(postgres, limit=rows)
    assert {batch.status for batch in batches} == {"exported"}
    assert sum(batch.rows for batch in batches) == rows
    objects = {found.key: store.head(found.key) for found in store.list_objects()}
    assert {batch.key: batch.sha256 for batch in batches} == {
        key: head.sha256 for key, head in objects.items()
    }


def kill_while_working(nursery: Nursery, kills: int, moment: str, left: Callable[[], int]) -> int:
    """Two workers at a time, one of them killed at random again and again; kills that hit work."""
    dice = random.Random(5)  # noqa: S311 dice
    hits = 0
    while left() and hits < kills:
        while len(nursery.alive) < WORKERS:
            nursery.start(moment)
        victim = dice.choice(nursery.alive)
        nursery.hear(victim, "claimed")
        time.sleep(dice.uniform(0, 0.03))  # where it is hit is up to the dice
        hits += nursery.kill(victim)
        nursery.alive = [pid for pid in nursery.alive if not nursery.is_gone(pid)]
    return hits


def unexported(postgres: Postgres) -> int:
    return answers(postgres, f"SELECT count(*) FROM {LOG} WHERE exported_to_b2 IS NOT TRUE")[0][0]


@pytest.mark.parametrize("way", ["direct", "pooled"])
def test_two_workers_killed_again_and_again_export_every_row_once(
    postgres: Postgres, s3: RcloneS3, tmp_path: Path, way: str
) -> None:
    given_many_failures(postgres, ROWS, pipelines=6)
    place = asdict(s3.config())
    reached = pgbouncer(postgres, tmp_path) if way == "pooled" else nullcontext(postgres)
    with reached as through, a_nursery(through, place, tmp_path / "workers") as nursery:
        hits = kill_while_working(nursery, KILLS, "", lambda: unexported(postgres))
        assert hits >= KILLS
        for pid in [nursery.start(), nursery.start(), *nursery.alive]:
            nursery.hear(pid, "done")
        export_failures(through, opened(place), ORDER, folder=tmp_path / "last", now=NOW)
    assert_exactly_once(postgres, opened(place), ROWS)


def test_the_usual_order_sends_rows_twice_under_the_same_kills(
    postgres: Postgres, tmp_path: Path
) -> None:
    given_many_failures(postgres, ROWS // 4)
    place = str(tmp_path / "store")
    with a_nursery(postgres, place, tmp_path / "workers") as nursery:
        kill_while_working(nursery, KILLS, "naive", lambda: unexported(postgres))
        for pid in nursery.alive:
            nursery.hear(pid, "done")
    assert arrived(opened(place)).total() > ROWS // 4


@pytest.mark.parametrize("moment", ["claimed", "put"])
def test_a_worker_killed_at_that_moment_is_made_good_by_the_next(
    postgres: Postgres, tmp_path: Path, moment: str
) -> None:
    given_many_failures(postgres, 1200)
    store = opened(str(tmp_path / "store"))
    with a_nursery(postgres, str(tmp_path / "store"), tmp_path / "workers") as nursery:
        worker = nursery.start(moment)
        assert nursery.hear(worker, moment)
        assert nursery.kill(worker)
    assert len(list(store.list_objects())) == (moment == "put")
    after_midnight = NOW + timedelta(hours=1)
    work = tmp_path / "workers" / "work"
    done = []

    def is_done() -> bool:  # once the dead one's connection is known to be gone
        done.extend(export_failures(postgres, store, ORDER, folder=work, now=after_midnight))
        return not unexported(postgres)

    eventually(is_done)
    done.sort(key=lambda batch: batch.key)
    assert [(b.rows, b.taken_up) for b in done] == [(100, True)] * 12
    assert all(batch.key.startswith("vf/2025-11-18/") for batch in done)
    assert not list(work.iterdir())
    assert_exactly_once(postgres, store, 1200)


def test_a_worker_killed_in_the_middle_of_the_mark_has_marked_nothing(
    postgres: Postgres, tmp_path: Path
) -> None:
    given_many_failures(postgres, 1200)
    given_sql(postgres, SLOW_MARK)
    store = opened(str(tmp_path / "store"))
    with a_nursery(postgres, str(tmp_path / "store"), tmp_path / "workers") as nursery:
        worker = nursery.start()
        eventually(lambda: answers(postgres, MARKING))
        assert nursery.kill(worker)
    given_sql(postgres, f"DROP TRIGGER slow ON {LOG}")  # waits for what the dead have left
    assert unexported(postgres) == 1200
    assert len(list(store.list_objects())) == 1
    export_failures(postgres, store, ORDER, folder=tmp_path / "work", now=NOW)
    assert_exactly_once(postgres, store, 1200)


def test_a_postgres_killed_in_the_middle_of_the_mark_has_marked_nothing(tmp_path: Path) -> None:
    store = opened(str(tmp_path / "store"))
    with EmbeddedPostgres(tmp_path / "postgres") as embedded:
        postgres = embedded.ensure_running()
        given_many_failures(postgres, 1200)
        given_sql(postgres, SLOW_MARK)
        with a_nursery(postgres, str(tmp_path / "store"), tmp_path / "workers") as nursery:
            worker = nursery.start()
            eventually(lambda: answers(postgres, MARKING))
            killed = embedded.status().pid
            assert killed is not None
            os.kill(killed, signal.SIGKILL)
            eventually(lambda: nursery.is_gone(worker))
            assert "cannot be reached" in nursery.said(worker)[-1]
        eventually(lambda: embedded.status().pid not in {None, killed})
        postgres = embedded.ensure_running()
        given_sql(postgres, f"DROP TRIGGER slow ON {LOG}")
        assert unexported(postgres) == 1200
        export_failures(postgres, store, ORDER, folder=tmp_path / "work", now=NOW)
        assert_exactly_once(postgres, store, 1200)
