"""Everything that can be set, read from the environment (`QUILL_*`) or given by the command line."""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from quill.address import SentinelAddress, parse_address
from quill.job import ModelName
from quill.keys import Keys
from quill.limits import Limits

#: A worker may be silent for this long before another attempt may take its jobs over.
LEASE_MS = 8_000
#: How often a worker renews its leases and reports its health.
RENEW_S = 2.0
#: A worker that was silent for this long gets no more tickets.
SILENT_MS = 3_000
#: A sweep that comes later than this after the last one takes nobody's silence as evidence.
PAUSE_MS = 3_000
#: Items that one sweep moves at most, so that no script holds the store for long.
SWEEP_LIMIT = 10

_MINUTE_S, _HOUR_S = 60.0, 3600.0

Namespace = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")]


class Settings(BaseSettings):
    """What both applications and every client of the store share."""

    model_config = SettingsConfigDict(
        env_prefix="QUILL_",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        # What was given may hold a password.
        hide_input_in_errors=True,
    )

    #: Or, where sentinels say who the master is, `sentinel://h1:26379,h2:26379/0?service=NAME`.
    redis_url: str = "redis://127.0.0.1:6379/0"
    #: Every key starts with it, so that two deployments can share a server.
    namespace: Namespace = "quill"
    #: Read and write bound of one call to the store; blocking reads stay below it.
    store_timeout_s: float = Field(default=5.0, gt=0)
    result_ttl_s: float = Field(default=86_400.0, gt=0, description="How long an ended job can be read.")
    max_queued_jobs: int = Field(default=1_000_000, ge=1, description="Waiting jobs of one model at most.")
    max_running_jobs: int | None = Field(
        default=None, ge=1, description="Of one tenant at once; others wait."
    )
    #: What happens at the start when the store may lose jobs (no append-only file, eviction).
    store_checks: Literal["refuse", "warn", "off"] = "warn"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    #: Keys the digests that stand for prompts and outputs in logs, so that they cannot be guessed from them.
    log_key: SecretStr = SecretStr("")

    @property
    def keys(self) -> Keys:
        return Keys(self.namespace)

    @property
    def sentinel(self) -> SentinelAddress | None:
        return parse_address(self.redis_url)

    @field_validator("redis_url")
    @classmethod
    def is_an_address(cls, url: str) -> str:
        parse_address(url)
        return url


class AdmissionSettings(Settings):
    """What everybody who admits jobs shares: the gateway, the intake and a producer beside the store."""

    #: The model of a request that names none.
    default_model: ModelName = "quill-tiny"
    #: Models that may be asked for before any worker has ever served them.
    models: tuple[ModelName, ...] = ()
    #: A folder of prompt presets, one `.toml` each, beside those that come with Quill.
    presets: Path | None = None


class GatewaySettings(AdmissionSettings):
    #: `off`: every caller is the one tenant `local`, without limits. For one's own machine.
    auth: Literal["keys", "off"] = "keys"
    #: Of all tenants together, and of a model's callers; JSON in the environment.
    global_limits: Limits = Limits()
    model_limits: dict[ModelName, Limits] = Field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    #: Long-polls answer after this long at the latest, whatever was asked for.
    max_wait_s: float = Field(default=60.0, gt=0)
    keep_alive_s: float = Field(default=15.0, gt=0, description="Pause between comments on a silent stream.")
    #: From a request's first byte to its last, and to the end of its head. No trickle of bytes extends them.
    receive_s: float = Field(default=30.0, gt=0)
    receive_head_s: float = Field(default=10.0, gt=0)
    #: A client that takes nothing of its answer for so long is dropped.
    write_stall_s: float = Field(default=60.0, gt=0)
    max_header_bytes: int = Field(default=32_768, ge=1024, description="All of a request's together.")
    max_headers: int = Field(default=100, ge=8)
    max_url_bytes: int = Field(default=8_192, ge=256)
    #: Of one process; beyond them a connection is closed at once.
    max_connections: int = Field(default=10_000, ge=1)
    max_connections_per_address: int = Field(
        default=0, ge=0, description="0 is no bound: behind a proxy everybody comes from one address."
    )
    #: Health: above or below these the service is called degraded.
    slow_response_s: float = 10.0
    high_memory_mb: float = 1_000.0
    low_tokens_per_s: float = 5.0
    #: Whether this process delivers webhooks; endpoints can be set up at each.
    webhooks: Literal["on", "off"] = "on"
    #: Before a delivery's second try and each further one (Standard Webhooks 1.0.0); then it is dead.
    webhook_schedule_s: tuple[Annotated[float, Field(ge=0)], ...] = (
        *(5.0, 5 * _MINUTE_S, 30 * _MINUTE_S),
        *(2 * _HOUR_S, 5 * _HOUR_S, 10 * _HOUR_S, 14 * _HOUR_S, 20 * _HOUR_S, 24 * _HOUR_S),
    )
    webhook_timeout_s: float = Field(default=15.0, gt=0, description="Of one try, lookup and all.")
    #: Of an endpoint that failed five times in a row, before its next probe; it grows to ten times that.
    webhook_rest_s: float = Field(default=30.0, gt=0, le=3600)
    #: For receivers inside the deployment. Their networks are named in full, in JSON: `["10.1.0.0/16"]`.
    webhook_allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    webhook_allow_http: bool = False
    #: Beside 443 and 8443, and with http 80 and 8080.
    webhook_ports: tuple[Annotated[int, Field(ge=1, le=65_535)], ...] = ()


class DrainSettings(Settings):
    drain_s: float = Field(
        default=30.0, ge=0, description="What runs when the worker is told to stop has so long to finish."
    )


class SupervisorSettings(DrainSettings):
    #: `0,1`, or `all`; empty for one worker on the CPU.
    gpus: str = ""
    #: GPUs that a worker gets.
    tensor_parallel: int = Field(default=1, ge=1)


#: For a laptop or a small board.
EDGE: dict[str, Any] = {
    "device": "cpu",
    "quantization": "int8",
    "context_tokens": 2048,
    "slots": 4,
    "threads": os.cpu_count() or 1,
}


class WorkerSettings(DrainSettings):
    #: Given by a supervisor, which can then tell the store whose jobs are free when this process dies.
    worker_id: str | None = None
    #: A hub name (`Qwen/Qwen3-0.6B`), a local folder, or `quill-tiny`, which is built in.
    model: str = "quill-tiny"
    #: A commit, tag or branch on the hub; pin one in production.
    revision: str | None = None
    source: Literal["huggingface", "modelscope"] = "huggingface"
    #: The name that callers use; by default the hub name, or the folder's.
    served_model: ModelName | None = None
    engine: Literal["transformers", "vllm", "openai", "simulated"] = "transformers"
    #: `edge` fills what is not set for a small machine: CPU, int8 weights, short context, every core.
    profile: Literal["edge"] | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    slots: int | None = Field(default=None, ge=1, le=1024, description="Jobs at once; from memory if absent.")
    context_tokens: int | None = Field(default=None, ge=16)
    memory_budget_mb: int | None = Field(default=None, ge=1, description="For the cache of keys and values.")
    prefill_chunk_tokens: int = Field(default=256, ge=1)
    #: The worker is replaced if a step of its engine does not end in this time, or in ten times the usual.
    hang_s: float = Field(default=30.0, gt=0)
    #: The worker is replaced if its broker is silent for so long, though the store answers and it has room.
    deaf_s: float = Field(default=15.0, gt=0)
    threads: int | None = Field(default=None, ge=1)
    quantization: Literal["int8", "nf4"] | None = None
    #: Stretches the model's native context; static, so no larger than is needed.
    yarn_factor: float | None = Field(default=None, gt=1.0, le=32.0)
    #: The openai engine's server, up to and with `/v1`, and the model's name there.
    server_url: str = "http://127.0.0.1:8080/v1"
    server_model: str | None = None
    #: A checkpoint (hub name or folder) whose tokenizer and template count prompts before that server does.
    server_tokenizer: str | None = None
    server_api_key: SecretStr | None = None
    #: The openai engine gives an answer up if the server adds nothing to it for so long.
    server_silence_s: float = Field(default=120.0, gt=0)
    #: The vllm engine's GPUs for one model, and its share of their memory.
    tensor_parallel: int = Field(default=1, ge=1)
    gpu_memory_share: float = Field(default=0.9, gt=0, le=1)
    #: The simulated engine's speed.
    simulated_step_s: float = Field(default=0.02, ge=0)
    simulated_prefill_s: float = Field(default=0.0, ge=0, description="Seconds a prompt token.")
    #: The pause before a job's n-th retry is drawn from 0 to `retry_base_s` * 2^(n-1),
    #: at most `retry_pause_s`.
    retry_base_s: float = Field(default=1.0, ge=0)
    retry_pause_s: float = Field(default=60.0, ge=0)
    #: How often a streaming job's new text is written out.
    flush_s: float = Field(default=0.05, gt=0)

    @model_validator(mode="before")
    @classmethod
    def fills_in_the_profile(cls, given: dict[str, Any]) -> dict[str, Any]:
        return EDGE | given if given.get("profile") == "edge" else given

    @property
    def served_name(self) -> str:
        if self.served_model:
            return self.served_model
        path = Path(self.model)
        return path.name if path.is_dir() else self.model


class IntakeSettings(AdmissionSettings):
    #: Signs the tenant's header on messages of stock Celery programs. Without it every message is `local`'s.
    intake_secret: SecretStr | None = None
    #: A message whose intake died comes back after this long.
    visibility_timeout_s: float = Field(default=10.0, gt=0)
