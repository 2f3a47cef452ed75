"""Every error of ours says whether trying again may help."""

from importlib import import_module
from pkgutil import walk_packages

import outreach_core
from outreach_core.errors import OutreachError, PermanentError, RetryableError


def subclasses(kind: type[OutreachError]) -> set[type[OutreachError]]:
    below = set(kind.__subclasses__())
    return below.union(*(subclasses(k) for k in below))


def test_every_error_is_either_retryable_or_permanent() -> None:
    for module in walk_packages(outreach_core.__path__, "outreach_core."):
        import_module(module.name)
    ours = subclasses(OutreachError) - {RetryableError, PermanentError}
    assert len(ours) > 10
    for error in ours:
        assert issubclass(error, RetryableError) != issubclass(error, PermanentError), error
        assert error.__name__.endswith("Error")
        assert error.__doc__
