"""Our two kinds of failure turned into Dagster's.

A permanent one is not tried again by the op; Dagster's run retries are for dead workers only
(dagster.yaml), so they do not try it again either.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from outreach_core.errors import PermanentError, RetryableError

RETRY_POLICY = dg.RetryPolicy(
    max_retries=2, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)

ONCE_TAG = "outreach/once"
"""On a run that somebody sits and waits for: it fails at once and leaves trying again to them."""


@contextmanager
def dagster_failures(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Raise dg.Failure for our errors: with retries where the same may succeed later."""
    try:
        yield
    except PermanentError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except RetryableError as error:
        raise dg.Failure(str(error), allow_retries=will_retry(context)) from error


def will_retry(context: dg.AssetExecutionContext) -> bool:
    """True while the op's retry policy has tries left and the run does not forbid them."""
    return ONCE_TAG not in context.run.tags and context.retry_number < RETRY_POLICY.max_retries
