"""Thousands of idle readers, and clients that never finish a request, beside good ones.

    python -m benchmarks.idle [--readers 5000] [--stallers 500] [--seconds 45]

Good clients submit at a steady rate: their p50 and p99 alone, and while the others are there, for so long
that every reader is sent comments and looked after again. The gateway's memory is read before, with all
readers, and at the end; its connections to the store are counted. It has a core of its own, everything else
the other. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
from typing import Any

import psutil

from benchmarks import served
from benchmarks.connection import HOST, Target, run
from benchmarks.crowd import Members, allow_files, crowd
from benchmarks.open_loop import Summary, offer, poisson, summary
from benchmarks.pinned import punctual, two_cores

RATE_PER_S = 200.0
_SEED = 1
_WARM_UP_S = 10.0


def good_clients(target: Target, seconds: float) -> Summary:
    dues_s = list(poisson(random.Random(_SEED), RATE_PER_S, seconds))
    with punctual():
        return summary(run(offer(target, dues_s)), target.accepted)


async def accepted_job(target: Target) -> str:
    """Its path."""
    reader, writer = await asyncio.open_connection(HOST, target.port)
    writer.write(target.request)
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return next(line for line in head.decode().split("\r\n") if line.startswith("location: ")).split()[1]


def measure(gateway: served.Served, readers: int, stallers: int, seconds: float) -> dict[str, Any]:
    target, process = gateway.target, psutil.Process(gateway.pid)
    lines = target.request.split(b"\r\n")
    key = next(line for line in lines if line.lower().startswith(b"authorization"))
    good_clients(target, _WARM_UP_S)
    rss_mib = [process.memory_info().rss >> 20]
    alone = good_clients(target, seconds)
    job = asyncio.run(accepted_job(target)).encode()
    listen = b"GET %s/events HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n" % (job, key)
    stall = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Le"
    with crowd(target.port, Members(readers, listen, b"event: status")):
        rss_mib.append(process.memory_info().rss >> 20)
        with crowd(target.port, Members(stallers, stall)):
            beside = good_clients(target, seconds)
        rss_mib.append(process.memory_info().rss >> 20)
        outgoing = [
            item for item in process.net_connections() if item.raddr and item.laddr.port != target.port
        ]
    return {
        "p50_ms": [round(found.p50_ms, 2) for found in (alone, beside)],
        "p99_ms": [round(found.p99_ms, 2) for found in (alone, beside)],
        "p99_ratio": round(beside.p99_ms / alone.p99_ms, 2),
        "errors": [dict(found.errors) for found in (alone, beside)],
        "void": alone.is_void or beside.is_void,
        "rss_mib": rss_mib,
        "store_connections": len(outgoing),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--readers", type=int, default=5000)
    parser.add_argument("--stallers", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=45.0)
    options = parser.parse_args()
    # The gateway inherits it.
    allow_files(options.readers + options.stallers)
    core, rest = two_cores()
    os.sched_setaffinity(0, {rest})
    with served.quill(core, "warning") as gateway:
        found = measure(gateway, options.readers, options.stallers, options.seconds)
    how = {"readers": options.readers, "stallers": options.stallers, "rate_per_s": RATE_PER_S}
    print(json.dumps({"benchmark": "idle", **how, **found}))


if __name__ == "__main__":
    main()
