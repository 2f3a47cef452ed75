"""What may be absent on a developer's machine and must not be where CI says so.

A test that needs such a program asks here and nowhere else; what wheels bring is never skipped.
"""

import os
import shutil

import pytest

SBIN = ":/usr/sbin:/sbin"
"""Where Debian puts servers, which is not on everybody's PATH."""


def program_or_skip(name: str, *executables: str) -> str:
    """The path of the first executable that is installed, by default the one of that name.

    Without one the test is skipped, or fails where OUTREACH_MUST_TEST names it.
    """
    for executable in executables or (name,):
        found = shutil.which(executable, path=os.environ.get("PATH", "") + SBIN)
        if found:
            return found
    must = os.environ.get("OUTREACH_MUST_TEST", "").replace(" ", "").split(",")
    if name in must:
        pytest.fail(f"{name} is not installed, and OUTREACH_MUST_TEST names it")
    pytest.skip(f"{name} is not installed")
