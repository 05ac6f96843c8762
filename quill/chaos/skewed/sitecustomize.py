"""On the path of a worker with another clock, which imports this before anything else.

libfaketime 0.9.10 reckons an absolute sleep by the monotonic clock in terms of the wall clock, and every
`time.sleep` ends in EINVAL. A wait without a file is as long and as good.
"""

from __future__ import annotations

import select
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex) -> None:
    select.select([], [], [], float(seconds))


time.sleep = _sleep
