"""Being told to stop, and being told again."""

from __future__ import annotations

import signal


class Ending:
    """Counts the signals that ask this process to stop.

    Its handler only sets a number: an event's lock may be held by the very code that a signal interrupts.
    """

    def __init__(self) -> None:
        self.requests = 0

    def listen(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.request)

    def request(self, *_: object) -> None:
        self.requests += 1
