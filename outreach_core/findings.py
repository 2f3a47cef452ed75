"""What a check found: fine, worth a look or broken, and the cure. The checks are elsewhere."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    """It works, and somebody should know."""

    PROBLEM = "problem"
    """Something will not work until the cure is taken."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor's report; never holds a secret."""

    check: str
    """What was looked at, in two or three words."""

    result: Result
    found: str
    cure: str = ""
    """Empty when nothing need be done."""

    is_setting: bool = False
    """True for what the environment says, false for what a service or this machine answered."""


def worst(findings: Iterable[Finding]) -> Result:
    """The worst result among them; ok when there are none."""
    order = list(Result)
    return max((f.result for f in findings), key=order.index, default=Result.OK)
