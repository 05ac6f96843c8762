"""vLLM inside this process, for production throughput: it batches, this side speaks the model's language.

Its core runs in processes of its own; the engine's thread holds the event loop that talks to them.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from typing import Any

from quill.errors import EngineError, EngineFault, EngineLost
from quill.result import FinishReason
from worker.engines.base import EngineInfo, EngineStats, GenerationRequest, OnDelta, Sampling
from worker.engines.draft import Draft
from worker.engines.generation import Generation
from worker.engines.language import Language, learn
from worker.engines.looped import LoopedEngine
from worker.engines.vllm.parameters import sampling_of
from worker.engines.vllm.settings import VllmSettings

log = logging.getLogger(__name__)


class VllmEngine(LoopedEngine):
    def __init__(self, settings: VllmSettings) -> None:
        super().__init__()
        self._settings = settings
        self._language: Language | None = None
        self._core: Any = None
        self._numbers = itertools.count()

    def submit(self, request: GenerationRequest, on_delta: OnDelta | None = None) -> Generation:
        context_tokens = self._ready.context_tokens
        assert self._language is not None
        brief = self._language.brief(request, context_tokens)
        generation = self._generation(on_delta)
        draft = Draft(generation, brief)
        self._launch(generation, lambda: self._serve(draft, request.sampling))
        return generation

    def stats(self) -> EngineStats:
        held, slots = len(self._held), self._settings.slots
        return EngineStats(
            running=min(held, slots),
            waiting=max(0, held - slots),
            completed=self._completed,
            tokens_per_s=self._meter.tokens_per_s(),
            steps=self._outputs,
            step_age_s=self._silence_s,
            is_lost=bool(self._core is not None and self._core.errored),
        )

    async def _boot(self) -> EngineInfo:
        try:
            from vllm import AsyncEngineArgs
            from vllm.v1.engine.async_llm import AsyncLLM
        except ImportError as error:
            raise EngineError(
                "The vllm engine takes its package: `pip install 'quill-queue[vllm]'`."
            ) from error
        settings = self._settings
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(settings.host_cache_gib))
        self._core = AsyncLLM.from_engine_args(
            AsyncEngineArgs(
                model=settings.model,
                revision=settings.revision,
                dtype=settings.dtype,
                max_num_seqs=settings.slots,
                max_model_len=settings.context_tokens,
                tensor_parallel_size=settings.tensor_parallel,
                gpu_memory_utilization=settings.gpu_memory_share,
                quantization="bitsandbytes" if settings.is_quantized else None,
                enable_prefix_caching=True,
                trust_remote_code=False,
                disable_log_stats=True,
            )
        )
        return self._learned()

    def _learned(self) -> EngineInfo:
        from transformers import AutoTokenizer

        name = self._settings.model
        reading = {"revision": self._settings.revision, "trust_remote_code": False}
        config = self._core.vllm_config.model_config
        tokenizer = AutoTokenizer.from_pretrained(name, **reading)
        self._language = learn(tokenizer, config.hf_config, _generation_config(name, reading))
        encoder = self._language.encoder
        return EngineInfo(
            slots=self._settings.slots,
            context_tokens=config.max_model_len,
            device=str(self._core.vllm_config.device_config.device_type),
            dtype=str(config.dtype).removeprefix("torch."),
            memory_plan=f"vLLM's own; {self._settings.slots} sequences at once",
            tuning={"tensor_parallel": str(self._settings.tensor_parallel)},
            tokenizer_json=encoder.tokenizer_json,
            base_tokens=encoder.base_tokens,
            message_tokens=encoder.message_tokens,
        )

    async def _shut_down(self) -> None:
        self._core.shutdown()
        # Here, while there is an interpreter: it shuts down once more when it goes.
        self._core = None

    async def _serve(self, draft: Draft, asked: Sampling) -> None:
        try:
            reason = None
            while reason is None:
                reason = await self._generate(draft, asked)
            draft.finish(reason)
        except asyncio.CancelledError:
            draft.finish("cancelled")
        except Exception:
            log.exception("vLLM failed under a request.", extra={"action": "serve"})
            draft.fail(EngineLost() if self._core.errored else EngineFault())

    async def _generate(self, draft: Draft, asked: Sampling) -> FinishReason | None:
        """``None`` if the budget of reasoning was spent: what ends it is written, and the model goes on from
        there. Its prefix cache still has what was before; its presence and frequency penalties count anew.
        """
        prompt: dict[str, Any] = {"prompt_token_ids": list(draft.ids)}
        if draft.brief.salt:
            prompt["cache_salt"] = draft.brief.salt
        parameters = sampling_of(draft.brief, asked, draft.left_tokens)
        outputs = self._core.generate(prompt, parameters, f"quill-{next(self._numbers)}")
        try:
            async for output in outputs:
                reason, is_corrected = self._take(draft, output.outputs[0], asked)
                if reason is not None or is_corrected:
                    return reason
        finally:
            await outputs.aclose()
        raise EngineFault

    def _take(self, draft: Draft, piece: Any, asked: Sampling) -> tuple[FinishReason | None, bool]:
        """The reason if the answer is over, and whether a token was put in place of the model's."""
        self._note(len(piece.token_ids))
        for place, token_id in enumerate(piece.token_ids):
            told = piece.logprobs[place] if piece.logprobs else {}
            ranked = sorted(told.items(), key=lambda entry: entry[1].rank)[: asked.top_logprobs]
            own = told[token_id].logprob if told else None
            reason = draft.accept(token_id, own, [(other, entry.logprob) for other, entry in ranked])
            if reason is not None:
                return reason, False
            if draft.ids[-1] != token_id:
                return _written_out(draft), True
        return None, False


def _written_out(draft: Draft) -> FinishReason | None:
    """The rest of what the budget puts into the model's mouth; the reason if there was no room for more."""
    thinking = draft.brief.thinking
    while thinking is not None and thinking.is_speaking:
        if (reason := draft.accept(draft.ids[-1])) is not None:
            return reason
    return None


def _generation_config(name: str, reading: dict[str, Any]) -> Any:
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(name, **reading)
    except OSError:  # a checkpoint need not have one
        return GenerationConfig()
