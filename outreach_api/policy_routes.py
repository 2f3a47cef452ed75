"""Backup policies over HTTP, for administrators. What is backed up where is in backup_routes.py."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Header, Path, Response

from outreach_api.asking import Administrator, Given
from outreach_api.backup_schemas import (
    NewPolicy,
    PolicyList,
    PolicyShown,
    PolicyWanted,
    shown_policy,
)
from outreach_api.collaborators import Collaborators
from outreach_api.refusals import ErrorCode, RefusedError
from outreach_core.audit import SOURCE, AuditEvent
from outreach_core.policies import FolderPolicy
from outreach_core.policy_table import (
    Event,
    add_policy,
    get_policy,
    list_policies,
    remove_policy,
    toggle_policy,
    update_policy,
)

FolderId = Annotated[str, Path(max_length=200, pattern=r"^[^\x00]+$", examples=["contracts"])]
IfMatch = Annotated[
    str | None,
    Header(
        max_length=100,
        description="The `ETag` of the policy as you have seen it: what somebody else has changed "
        "since is not written over, but refused with 412.",
    ),
]

router = APIRouter(prefix="/folders/policies", tags=["backups"])


@router.get("")
def list_all(given: Given, _who: Administrator) -> PolicyList:
    """All policies, by their folders."""
    found = list_policies(given.database)
    return PolicyList(policies=[shown_policy(policy) for policy in found])


@router.post("", status_code=201)
def add(wanted: NewPolicy, given: Given, who: Administrator, answer: Response) -> PolicyShown:
    """Back a folder up from the next run on."""
    policy = wanted.policy(wanted.folder_id)
    _check_destinations(given, policy)
    add_policy(given.database, policy, _event(who))
    answer.headers["location"] = f"{router.prefix}/{policy.folder_id}"
    return _answered(answer, policy)


@router.get("/{folder_id}")
def show(folder_id: FolderId, given: Given, _who: Administrator, answer: Response) -> PolicyShown:
    """A policy; its `ETag` says later whether it is still the same."""
    return _answered(answer, get_policy(given.database, folder_id))


@router.put("/{folder_id}")
def change(
    folder_id: FolderId,
    wanted: PolicyWanted,
    given: Given,
    who: Administrator,
    answer: Response,
    if_match: IfMatch = None,
) -> PolicyShown:
    """The policy is this one from now on: what is not said has its default again."""
    policy = wanted.policy(folder_id)
    _check_destinations(given, policy)
    seen = None if if_match in (None, "*") else if_match.strip('"')
    update_policy(given.database, policy, _event(who), seen=seen)
    return _answered(answer, policy)


@router.delete("/{folder_id}", status_code=204)
def remove(folder_id: FolderId, given: Given, who: Administrator) -> None:
    """Back the folder up no more. What was backed up stays where it is, and known."""
    remove_policy(given.database, folder_id, _event(who))


@router.post("/{folder_id}/toggle")
def toggle(folder_id: FolderId, given: Given, who: Administrator, answer: Response) -> PolicyShown:
    """Switch a policy off, or on again."""
    return _answered(answer, toggle_policy(given.database, folder_id, _event(who)))


def _event(who: str) -> Event:
    def event(event_type: str, details: Mapping[str, object]) -> AuditEvent:
        return AuditEvent(
            event_type=event_type, event_source=SOURCE, details={"who": who, **details}
        )

    return event


def _check_destinations(given: Collaborators, policy: FolderPolicy) -> None:
    if not set(policy.destinations) <= set(given.destinations):
        known = ", ".join(given.destinations) or "none"
        raise RefusedError(
            400, ErrorCode.INVALID_DESTINATION, f"there is no such destination: there are {known}"
        )


def _answered(answer: Response, policy: FolderPolicy) -> PolicyShown:
    answer.headers["etag"] = f'"{policy.fingerprint}"'
    return shown_policy(policy)
