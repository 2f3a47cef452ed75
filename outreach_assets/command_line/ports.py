"""Whether a port is free, asked before anything that takes seconds is started."""

import socket

from outreach_core.errors import SettingsError


def refuse_taken(host: str, port: int, *, option: str = "--port") -> None:
    """Raise SettingsError when something else listens there, or nothing can."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise SettingsError(
                f"--host {host} {option} {port}: {error.strerror}: choose another {option}"
            ) from error
