"""Our two kinds of failure turned into Dagster's.

A permanent one is not tried again by the op; Dagster's run retries are for dead workers only
(dagster.yaml), so they do not try it again either.

The op has no retry policy of Dagster's: that would also try again what somebody has cancelled, and
what no one has foreseen.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from outreach_core.errors import PermanentError, RetryableError

MAX_RETRIES = 2
DELAY_SECONDS = 10
"""Before the first retry, twice as long before the second; with up to as much again by chance."""

ONCE_TAG = "outreach/once"
"""On a run that somebody sits and waits for: it fails at once and leaves trying again to them."""


@contextmanager
def dagster_failures(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Raise dg.Failure for our errors, or dg.RetryRequested where the same may succeed later."""
    try:
        yield
    except PermanentError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except RetryableError as error:
        if not will_retry(context):
            raise dg.Failure(str(error), allow_retries=False) from error
        delay = DELAY_SECONDS * 2**context.retry_number
        seconds = delay * (1 + random.random())  # noqa: S311 no secret
        raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=seconds) from error


def will_retry(context: dg.AssetExecutionContext) -> bool:
    """True while there are tries left and the run does not forbid them."""
    return ONCE_TAG not in context.run.tags and context.retry_number < MAX_RETRIES
