"""Files dropped into an inbox, in a folder and in a bucket: each is one task or says why not."""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from b2_resources import inbox as inbox_module
from b2_resources.hybrid_store import HybridStore
from b2_resources.inbox import Fate, Inbox, Taken, listed_drops, settle, take_in
from b2_resources.keys import task_input_key
from b2_resources.local_store import LocalStore
from b2_resources.object_store import ObjectStore, get_bytes
from b2_resources.purge import remove_seen
from b2_resources.s3_store import S3Store
from b2_resources.s3_versions import listed_versions
from outreach_core.audit import DROP_REFUSED, EventFilter, latest_events
from outreach_core.drops import announce_drops, due_drops
from outreach_core.errors import RetryableError
from outreach_core.postgres import Postgres
from outreach_core.task_rows import TaskFilter, history_of, list_tasks
from outreach_core.tasks import Task
from outreach_core.users import add_user, revoke_tokens
from tests.servers.fault_proxy import FaultProxy
from tests.servers.rclone_s3 import RcloneS3

KEY = "users/anna/inbox/profile/june leads.csv"
BODY = b"a,b\n1,2\n"


class KilledError(Exception):
    """Ends the work where it is, as a kill does."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """An inbox at hand, and what became of its files."""

    inbox: Inbox
    postgres: Postgres

    def drop(self, key: str = KEY, body: bytes = BODY) -> None:
        self.inbox.store.put_bytes(key, body)

    def take_in(self, key: str = KEY) -> Taken:
        return take_in(self.inbox, key)

    def tasks(self, user: str = "anna") -> list[Task]:
        with self.postgres.connect() as connection:
            return list_tasks(connection, user, TaskFilter(), limit=100)

    def left(self) -> list[str]:
        return [one.key for one in self.inbox.store.list_objects("users/") if "inbox" in one.key]

    def told(self) -> list[object]:
        """The keys that the audit log names."""
        with self.postgres.connect() as connection:
            found = latest_events(connection, EventFilter(event_type=DROP_REFUSED), limit=9)
        return [event.details["key"] for event in found if event.details]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneS3]:
    with RcloneS3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["local", "s3", pytest.param("hybrid", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, migrated: Postgres, tmp_path: Path) -> Place:
    with migrated.connect() as connection:
        connection.execute("TRUNCATE shq.users, shq.announced_drops, shq.refused_drops CASCADE")
        add_user(connection, "anna", is_operator=False, now=datetime.now(UTC))
    store: ObjectStore = LocalStore(tmp_path / "store")
    if request.param != "local":
        server: RcloneS3 = request.getfixturevalue("s3")
        bucket = f"b{secrets.token_hex(6)}"
        server.make_bucket(bucket)
        far = S3Store(server.config(bucket))
        near = LocalStore(tmp_path / "near")
        store = far if request.param == "s3" else HybridStore(near=near, far=far)
    inbox = Inbox(
        store=store,
        connect=migrated.connect,
        tool_ids=["profile", "clean"],
        most_open=100,
        # As if what was just dropped had lain there for a while.
        now=lambda: datetime.now(UTC) + timedelta(minutes=1),
    )
    return Place(inbox=inbox, postgres=migrated)


def test_a_drop_becomes_one_task_whoever_takes_it_in(place: Place) -> None:
    place.drop()
    with ThreadPoolExecutor(6) as pool:
        fates = {taken.fate for taken in pool.map(lambda _: place.take_in(), range(12))}
    assert fates <= {Fate.QUEUED, Fate.WAITS, Fate.GONE}
    (task,) = place.tasks()
    assert (task.status, task.tool_id, task.inputs[0].filename) == (
        "QUEUED",
        "profile",
        "june leads.csv",
    )
    key = task_input_key("anna", task.id, "primary")
    found = place.inbox.store.head(key)
    assert (found.sha256, found.version) == (task.inputs[0].sha256, task.inputs[0].version)
    assert (get_bytes(place.inbox.store, key), place.left()) == (BODY, [])
    assert place.take_in().fate is Fate.GONE


@pytest.mark.parametrize("moment", ["create_task", "queue_task", "_copied", "remove_seen"])
def test_a_kill_loses_no_file_and_makes_no_second_task(
    place: Place, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.drop()
    whole: Callable[..., object] = getattr(inbox_module, moment)

    def killed(*said: object, **more: object) -> object:
        if moment != "remove_seen":
            whole(*said, **more)
        raise KilledError

    monkeypatch.setattr(inbox_module, moment, killed)
    with pytest.raises(KilledError):
        place.take_in()
    assert place.left() == [KEY]
    monkeypatch.setattr(inbox_module, moment, whole)
    assert place.take_in().fate is Fate.QUEUED
    assert (len(place.tasks()), place.left()) == (1, [])


@pytest.mark.parametrize(
    ("key", "body", "code"),
    [
        ("users/anna/inbox/nothing/a.csv", BODY, "INVALID_TOOL_ID"),
        ("users/anna/inbox/a.csv", BODY, "INVALID_TOOL_ID"),
        ("users/anna/inbox/clean/sub/a.csv", b"", "EMPTY_FILE"),
        ("users/bob/inbox/clean/a.csv", BODY, "USER_REVOKED"),
    ],
)
def test_what_no_tool_can_have_is_a_failed_task(
    place: Place, key: str, body: bytes, code: str
) -> None:
    with place.postgres.connect() as connection:
        add_user(connection, "bob", is_operator=False, now=datetime.now(UTC))
        revoke_tokens(connection, "bob", now=datetime.now(UTC))
    place.drop(key, body)
    assert place.take_in(key).fate is Fate.FAILED
    (task,) = place.tasks(key.split("/")[1])
    assert (task.status, task.error_code) == ("FAILED", code)
    with place.postgres.connect() as connection:
        told = [entry.status for entry in history_of(connection, task.id)]
    assert told == ["CREATED", "UPLOADING", "QUEUED", "PROCESSING", "FAILED"]
    assert place.left() == []
    assert get_bytes(place.inbox.store, task_input_key(task.user_id, task.id, "primary")) == body


def test_what_is_too_large_stays_and_fails_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "LARGEST_PUT_BYTES", 3)
    place.drop()
    assert [place.take_in().fate for _ in range(2)] == [Fate.STAYS, Fate.STAYS]
    assert [task.error_code for task in place.tasks()] == ["FILE_TOO_LARGE"]
    assert place.left() == [KEY]


def test_a_drop_of_nobody_stays_and_is_told_of_once(place: Place) -> None:
    keys = [f"users/{user}/inbox/profile/{uuid4()}.csv" for user in ("nobody", "%00;--")]
    for key in keys:
        place.drop(key)
        assert [place.take_in(key).fate for _ in range(2)] == [Fate.STAYS, Fate.STAYS]
    assert [place.told().count(key) for key in keys] == [1, 1]
    assert sorted(place.left()) == sorted(keys)


def test_what_is_no_drop_is_left_alone(place: Place) -> None:
    for key in (
        "users/anna/inbox/profile/.bzEmpty",
        "users/anna/tasks/t/inputs/inbox/primary.csv",
        "outreach/wv/users/anna/inbox/profile/a.csv",
    ):
        place.drop(key)
        assert place.take_in(key).fate is Fate.GONE
    assert place.take_in("users/anna/inbox/profile/../../x").fate is Fate.GONE
    found = listed_drops(place.inbox.store, ["anna"], now=place.inbox.now())
    assert (list(found), place.tasks()) == ([], [])


def test_a_user_with_too_many_tasks_waits(place: Place) -> None:
    full = replace(place.inbox, most_open=0)
    place.drop()
    with place.postgres.connect() as connection:
        announce_drops(connection, [KEY], now=full.now(), due_at=full.now())
        (drop,) = due_drops(connection, now=full.now(), limit=9)
    assert settle(full, drop).fate is Fate.WAITS
    with place.postgres.connect() as connection:
        assert due_drops(connection, now=full.now(), limit=9) == []
        (again,) = due_drops(connection, now=full.now() + timedelta(minutes=6), limit=9)
    assert settle(place.inbox, again).fate is Fate.QUEUED
    assert place.left() == []


def test_what_is_announced_again_meanwhile_stays_announced(place: Place) -> None:
    now = place.inbox.now()
    with place.postgres.connect() as connection:
        announce_drops(connection, [KEY], now=now, due_at=now)
        (drop,) = due_drops(connection, now=now, limit=9)
        announce_drops(connection, [KEY], now=now + timedelta(seconds=1), due_at=now)
    assert settle(place.inbox, drop).fate is Fate.GONE
    with place.postgres.connect() as connection:
        (left,) = due_drops(connection, now=now, limit=9)
    assert settle(place.inbox, left).fate is Fate.GONE
    with place.postgres.connect() as connection:
        assert due_drops(connection, now=now, limit=9) == []


def test_of_a_file_that_is_replaced_meanwhile_the_new_one_is_taken(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.drop()
    copy = type(place.inbox.store).copy

    def replaced(store: ObjectStore, source: str, destination: str) -> None:
        copy(store, source, destination)  # type: ignore[arg-type]
        place.drop(body=b"a,b\n3,4,5\n")

    monkeypatch.setattr(type(place.inbox.store), "copy", replaced)
    assert place.take_in().fate is Fate.WAITS
    monkeypatch.setattr(type(place.inbox.store), "copy", copy)
    assert place.take_in().fate is Fate.QUEUED
    (task,) = place.tasks()
    assert task.inputs[0].size_bytes == len(b"a,b\n3,4,5\n")


def test_a_store_that_is_away_changes_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.drop()

    def away(*_said: object) -> None:
        raise RetryableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(type(place.inbox.store), "copy", away)
        with pytest.raises(RetryableError):
            place.take_in()
    assert (place.tasks(), place.left()) == ([], [KEY])


def test_a_file_still_being_written_is_left_to_the_next_look(place: Place) -> None:
    if not isinstance(place.inbox.store, LocalStore):
        return  # a bucket has none
    now = replace(place.inbox, now=lambda: datetime.now(UTC))
    place.drop()
    assert list(listed_drops(now.store, ["anna"], now=now.now())) == []
    assert take_in(now, KEY).fate is Fate.WAITS


def test_the_same_file_dropped_again_is_another_task(place: Place) -> None:
    for _ in range(2 if isinstance(place.inbox.store, LocalStore) else 1):
        place.drop()
        assert place.take_in().fate is Fate.QUEUED
    if isinstance(place.inbox.store, LocalStore):
        assert len(place.tasks()) == 2
        assert place.inbox.store.path_of(KEY).parent.is_dir()


def test_what_a_drop_hid_goes_with_it_and_what_came_since_stays(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with RcloneS3(tmp_path_factory.mktemp("b2")) as server, FaultProxy(server) as b2:
        store = S3Store(b2.config())
        for body in (b"1", b"22", b"333"):
            store.put_bytes(KEY, body)
        store.put_bytes(f"{KEY}.old", b"another key")
        newest, seen, _ = [v for v in listed_versions(store.client, KEY) if v.key == KEY]
        remove_seen(store, replace(store.head(KEY), version=seen.version_id))
        left = list(listed_versions(store.client, KEY))
    assert [version.key for version in left] == [KEY, f"{KEY}.old"]
    assert left[0] == newest
