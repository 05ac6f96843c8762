"""What a request leaves out: from the checkpoint's `generation_config.json`, then from what Qwen recommends
for its family.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from worker.engines.policy import Policy

_CHAT = Policy(temperature=0.7, top_p=0.8, top_k=20)
_REASONING = Policy(temperature=0.6, top_p=0.95, top_k=20)

#: From the model cards: without reasoning, and with it.
FAMILIES: dict[str, tuple[Policy, Policy]] = {
    "qwen2": (replace(_CHAT, repetition_penalty=1.05),) * 2,
    "qwen2_moe": (replace(_CHAT, repetition_penalty=1.05),) * 2,
    "qwen3": (_CHAT, _REASONING),
    "qwen3_moe": (_CHAT, _REASONING),
    "qwen3_next": (_CHAT, _REASONING),
    "qwen3_5": (
        replace(_CHAT, presence_penalty=1.5),
        replace(_REASONING, temperature=1.0, presence_penalty=1.5),
    ),
}
FAMILIES["qwen3_5_moe"] = FAMILIES["qwen3_5"]


@dataclass(frozen=True, slots=True)
class Presets:
    answering: Policy
    reasoning: Policy

    @classmethod
    def of(cls, generation_config: Any, family: str) -> Presets:
        """A checkpoint that says it does not sample is greedy."""
        answering, reasoning = FAMILIES.get(family.removesuffix("_text"), (_CHAT, _REASONING))
        if getattr(generation_config, "do_sample", None) is False:
            answering = reasoning = Policy()
        own = _own(generation_config)
        return cls(replace(answering, **own), replace(reasoning, **own))

    def policy(self, *, is_reasoning: bool) -> Policy:
        return self.reasoning if is_reasoning else self.answering


def _own(generation_config: Any) -> dict[str, Any]:
    """What the file itself says; without `do_sample` its temperature is no wish to sample."""
    found = {field.name: getattr(generation_config, field.name, None) for field in fields(Policy)}
    if getattr(generation_config, "do_sample", None) is False:
        found["temperature"] = None
    return {name: value for name, value in found.items() if value is not None}
