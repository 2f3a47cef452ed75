"""Google Drive as a source of backups: how rclone logs in there, by the settings.

Step by step in docs/google_drive.md. rclone gets all of it by its environment (steps/backups).
"""

import json
from collections.abc import Iterator, Mapping

from outreach_core.errors import SettingsError
from outreach_core.settings import Settings

PREFIX = "OUTREACH_GOOGLE_DRIVE_"


def drive_remote(settings: Settings) -> dict[str, str]:
    """Google Drive as rclone's configuration would name it; holds the secrets.

    Raises SettingsError saying which settings are missing or contradict each other.
    """
    problem = next(_problems(settings), None)
    if problem:
        raise SettingsError(problem)
    token = settings.outreach_google_drive_token
    secret = settings.outreach_google_drive_client_secret
    account = settings.outreach_google_drive_service_account_file
    says = {
        "service_account_file": str(account.expanduser()) if account else "",
        "token": token.get_secret_value() if token else "",
        "client_id": settings.outreach_google_drive_client_id or "",
        "client_secret": secret.get_secret_value() if secret else "",
        "root_folder_id": settings.outreach_google_drive_root_folder_id or "",
        "team_drive": settings.outreach_google_drive_team_drive or "",
    }
    return {
        "type": "drive",
        "scope": "drive.readonly",  # nothing there is ever changed
        # A shortcut's file is backed up where it lies; one to a folder above would never end.
        "skip_shortcuts": "true",
        **{name: value for name, value in says.items() if value},
    }


def drive_secrets(remote: Mapping[str, str]) -> list[str]:
    """What no message may show."""
    token = json.loads(remote.get("token", "{}"))
    found = [token.get("access_token"), token.get("refresh_token"), remote.get("client_secret")]
    return [word for word in found if word]


def _problems(settings: Settings) -> Iterator[str]:
    account = settings.outreach_google_drive_service_account_file
    has_token = settings.outreach_google_drive_token is not None
    if account is None and not has_token:
        yield f"Google Drive: set {PREFIX}SERVICE_ACCOUNT_FILE or {PREFIX}TOKEN"
    if account is not None and has_token:
        yield f"{PREFIX}SERVICE_ACCOUNT_FILE and {PREFIX}TOKEN are two logins: set one of them"
    if account is not None and not account.expanduser().is_file():
        yield f"{PREFIX}SERVICE_ACCOUNT_FILE is {str(account)!r}, which is no file"
    places = (
        settings.outreach_google_drive_root_folder_id,
        settings.outreach_google_drive_team_drive,
    )
    if account is not None and not any(places):
        yield (
            f"Google Drive: set {PREFIX}ROOT_FOLDER_ID, a folder that is shared with the service "
            f"account, or {PREFIX}TEAM_DRIVE: its own drive is empty"
        )
    client = (
        settings.outreach_google_drive_client_id,
        settings.outreach_google_drive_client_secret,
    )
    if has_token and not all(client):
        yield (
            f"Google Drive: set {PREFIX}CLIENT_ID and {PREFIX}CLIENT_SECRET, of the client that "
            "the token was made with: rclone's own is being retired"
        )
