"""Folder policies in a real Postgres: what is kept, what is refused, what the audit log says."""

from dataclasses import replace

import pytest

from outreach_core.audit import EventFilter, command_event, latest_events
from outreach_core.errors import PermanentError
from outreach_core.migrate import migrate
from outreach_core.policies import FolderPolicy, Source
from outreach_core.policy_table import (
    PolicyMissingError,
    PolicyThereError,
    add_policy,
    destinations_for_file,
    get_policy,
    list_policies,
    policy_for_file,
    remove_policy,
    toggle_policy,
    update_policy,
)
from outreach_core.postgres import Postgres

POLICY = FolderPolicy(
    folder_id="f1",
    name="Clients",
    path="/srv/Müller",
    destinations=("local", "aws_s3"),
    include=("*.csv", "{a,b}"),
    exclude=("tmp/",),
    recursive=False,
    keep_versions=False,
)


def audited(postgres: Postgres) -> list[str]:
    with postgres.connect() as connection:
        events = latest_events(connection, EventFilter(), limit=9)
    return [e.event_type for e in events if "policy" in e.event_type]


def test_a_policy_is_kept_changed_switched_and_removed(postgres: Postgres) -> None:
    add_policy(postgres, POLICY, command_event)
    assert get_policy(postgres, "f1") == POLICY
    assert (
        destinations_for_file(postgres, Source.LOCAL, "/srv/Mu\u0308ller/a") == POLICY.destinations
    )
    changed = replace(POLICY, path="/srv/b", recursive=True, include=())
    update_policy(postgres, changed, command_event)
    assert list_policies(postgres) == [changed]
    assert toggle_policy(postgres, "f1", command_event) == replace(changed, enabled=False)
    assert policy_for_file(postgres, Source.LOCAL, "/srv/b/x") is None
    assert toggle_policy(postgres, "f1", command_event).enabled
    assert policy_for_file(postgres, Source.LOCAL, "/srv/b/x") == changed
    remove_policy(postgres, "f1", command_event)
    assert list_policies(postgres) == []
    assert audited(postgres) == [
        "outreach_policy_removed",
        *["outreach_policy_changed"] * 3,
        "outreach_policy_added",
    ]


def test_what_cannot_be_is_refused_and_leaves_nothing(empty_postgres: Postgres) -> None:
    with pytest.raises(PermanentError, match="outreach db migrate"):
        list_policies(empty_postgres)
    migrate(empty_postgres)
    add_policy(empty_postgres, POLICY, command_event)
    with pytest.raises(PolicyThereError, match="'f1' already"):
        add_policy(empty_postgres, replace(POLICY, path="/other"), command_event)
    same = replace(POLICY, folder_id="f2", path="/srv//Mu\u0308ller/")
    with pytest.raises(PolicyThereError, match="has a policy already"):
        add_policy(empty_postgres, same, command_event)
    add_policy(empty_postgres, replace(POLICY, folder_id="f2", source=Source.STORE), command_event)
    with pytest.raises(PolicyThereError, match="has a policy already"):
        update_policy(empty_postgres, replace(POLICY, folder_id="f2"), command_event)
    for refused in (
        lambda: get_policy(empty_postgres, "no"),
        lambda: remove_policy(empty_postgres, "no", command_event),
        lambda: toggle_policy(empty_postgres, "no", command_event),
        lambda: update_policy(empty_postgres, replace(POLICY, folder_id="no"), command_event),
    ):
        with pytest.raises(PolicyMissingError, match="'no'"):
            refused()
    assert audited(empty_postgres) == ["outreach_policy_added"] * 2
