"""The least that a FastAPI endpoint can do for a job: read the JSON, call the store once, answer.

`python -m benchmarks.bare_gateway`, set by BENCH_REDIS_URL and BENCH_PORT; served as our gateway is.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

_ADMIT = """
redis.call('HSET', KEYS[1], 'state', 'queued', 'request', ARGV[1])
return redis.call('LPUSH', KEYS[2], KEYS[1])
"""


def create_app(url: str) -> FastAPI:
    client: Any = redis.asyncio.Redis.from_url(url)
    admit_sha = ""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        nonlocal admit_sha
        admit_sha = await client.script_load(_ADMIT)
        yield
        await client.aclose()

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/jobs")
    async def submit(request: Request) -> JSONResponse:
        wanted = json.loads(await request.body())
        job_id = secrets.token_hex(8)
        position = await client.evalsha(admit_sha, 2, f"bare:{job_id}", "bare:queue", wanted["prompt"])
        return JSONResponse({"id": job_id, "position": position}, 202)

    return app


def main() -> None:
    app = create_app(os.environ["BENCH_REDIS_URL"])
    uvicorn.run(
        app, port=int(os.environ["BENCH_PORT"]), access_log=False, log_config=None, server_header=False
    )


if __name__ == "__main__":
    main()
