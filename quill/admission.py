"""From a request to a job in the store, without a gateway: known model, price in tokens, admit."""

from __future__ import annotations

import json
import logging
import threading
import zlib

from redis.exceptions import RedisError

from quill import ids
from quill.errors import ModelNotFound, QuillError
from quill.job import JobRequest
from quill.memory import remember
from quill.pricing import CountTokens, ModelFacts, Price, estimate, measure, surely_fits, tokenizer_count
from quill.prompts import PromptPresets
from quill.settings import AdmissionSettings
from quill.store import admission
from quill.store.admission import Admission, Submission
from quill.store.run import Store, translated

#: Not structlog, which loads more than a producer in somebody else's service should.
_log = logging.getLogger(__name__)

_TOKENIZERS_KEPT = 8


class Admitter:
    """Threads may share one."""

    def __init__(self, store: Store, settings: AdmissionSettings) -> None:
        self._store = store
        self._settings = settings
        self._tokenizers = Tokenizers(store)
        self._presets = PromptPresets.load(settings.presets)

    def admit(
        self,
        tenant: str,
        request: JobRequest,
        *,
        job_id: str,
        idempotency_digest: str = "",
        celery_id: str = "",
    ) -> Admission:
        """Raises ``InvalidRequest`` for a preset that there is not, ``ModelNotFound``,
        ``ContextLengthExceeded``, ``TokenizersMissing``, ``IdempotencyConflict`` or ``Unavailable``."""
        settings = self._settings
        asked, request = request, self._presets.apply(request)
        model = request.model or settings.default_model
        price = self._price(request, self._facts(model))
        submission = Submission(
            job_id=job_id,
            tenant=tenant,
            model=model,
            request=request,
            cost_tokens=price.cost_tokens,
            prompt_tokens=price.prompt_tokens,
            result_ttl_s=settings.result_ttl_s,
            max_queued_jobs=settings.max_queued_jobs,
            max_running_jobs=settings.max_running_jobs,
            fingerprint=fingerprint(asked) if idempotency_digest else "-",
            idempotency_digest=idempotency_digest,
            celery_id=celery_id,
        )
        return self._store.run(admission.admit(submission))

    def _facts(self, model: str) -> ModelFacts | None:
        """What the model's workers published; ``None`` for a model that is known without any.

        As at the gateway: a name that no worker has ever served, and no setting names, is a mistake of the
        caller's, who would wait for ever.
        """
        try:
            fields = self._store.client.hgetall(self._store.keys.model(model))
        except RedisError as error:
            raise translated(error) from error
        facts = ModelFacts.of(fields)  # type: ignore[arg-type]  # the client does not decode
        if facts is None and model != self._settings.default_model and model not in self._settings.models:
            raise ModelNotFound
        return facts

    def _price(self, request: JobRequest, facts: ModelFacts | None) -> Price:
        if facts is None or surely_fits(request, facts):
            return estimate(request, facts)
        count = self._tokenizers.counter(facts.tokenizer)
        return measure(request, facts, count)


class Tokenizers:
    """The published tokenizers, each read and parsed once: a large one takes half a second."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counters: dict[str, CountTokens] = {}
        self._lock = threading.Lock()

    def counter(self, digest: str) -> CountTokens | None:
        """``None`` if there is none that can be read. Raises ``TokenizersMissing`` or ``Unavailable``."""
        with self._lock:
            if digest and digest not in self._counters:
                counter = self._read(digest)
                if counter is None:
                    return None
                remember(self._counters, digest, counter, at_most=_TOKENIZERS_KEPT)
            return self._counters.get(digest)

    def _read(self, digest: str) -> CountTokens | None:
        try:
            packed = self._store.client.get(self._store.keys.tokenizer(digest))
        except RedisError as error:
            raise translated(error) from error
        if not isinstance(packed, bytes):
            return None
        try:
            return tokenizer_count(zlib.decompress(packed))
        except QuillError:
            raise
        except Exception as error:  # the tokenizers library raises nothing more precise
            _log.warning("the published tokenizer %s cannot be read: %s", digest, type(error).__name__)
            return None


def fingerprint(request: JobRequest) -> str:
    """Tells one body from another; the same for every way of writing the same request."""
    asked = request.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return ids.fingerprint(json.dumps(asked, sort_keys=True))
