"""Any server that speaks OpenAI's chat API as the engine: llama.cpp, Ollama, SGLang, vLLM and others.

The server renders the conversation, counts and batches; this side limits, retries, aborts and puts together.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx2

from quill.client.sse import SseParser
from quill.errors import (
    ContextLengthExceeded,
    EngineError,
    EngineFault,
    InvalidRequest,
    QuillError,
)
from quill.result import FinishReason
from worker.engines.base import EngineInfo, EngineStats, GenerationRequest, OnDelta
from worker.engines.generation import Generation
from worker.engines.limits import answer_limit_tokens
from worker.engines.looped import LoopedEngine
from worker.engines.openai.chat import body_of
from worker.engines.openai.pieces import DONE, piece_of
from worker.engines.openai.settings import ServerSettings
from worker.engines.openai.transcript import Transcript
from worker.prompt.encoder import Prompt, PromptEncoder

log = logging.getLogger(__name__)

#: Where the server does not tell; it refuses by itself what does not fit.
UNKNOWN_CONTEXT_TOKENS = 32_768

#: Before the n-th further try: this long, times 2^(n-1).
RETRY_S = 0.25

CONNECT_S = 5.0

#: The server is busy or not there: the same request may be sent again.
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class _Unanswered(Exception):
    """No answer has begun."""


class OpenAIEngine(LoopedEngine):
    def __init__(self, settings: ServerSettings) -> None:
        super().__init__()
        self._settings = settings
        self._model = ""
        self._encoder: PromptEncoder | None = None
        self._running = 0

    def submit(self, request: GenerationRequest, on_delta: OnDelta | None = None) -> Generation:
        asked, context_tokens = request.sampling, self._ready.context_tokens
        prompt = self._prompt(request)
        limit_tokens = answer_limit_tokens(len(prompt.ids), asked.max_tokens, context_tokens)
        body = body_of(request, self._model, limit_tokens)
        transcript = Transcript(
            asked.stop,
            tells_logprobs=asked.logprobs,
            opens_reasoning=prompt.opens_reasoning,
            prompt_tokens=len(prompt.ids),
        )
        generation = self._generation(on_delta)
        self._launch(generation, lambda: self._serve(generation, body, transcript))
        return generation

    def _prompt(self, request: GenerationRequest) -> Prompt:
        """As the server will see it; empty if only the server can tell."""
        if self._encoder is None:
            return Prompt([])
        return self._encoder.encode(request.messages, request.thinking, request.template_options)

    def stats(self) -> EngineStats:
        """Without a step's age: a server's silence ends a request, not the worker."""
        return EngineStats(
            running=self._running,
            waiting=max(0, len(self._held) - self._running),
            completed=self._completed,
            tokens_per_s=self._meter.tokens_per_s(),
            steps=self._outputs,
        )

    async def _boot(self) -> EngineInfo:
        key = self._settings.api_key
        self._client = httpx2.AsyncClient(
            base_url=self._settings.url.rstrip("/"),
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(self._settings.silence_s, connect=CONNECT_S),
            limits=httpx2.Limits(max_connections=None),
        )
        self._free = asyncio.Semaphore(self._settings.slots)
        try:
            return await self._greet()
        except EngineError:
            await self._client.aclose()
            raise

    async def _greet(self) -> EngineInfo:
        """Raises ``EngineError`` if the server is not there, or it is not clear what it shall serve."""
        settings = self._settings
        try:
            entries = _listed(await self._client.get("/models"))
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise EngineError(
                f"The server at {settings.url} does not answer; is its address right?"
            ) from error
        model = settings.model or (next(iter(entries)) if len(entries) == 1 else None)
        if model is None:
            choice = f"name one of {', '.join(entries)}" if entries else "name one"
            raise EngineError(f"The server lists {len(entries)} models: {choice} (QUILL_SERVER_MODEL).")
        self._model = model
        self._encoder = encoder = None if settings.tokenizer is None else _encoder(settings.tokenizer)
        told = entries.get(model, {}).get("max_model_len")
        return EngineInfo(
            slots=settings.slots,
            context_tokens=settings.context_tokens or told or UNKNOWN_CONTEXT_TOKENS,
            device="remote",
            dtype="unknown",
            memory_plan=f"{model} at a server, {settings.slots} requests at once",
            tokenizer_json=encoder.tokenizer_json if encoder else None,
            base_tokens=encoder.base_tokens if encoder else 0,
            message_tokens=encoder.message_tokens if encoder else 0,
        )

    async def _shut_down(self) -> None:
        await self._client.aclose()

    async def _serve(self, generation: Generation, body: dict[str, Any], transcript: Transcript) -> None:
        try:
            async with self._free:
                self._running += 1
                try:
                    await self._follow(generation, body, transcript)
                finally:
                    self._running -= 1
            _finish(generation, transcript, transcript.finish_reason or "stop")
        except asyncio.CancelledError:
            _finish(generation, transcript, "cancelled")
        except QuillError as error:
            generation.fail(error)
        except Exception:
            log.exception("A request to the server failed.", extra={"action": "serve"})
            generation.fail(EngineFault())

    async def _follow(self, generation: Generation, body: dict[str, Any], transcript: Transcript) -> None:
        """Raises ``EngineFault`` if the server does not answer however often it is asked, or breaks off."""
        for number in range(self._settings.tries):
            if number:
                await asyncio.sleep(RETRY_S * 2 ** (number - 1))
            try:
                return await self._try(generation, body, transcript)
            except _Unanswered as reason:
                log.warning("The server did not answer: %s", reason, extra={"action": "try_again"})
        raise EngineFault

    async def _try(self, generation: Generation, body: dict[str, Any], transcript: Transcript) -> None:
        """Raises ``_Unanswered``, or ``EngineFault`` once there was output."""
        try:
            async with self._client.stream("POST", "/chat/completions", json=body) as reply:
                if not reply.is_success:
                    await _refuse(reply)
                await self._read(generation, transcript, reply)
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            if transcript.pieces:
                raise EngineFault from error
            raise _Unanswered(type(error).__name__) from error

    async def _read(self, generation: Generation, transcript: Transcript, reply: httpx2.Response) -> None:
        """Returns at the end of the answer; leaving the stream before its end tells the server to stop."""
        parser = SseParser()
        async for data in reply.aiter_bytes():
            for event in parser.feed(data):
                if event.data == DONE or transcript.is_cut:
                    return
                delta = transcript.push(piece_of(event.data))
                generation.produced_tokens = transcript.pieces
                generation.deliver(delta)
                self._note(1)
        if transcript.finish_reason is None and not transcript.is_cut:
            raise EngineFault


def _listed(reply: httpx2.Response) -> dict[str, dict[str, Any]]:
    """The models by name; none where the server does not say: not all do, and a name may be given."""
    try:
        return {entry["id"]: entry for entry in reply.raise_for_status().json()["data"]}
    except (httpx2.HTTPStatusError, ValueError, KeyError, TypeError):
        return {}


def _encoder(checkpoint: str) -> PromptEncoder:
    """Raises ``EngineError``."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise EngineError(f"{checkpoint} has no tokenizer that could be loaded.") from error
    return PromptEncoder(tokenizer)


def _finish(generation: Generation, transcript: Transcript, reason: FinishReason) -> None:
    generation.deliver(transcript.end())
    result = transcript.result("stop" if transcript.is_cut else reason)
    generation.produced_tokens = result.usage.completion_tokens
    generation.finish(result)


async def _refuse(reply: httpx2.Response) -> None:
    """Raises what the status stands for. The server's own words may repeat the prompt: nobody sees them."""
    if reply.status_code in _PASSING:
        raise _Unanswered(f"status {reply.status_code}")
    log.warning("The server refused.", extra={"action": "refused", "status": reply.status_code})
    words = (await reply.aread()).lower()
    if reply.status_code == 400 and b"context" in words:
        raise ContextLengthExceeded
    if reply.status_code in {400, 422}:
        raise InvalidRequest("The engine's server does not take this request as it is.")
    raise EngineFault
