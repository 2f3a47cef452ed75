"""The whole way: real runs in a real Dagster instance, the sensor's ticks, and what people got."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange

from outreach_assets.assets.chain import MANIFEST, STATES
from outreach_assets.definitions import build_defs, default_resources
from outreach_assets.jobs import REFRESH_TABLES
from outreach_assets.steps.record import CANCELLED_BY_SOMEBODY, claimed
from outreach_core.audit import command_event
from outreach_core.migrate import migrate
from outreach_core.policies import FolderPolicy
from outreach_core.policy_table import add_policy, update_policy
from outreach_core.postgres import Postgres
from outreach_core.settings import PROJECT_FOLDER, Settings, load_settings
from sensors.alerts import alerts_sensor
from tests.given import COMPANY_MASTER, VERSION, a_company, given_rows, given_sql
from tests.servers.receivers import PASSWORD, SECRET_PATH, USER, Chat, Post, receivers

UI = "https://dagster.example.test"
OPS = "ops@example.test"
BAD = f"""
    UPDATE {COMPANY_MASTER} SET website_url = CASE
        WHEN substr(company_unique_id, 2)::int >= {{}} THEN 'acme.example' END
    WHERE address_state = 'WV'"""


@dataclass(kw_only=True)
class Place:
    """A Dagster instance with our definitions, and the sensor as the daemon ticks it."""

    settings: Settings
    instance: dg.DagsterInstance
    chat: Chat
    post: Post
    cursor: str | None = None

    def run(self, *states: str) -> str:
        """Refresh neighbouring states; the run's id."""
        defs = build_defs(self.settings)
        run_id = str(uuid4())
        defs.resolve_job_def(REFRESH_TABLES).execute_in_process(
            run_id=run_id,
            instance=self.instance,
            raise_on_error=False,
            tags={
                "dagster/asset_partition_range_start": states[0],
                "dagster/asset_partition_range_end": states[-1],
                "outreach/once": "true",
            },
        )
        return run_id

    def tick(self) -> str:
        """One tick, which remembers what the last one said; why it started no run."""
        resources = default_resources(self.settings)
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=build_defs(self.settings).get_repository_def(),
            resources={name: resources[name] for name in ("neon", "b2", "alerts")},
        )
        with context:
            result = alerts_sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor or self.cursor
        return str(result.skip_reason.skip_message) if result.skip_reason else ""

    def news(self) -> list[str]:
        """What the chat got since somebody asked; the mail is the same."""
        texts, mails = list(self.chat.texts), self.post.texts_to(OPS)
        assert mails == texts
        self.chat.texts.clear()
        self.post.mails.clear()
        return texts


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Chat, Post]]:
    with receivers() as running:
        yield running


@pytest.fixture
def place(
    both: tuple[Chat, Post],
    postgres: Postgres,
    postgres_server: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Place]:
    chat, post = both
    chat.texts.clear()
    post.mails.clear()
    name = f"dagster_{uuid4().hex}"
    with postgres_server.connect(autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    for variable, value in {
        "OUTREACH_HOME": str(tmp_path / "home"),
        "NEON_CONNECTION_STRING": postgres.url,
        "OUTREACH_DAGSTER_POSTGRES_URL": postgres_server.database(name).url,
        "OUTREACH_UI_URL": UI,
        "OUTREACH_ALERT_WEBHOOK_URL": chat.url,
        "OUTREACH_ALERT_EMAIL_TO": OPS,
        "OUTREACH_ALERT_EMAIL_FROM": "outreach@example.test",
        "OUTREACH_SMTP_HOST": "127.0.0.1",
        "OUTREACH_SMTP_PORT": str(post.port),
        "OUTREACH_SMTP_USER": USER,
        "OUTREACH_SMTP_PASSWORD": PASSWORD,
        "OUTREACH_SMTP_SECURITY": "none",
        "DAGSTER_EVENT_BATCH_SIZE": "200",
    }.items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "dagster").mkdir()
    shutil.copyfile(PROJECT_FOLDER / "dagster.yaml", tmp_path / "dagster" / "dagster.yaml")
    migrate(postgres)
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        yield Place(settings=load_settings(), instance=instance, chat=chat, post=post)
    with postgres_server.connect(autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.mark.slow
def test_a_held_state_is_told_once_by_each_channel_until_it_changes_and_when_it_recovers(
    place: Place, postgres: Postgres
) -> None:
    def bad(number: int) -> None:
        given_sql(postgres, BAD.format(number))

    wv = [a_company(f"c{number:02}") for number in range(20)]
    given_rows(postgres, [*wv, a_company("i", address_state="WI")])
    place.run("WI", "WV")
    place.tick()
    assert place.news() == []

    bad(4)
    held = place.run("WI", "WV")
    with ThreadPoolExecutor(2) as pool:
        for ticking in [pool.submit(place.tick) for _ in range(2)]:
            ticking.result()
    [text] = place.news()
    title, sentence, link = text.splitlines()
    assert (title, link) == ("held: WV", f"{UI}/runs/{held}")
    assert "4 of 20 companies are bad" in sentence

    place.run("WI", "WV")
    place.tick()
    assert place.news() == []

    bad(5)
    worse = place.run("WV")
    place.tick()
    [text] = place.news()
    title, sentence, link = text.splitlines()
    assert (title, link) == ("held: WV (changed)", f"{UI}/runs/{worse}")
    assert "5 of 20 companies are bad" in sentence

    bad(0)
    mended = place.run("WV")
    place.tick()
    place.tick()
    assert place.news() == [f"recovered: WV (was: held)\n{UI}/runs/{mended}"]


@pytest.mark.slow
def test_a_run_that_never_came_to_its_state_is_told_until_one_publishes_it(
    place: Place, postgres: Postgres
) -> None:
    given_rows(postgres, [a_company("c1")])
    with claimed(postgres, ["WV"], run_id="r", version=VERSION, abandoned=lambda _: None) as other:
        failed = place.run("WV")
        place.tick()
        other.close({"WV": CANCELLED_BY_SOMEBODY})
    sentence = "another run is at work in WV: wait for it, or cancel it"
    assert place.news() == [f"failed: WV\n{sentence}\n{UI}/runs/{failed}"]
    place.tick()
    assert place.news() == []
    well = place.run("WV")
    place.tick()
    assert place.news() == [f"recovered: WV (was: failed)\n{UI}/runs/{well}"]


@pytest.mark.slow
def test_a_failed_job_is_told_without_what_its_error_knew(place: Place) -> None:
    said = [
        f"chat {place.chat.url}, mail {PASSWORD}, ann@example.test, +49 151 12345678: full",
        "disk full",
        None,
    ]

    @dg.op
    def work() -> None:
        sentence = said.pop(0)
        if sentence:
            raise dg.Failure(sentence)

    @dg.op
    def crash() -> None:
        raise ValueError(SECRET_PATH)

    def ended(op: dg.OpDefinition) -> str:
        job = dg.GraphDefinition(f"{op.name}_job", node_defs=[op]).to_job()
        run = job.execute_in_process(instance=place.instance, raise_on_error=False)
        place.tick()
        return f"{UI}/runs/{run.run_id}"

    first = ended(work)
    assert place.news() == [f"failed: work_job\nchat ***, mail ***, ***, ***: full\n{first}"]
    second = ended(work)
    assert place.news() == [f"failed: work_job (changed)\ndisk full\n{second}"]
    crashed = ended(crash)
    sentence = "ValueError in crash; the run's page says more"
    assert place.news() == [f"failed: crash_job\n{sentence}\n{crashed}"]
    third = ended(work)
    assert place.news() == [f"recovered: work_job (was: failed)\n{third}"]


@pytest.mark.slow
def test_a_failed_backup_is_told_by_its_destination_and_recovers(
    place: Place, postgres: Postgres, tmp_path: Path
) -> None:
    def backed_up() -> str:
        job = build_defs(place.settings).resolve_job_def("backup_job")
        job.execute_in_process(instance=place.instance, raise_on_error=False)
        place.tick()
        [text] = place.news()
        return text

    (tmp_path / "docs").mkdir()
    policy = FolderPolicy(
        folder_id="docs",
        name="Docs",
        path=str(tmp_path / "docs"),
        destinations=("local", "scaleway"),
    )
    add_policy(postgres, policy, command_event)
    title, sentence, _ = backed_up().splitlines()
    assert title == "failed: backup_job"
    assert sentence.startswith("scaleway failed: docs: scaleway: set OUTREACH_BACKUP_SCALEWAY_")
    update_policy(postgres, replace(policy, destinations=("local",)), command_event)
    assert backed_up().startswith("recovered: backup_job (was: failed)")


@pytest.mark.slow
def test_a_failed_check_is_told_by_state_and_recovers_where_it_passes(place: Place) -> None:
    found: dict[str, object] = {"WV": "3 odd"}

    @dg.multi_asset(
        specs=[dg.AssetSpec("odd", partitions_def=STATES)],
        check_specs=[dg.AssetCheckSpec("nothing_is_odd", asset="odd")],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def odd() -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        yield dg.MaterializeResult(asset_key="odd")
        yield dg.AssetCheckResult(
            check_name="nothing_is_odd", asset_key="odd", passed=not found, metadata=found
        )

    def ended(state: str) -> str:
        run = dg.materialize([odd], partition_key=state, instance=place.instance)
        place.tick()
        return f"{UI}/runs/{run.run_id}"

    what = "check failed nothing_is_odd"
    first = ended("WV")
    assert place.news() == [f"{what}: odd WV\n3 odd\n{first}"]
    ended("WV")
    found.clear()
    ended("PA")
    assert place.news() == []
    well = ended("WV")
    assert place.news() == [f"recovered: odd WV (was: {what})\n{well}"]


@pytest.mark.slow
def test_a_stale_asset_is_told_until_it_is_fresh(place: Place) -> None:
    def becomes(before: FreshnessState, after: FreshnessState) -> None:
        change = FreshnessStateChange(
            key=MANIFEST,
            previous_state=before,
            new_state=after,
            state_change_timestamp=datetime.now(UTC).timestamp(),
        )
        place.instance._report_runless_asset_event(change)  # as Dagster's freshness daemon does
        place.tick()
        place.tick()

    becomes(FreshnessState.UNKNOWN, FreshnessState.PASS)
    assert place.news() == []
    becomes(FreshnessState.PASS, FreshnessState.FAIL)
    [text] = place.news()
    assert text.startswith("stale: b2/manifest\n")
    assert text.endswith(f"\n{UI}/assets/b2/manifest")
    becomes(FreshnessState.FAIL, FreshnessState.PASS)
    [text] = place.news()
    assert text.startswith("recovered: b2/manifest")


@pytest.mark.slow
def test_a_database_that_is_away_is_told_once_and_that_it_is_back(
    place: Place, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEON_CONNECTION_STRING", "postgresql://u:hunter22@127.0.0.1:1/d")
    place.tick()
    assert place.news() == []  # one tick is a network's hiccup
    place.tick()
    place.tick()
    [text] = place.news()
    assert text.startswith("failed: the database\nNEON_CONNECTION_STRING cannot be reached")
    assert "hunter22" not in text
    monkeypatch.setenv("NEON_CONNECTION_STRING", postgres.url)
    place.tick()
    place.tick()
    assert place.news() == [f"recovered: the database\nIt can be reached again.\n{UI}"]


def test_with_no_channel_nothing_is_tried(
    place: Place, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WEBHOOK_URL", "EMAIL_TO", "EMAIL_FROM"):
        monkeypatch.delenv(f"OUTREACH_ALERT_{name}")
    for name in ("HOST", "PORT", "USER", "PASSWORD", "SECURITY"):
        monkeypatch.delenv(f"OUTREACH_SMTP_{name}")
    place.settings = load_settings()
    monkeypatch.setenv("NEON_CONNECTION_STRING", "postgresql://u:p@127.0.0.1:1/d")
    assert place.tick() == "alerts are off: no OUTREACH_ALERT_ setting names one"
    assert place.cursor is None
