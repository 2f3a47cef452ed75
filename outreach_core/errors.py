"""The two kinds of failure: what may go well next time, and what will not.

A subclass lives beside the code that raises it, and exists only when someone catches it.
Messages name the setting or the object and the cure, and never hold a secret or a person's data.
"""


class OutreachError(Exception):
    """Anything this project refuses or cannot do; the message is meant for a person."""


class RetryableError(OutreachError):
    """The same call may succeed later: a network, a lock, a busy server."""


class PermanentError(OutreachError):
    """The same call will fail again until somebody changes something."""


class SettingsError(PermanentError):
    """An environment variable is missing or wrong; the message names it and what was expected."""
