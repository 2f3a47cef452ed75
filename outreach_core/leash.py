"""A program and all it starts, on a leash: when whoever holds it lets go, they all end.

A process of its own between `outreach dev` and Dagster, and between a backup and its rclone. The
leash is its standard input: it ends when the holder closes it, and also when the holder is killed
and can do nothing any more.

Only the standard library: it starts at once, stays small and needs no site-packages.
"""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

STOP_SECONDS = 30
LOOK_EVERY_SECONDS = 0.5


def keep(words: Sequence[str]) -> int:
    """Run the program until it ends by itself; its exit code.

    When the leash ends first, the program is asked to stop and then this whole process group is
    killed, this process with it. Start it as the leader of its own.
    """
    # A shell's background job ignores Ctrl-C, and would hand that down.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    program = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while program.poll() is None:
        readable, _, _ = select.select([sys.stdin], [], [], LOOK_EVERY_SECONDS)
        if readable and not os.read(sys.stdin.fileno(), 1):
            program.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                program.wait(STOP_SECONDS)
            os.killpg(0, signal.SIGKILL)
    return program.returncode


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
