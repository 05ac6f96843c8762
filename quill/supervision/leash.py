"""`python -m quill.supervision.leash PID COMMAND ...`: becomes a command that ends when its supervisor does.

A supervisor that is killed cannot stop its children, and a second one beside them would serve each GPU twice.
Linux sends the signal (prctl(2), PR_SET_PDEATHSIG) and keeps that over exec; elsewhere this only runs the
command.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

#: From <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1


def main() -> None:
    supervisor, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != supervisor:  # it died before the signal was asked for
            raise SystemExit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
