"""A deterministic model of time: it answers at a set speed and computes nothing. For load and fault tests.

Without any token time a whole answer is one hop to the engine's thread and back.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import threading
from collections import deque
from dataclasses import dataclass, field

from quill.errors import EngineClosed
from quill.job import Message
from quill.result import FinishReason, JobResult, Usage
from worker.engines.base import Delta, EngineInfo, EngineStats, GenerationRequest, OnDelta
from worker.engines.generation import Generation
from worker.engines.inbox import Inbox
from worker.engines.limits import PASS_TARGET_S, answer_limit_tokens
from worker.engines.meter import Meter
from worker.engines.stops import StopStrings

#: Bytes of a prompt that count as one token: what English text takes in Qwen's vocabulary, about.
BYTES_PER_TOKEN = 4


_ENDS: tuple[FinishReason, ...] = ("stop", "length")


@dataclass(slots=True, eq=False)
class _Job:
    generation: Generation
    prompt_tokens: int
    limit_tokens: int
    #: The answer repeats these for ever.
    words: tuple[str, ...]
    #: Of the prompt, not yet.
    unread_tokens: int
    stops: StopStrings
    texts: list[str] = field(default_factory=list)

    @property
    def reason(self) -> FinishReason | None:
        """Why it is over, if it is."""
        if self.stops.found is not None:
            return "stop"
        return "length" if self.generation.produced_tokens >= self.limit_tokens else None

    def produce(self, tokens: int) -> None:
        """Appends words; every word is one token."""
        done = self.generation.produced_tokens
        self.generation.produced_tokens = done + tokens
        self._show(self.stops.push(_answer(self.words, done, done + tokens)))

    def finish(self, reason: FinishReason) -> None:
        self._show(self.stops.end())
        usage = Usage(prompt_tokens=self.prompt_tokens, completion_tokens=self.generation.produced_tokens)
        text, found = "".join(self.texts), self.stops.found
        self.generation.finish(JobResult(text=text, finish_reason=reason, stop_reason=found, usage=usage))

    def _show(self, text: str) -> None:
        self.texts.append(text)
        self.generation.deliver(Delta(text=text))


class SimulatedEngine:
    def __init__(
        self,
        slots: int = 32,
        prefill_s_per_token: float = 0.0,
        decode_s_per_step: float = 0.0,
        context_tokens: int = 32_768,
    ) -> None:
        self._slots = slots
        self._prefill_s_per_token = prefill_s_per_token
        self._decode_s_per_step = decode_s_per_step
        self._context_tokens = context_tokens
        self._inbox: Inbox[_Job] = Inbox()
        self._waiting: deque[_Job] = deque()
        self._running: list[_Job] = []
        self._meter = Meter()
        self._steps = 0
        self._completed = 0
        #: Ends a simulated wait early.
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="quill-engine", daemon=True)

    def start(self) -> EngineInfo:
        if self._inbox.is_closed:
            raise EngineClosed
        if not self._thread.is_alive():
            self._thread.start()
        return EngineInfo(
            slots=self._slots,
            context_tokens=self._context_tokens,
            device="simulated",
            dtype="none",
            memory_plan=f"{self._slots} slots x {self._context_tokens:,} tokens of no memory at all",
        )

    def submit(self, request: GenerationRequest, on_delta: OnDelta | None = None) -> Generation:
        texts = [message.content.encode(errors="replace") for message in request.messages]
        prompt_tokens = math.ceil(sum(map(len, texts)) / BYTES_PER_TOKEN)
        limit_tokens = answer_limit_tokens(prompt_tokens, request.sampling.max_tokens, self._context_tokens)
        job = _Job(
            generation=Generation(on_delta),
            prompt_tokens=prompt_tokens,
            limit_tokens=limit_tokens,
            words=_words(request.messages),
            unread_tokens=prompt_tokens,
            stops=StopStrings(request.sampling.stop),
        )
        self._inbox.put(job)
        return job.generation

    def stats(self) -> EngineStats:
        return EngineStats(
            running=len(self._running),
            waiting=len(self._waiting) + len(self._inbox),
            completed=self._completed,
            tokens_per_s=self._meter.tokens_per_s(),
            steps=self._steps,
            step_age_s=self._meter.step_age_s,
            mean_step_s=self._meter.mean_step_s,
            longest_step_s=self._meter.longest_step_s,
        )

    def close(self) -> None:
        self._inbox.close()
        self._closing.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _serve(self) -> None:
        while not self._inbox.has_ended:
            self._waiting.extend(self._inbox.drain(wait=not (self._running or self._waiting)))
            if not self._inbox.has_ended:
                self._step()
        for job in (*self._running, *self._waiting):
            job.finish("cancelled")
        self._running.clear()
        self._waiting.clear()

    def _step(self) -> None:
        """Reads on in the prompts, then gives each job a token, or all if tokens take no time."""
        self._meter.begin()
        self._drop_aborted()
        for _ in range(min(len(self._waiting), self._slots - len(self._running))):
            self._running.append(self._waiting.popleft())
        self._elapse(self._prefill_s_per_token * self._read())
        self._elapse(self._decode_s_per_step)
        tokens = sum(self._advance(job) for job in self._running if not job.unread_tokens)
        for reason in _ENDS:
            self._end([job for job in self._running if job.reason == reason], reason)
        self._steps += 1
        self._meter.end(tokens)

    def _read(self) -> int:
        """Prompt tokens of one step: a chunk, if they take time."""
        is_free = not self._prefill_s_per_token
        left = math.inf if is_free else max(1, int(PASS_TARGET_S / self._prefill_s_per_token))
        read = 0
        for job in self._running:
            tokens = int(min(job.unread_tokens, left - read))
            job.unread_tokens -= tokens
            read += tokens
        return read

    def _advance(self, job: _Job) -> int:
        tokens = 1 if self._decode_s_per_step else job.limit_tokens
        job.produce(tokens)
        return tokens

    def _drop_aborted(self) -> None:
        self._end([job for job in (*self._running, *self._waiting) if job.generation.aborted], "cancelled")

    def _end(self, jobs: list[_Job], reason: FinishReason) -> None:
        if not jobs:
            return
        self._running = [job for job in self._running if job not in jobs]
        self._waiting = deque(job for job in self._waiting if job not in jobs)
        self._completed += len(jobs)
        for job in jobs:
            job.finish(reason)

    def _elapse(self, seconds: float) -> None:
        if seconds > 0:
            self._closing.wait(seconds)


def _words(messages: tuple[Message, ...]) -> tuple[str, ...]:
    text = "\0".join(f"{message.role}\0{message.content}" for message in messages)
    return tuple(
        f"w{byte}" for byte in hashlib.blake2b(text.encode(errors="replace"), digest_size=32).digest()
    )


def _answer(words: tuple[str, ...], first: int, end: int) -> str:
    """Words `first` to `end` of the endless answer; a piece in its middle begins with the space before it."""
    text = " ".join(
        itertools.islice(itertools.cycle(words), first % len(words), first % len(words) + end - first)
    )
    return f" {text}" if first else text
