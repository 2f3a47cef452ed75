"""A real Postgres, a real folder, and users with tokens."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from b2_resources.local_parts import LocalParts
from b2_resources.local_store import LocalStore
from b2_resources.signing import LocalSigning
from outreach_api.collaborators import ApiLimits, Collaborators, LocalFiles
from outreach_core.postgres import Postgres
from outreach_core.postgres_pool import PostgresPool
from outreach_core.users import add_user
from tests.integration.outreach_api.in_process import DESTINATIONS, TOOLS, URL, Api, Pushes


@pytest.fixture
def api(migrated: Postgres, tmp_path: Path) -> Iterator[Api]:
    """Users anna, bob, the operator ops, the administrators ada and abe; a folder it serves."""
    store = LocalStore(tmp_path / "store")
    signing = LocalSigning(secret=b"s" * 32, api_url=URL)
    with PostgresPool(migrated) as pool:
        with pool.connect() as connection:
            connection.execute(
                "TRUNCATE shq.users, shq.user_tokens, shq.user_requests, shq.tasks, "
                "shq.task_history, shq.task_part_uploads, shq.announced_drops, "
                "shq.refused_drops, shq.given_answers, "
                "shq.sync_folders, shq.file_destinations"
            )
            tokens = {
                user: add_user(
                    connection,
                    user,
                    is_operator=user == "ops",
                    is_administrator=user in ("ada", "abe"),
                    now=datetime.now(UTC),
                ).token
                for user in ("anna", "bob", "ops", "ada", "abe")
            }
        given = Collaborators(
            database=pool,
            store=store,
            signing=signing,
            parts=LocalParts(store),
            part_bytes=4,
            tools=TOOLS,
            destinations=DESTINATIONS,
            queue=Pushes(),
            local_files=LocalFiles(store=store, signing=signing, parts=LocalParts(store)),
            limits=ApiLimits(requests_per_minute=1_000_000),
        )
        yield Api(given, tokens)
