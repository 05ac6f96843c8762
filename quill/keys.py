"""The few Redis keys that Python reads by itself; the whole layout is drawn in store/lua/_keys.lua."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    namespace: str

    @property
    def events(self) -> str:
        return f"{self.namespace}:events"

    @property
    def models(self) -> str:
        return f"{self.namespace}:models"

    @property
    def seen(self) -> str:
        return f"{self.namespace}:seen"

    def output(self, job_id: str, attempt: int) -> str:
        return f"{self.namespace}:out:{job_id}:{attempt}"

    def model(self, model: str) -> str:
        return f"{self.namespace}:model:{model}"

    def recent(self, model: str) -> str:
        return f"{self.namespace}:recent:{model}"

    def tokenizer(self, digest: str) -> str:
        return f"{self.namespace}:tokenizer:{digest}"

    def worker(self, worker: str) -> str:
        return f"{self.namespace}:worker:{worker}"

    def stops(self, worker: str) -> str:
        return f"{self.namespace}:stops:{worker}"

    def ticket_list(self, model: str) -> str:
        """The Celery queue that the model's workers consume."""
        return f"{self.namespace}.run.{model}"

    @property
    def submit_list(self) -> str:
        """The Celery queue that any Celery program may send `quill.generate` to."""
        return f"{self.namespace}.submit"
