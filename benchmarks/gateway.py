"""What our gateway costs beside a bare endpoint and a peer: `python -m benchmarks.gateway`.

    python -m venv peers && peers/bin/pip install -r benchmarks/gateway_peers.txt
    python -m benchmarks.gateway --peers-python peers/bin/python

One machine of two cores: the gateway, one process, is pinned to the first; store and load generator share the
second. In each round every gateway is started anew, on a new store, so no backlog grows over the rounds; no
worker runs. Numbers are medians of the rounds, in which the gateways take turns.

`..._per_s`: accepted at saturation, a closed loop. The bare endpoint (benchmarks/bare_gateway.py) reads the
same JSON and makes one small Lua call; `bare_ratio` is ours over its. `..._core_share`: of the gateway's
core, to see that nothing else was the bottleneck. LiteLLM's proxy has a mock model and no store.
`p..._ms`: at `rate_per_s`, half of our saturation, an open loop with Poisson arrivals, from when a request
was due; `added_...` is ours less the bare one's. The run is `void` if the generator itself was late.
`cpu_us_per_job`: CPU time at that rate, of the gateway's process and, `store_...`, of the store's.
`overload_...`: three times a round, 5 s at 150 % of a saturation that is taken just before, then half of it.
Goodput is what was accepted meanwhile, as a share of the mean of the saturations before and after: on a
shared host the same closed loop can swing by a third within seconds. `..._spread` are the quartiles of the
shares. Recovery is the time until the 99th percentile is within twice of what it was before; a generator that
is late itself can only make it longer, and adds nothing to goodput.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from benchmarks import served
from benchmarks.closed_loop import peak
from benchmarks.connection import run
from benchmarks.open_loop import Summary, offer, poisson, summary
from benchmarks.overload import CALM, Overload, overload
from benchmarks.pinned import cpu_s, punctual, two_cores
from benchmarks.served import Served

Start = Callable[[], AbstractContextManager[Served]]

_WARM_UP_S = 1.0
_BURSTS_A_ROUND = 3
#: The closed loops before and after a burst.
_KNEE_S = 4.0


@dataclass(frozen=True, slots=True)
class Saturation:
    accepted_per_s: float
    #: Of its core that the gateway had.
    core_share: float


@dataclass(frozen=True, slots=True)
class AtRate:
    summary: Summary
    gateway_us: float
    store_us: float


@dataclass(frozen=True, slots=True)
class Burst:
    overload: Overload
    knee_per_s: float

    @property
    def share(self) -> float:
        return self.overload.goodput_per_s / self.knee_per_s


def saturate(gateway: Served, seconds: float) -> Saturation:
    began_s, before_s = time.perf_counter(), cpu_s(gateway.pid)
    found = run(peak(gateway.target, seconds))
    core_share = (cpu_s(gateway.pid) - before_s) / (time.perf_counter() - began_s)
    if found.errors or not found.accepted_per_s:
        raise SystemExit(f"refused at saturation, by status: {dict(found.errors)}")
    return Saturation(found.accepted_per_s, core_share)


def at_rate(gateway: Served, rate_per_s: float, seconds: float, dice: random.Random) -> AtRate:
    warm_up(gateway, rate_per_s, dice)
    before_s = cpu_s(gateway.pid), cpu_s(gateway.store_pid)
    with punctual():
        samples = run(offer(gateway.target, [*poisson(dice, rate_per_s, seconds)]))
    found = summary(samples, gateway.target.accepted)
    jobs = max(found.accepted, 1)
    return AtRate(
        summary=found,
        gateway_us=(cpu_s(gateway.pid) - before_s[0]) / jobs * 1e6,
        store_us=(cpu_s(gateway.store_pid) - before_s[1]) / jobs * 1e6,
    )


def warm_up(gateway: Served, rate_per_s: float, dice: random.Random) -> None:
    run(offer(gateway.target, [*poisson(dice, rate_per_s, _WARM_UP_S)]))


def saturations(starts: Mapping[str, Start], rounds: int, seconds: float) -> dict[str, list[Saturation]]:
    found = defaultdict(list)
    for number in range(rounds):
        for name, start in starts.items():
            with start() as gateway:
                one = saturate(gateway, seconds)
            found[name].append(one)
            say(f"saturation {number + 1}: {name} {one.accepted_per_s:.0f}/s, {one.core_share:.0%} of a core")
    return found


def at_rates(
    starts: Mapping[str, Start], rate_per_s: float, rounds: int, seconds: float, dice: random.Random
) -> dict[str, list[AtRate]]:
    found = defaultdict(list)
    for number in range(rounds):
        for name, start in starts.items():
            with start() as gateway:
                one = at_rate(gateway, rate_per_s, seconds, dice)
            found[name].append(one)
            seen = one.summary
            latencies = f"p50 {seen.p50_ms:.2f} p99 {seen.p99_ms:.2f} p999 {seen.p999_ms:.2f} ms"
            say(f"at rate {number + 1}: {name} {latencies}, lag p99 {seen.lag_p99_ms:.2f} ms")
    return found


def overloads(start: Start, normal_p99_ms: float, rounds: int, dice: random.Random) -> list[Burst]:
    found = []
    for number in range(rounds):
        with start() as gateway:
            before_per_s = saturate(gateway, _KNEE_S).accepted_per_s
            for _ in range(_BURSTS_A_ROUND):
                one = overload(gateway.target, before_per_s, normal_p99_ms, dice)
                after_per_s = saturate(gateway, _KNEE_S).accepted_per_s
                burst = Burst(one, (before_per_s + after_per_s) / 2)
                found.append(burst)
                knee = f"{before_per_s:.0f}/s before and {after_per_s:.0f}/s after"
                say(f"overload {number + 1}: {burst.share:.0%} of {knee}, {one.recovery_s} s to recover")
                before_per_s = after_per_s
    return found


def say(line: str) -> None:
    print(line, file=sys.stderr)


def saturation_json(found: Mapping[str, Sequence[Saturation]]) -> dict[str, float]:
    numbers = {}
    for name, rounds in found.items():
        numbers[f"{name}_per_s"] = round(statistics.median(one.accepted_per_s for one in rounds), 1)
        numbers[f"{name}_core_share"] = round(statistics.median(one.core_share for one in rounds), 2)
    return numbers | {"bare_ratio": round(numbers["quill_per_s"] / numbers["bare_per_s"], 3)}


def at_rate_json(found: Mapping[str, Sequence[AtRate]]) -> dict[str, object]:
    numbers = at_rate_numbers("", found["quill"]) | at_rate_numbers("bare_", found["bare"])
    added = {
        f"added_{name}": round(numbers[name] - numbers[f"bare_{name}"], 3) for name in ("p50_ms", "p99_ms")
    }
    seen = [one.summary for rounds in found.values() for one in rounds]
    return {
        **numbers,
        **added,
        "errors": sum((Counter(one.errors) for one in seen), Counter()),
        "lag_p99_ms": round(max(one.lag_p99_ms for one in seen), 3),
        "void": any(one.is_void for one in seen),
    }


def at_rate_numbers(prefix: str, rounds: Sequence[AtRate]) -> dict[str, float]:
    def middle(look: Callable[[AtRate], float], digits: int) -> float:
        return round(statistics.median(map(look, rounds)), digits)

    return {
        f"{prefix}p50_ms": middle(lambda one: one.summary.p50_ms, 3),
        f"{prefix}p99_ms": middle(lambda one: one.summary.p99_ms, 3),
        f"{prefix}p999_ms": middle(lambda one: one.summary.p999_ms, 3),
        f"{prefix}cpu_us_per_job": middle(lambda one: one.gateway_us, 1),
        f"{prefix}store_cpu_us_per_job": middle(lambda one: one.store_us, 1),
    }


def overload_json(found: Sequence[Burst]) -> dict[str, object]:
    seen = [one.overload for one in found]
    recovery_s = statistics.median(math.inf if one.recovery_s is None else one.recovery_s for one in seen)
    low, middle, high = statistics.quantiles([one.share for one in found], n=4)
    return {
        "overload_goodput_share": round(middle, 3),
        "overload_goodput_spread": [round(low, 3), round(high, 3)],
        "overload_errors": sum((Counter(one.summary.errors) for one in seen), Counter()),
        "overload_lag_p99_ms": round(max(one.summary.lag_p99_ms for one in seen), 3),
        "recovery_s": None if recovery_s == math.inf else recovery_s,
    }


def starts_of(core: int, log_level: str, peers_python: str) -> tuple[dict[str, Start], dict[str, Start]]:
    """Ours and the bare one, and the peers that are there."""
    starts: dict[str, Start] = {
        "bare": partial(served.bare, core),
        "quill": partial(served.quill, core, log_level),
    }
    if not served.has_litellm(peers_python):
        say("litellm is not installed")
        return starts, {}
    return starts, {"litellm": partial(served.litellm, core, peers_python)}


def measure(
    starts: dict[str, Start], peers: dict[str, Start], rounds: int, seconds: float
) -> dict[str, object]:
    dice = random.Random(1)
    peaks = saturation_json(saturations(starts | peers, rounds, seconds))
    knee_per_s = peaks["quill_per_s"]
    rates = at_rates(starts, CALM * knee_per_s, rounds, seconds, dice)
    normal_ms = statistics.median(one.summary.p99_ms for one in rates["quill"])
    bursts = overloads(starts["quill"], normal_ms, rounds, dice)
    rate = {"rate_per_s": round(CALM * knee_per_s, 1)}
    return peaks | rate | at_rate_json(rates) | overload_json(bursts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measure")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--log-level", default="warning", help="of our gateway; it logs requests at info")
    parser.add_argument("--peers-python", default=sys.executable)
    options = parser.parse_args()
    core, rest = two_cores()
    os.sched_setaffinity(0, {rest})
    starts, peers = starts_of(core, options.log_level, options.peers_python)
    found = measure(starts, peers, options.rounds, options.seconds)
    how = {"seconds": options.seconds, "rounds": options.rounds, "log_level": options.log_level}
    print(json.dumps({"benchmark": "gateway", **how, **found}))


if __name__ == "__main__":
    main()
