"""What /openapi.json says beyond the routes' signatures: bodies are parsed, and errors answered, by hand."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from gateway.problems import MEDIA_TYPE, Problem
from quill.job import JobRequest

_PATH = "/openapi.json"
_REFS = "#/components/schemas/{model}"


def _content(media_type: str, model: type[BaseModel]) -> dict[str, Any]:
    return {"content": {media_type: {"schema": {"$ref": _REFS.format(model=model.__name__)}}}}


#: Every error of every route looks alike.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {"description": "What went wrong (RFC 9457)."} | _content(MEDIA_TYPE, Problem)
}
#: Bodies are read by hand, so FastAPI does not know their models.
_BODIES: dict[str, type[BaseModel]] = {}


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """For a route's `openapi_extra`."""
    _BODIES[model.__name__] = model
    return {"requestBody": {"required": True} | _content("application/json", model)}


JOB_REQUEST_BODY = body_of(JobRequest)


def serve_contract(app: FastAPI) -> None:
    """Made and written once: anybody may ask, and to make it takes 40 ms."""
    written = b""

    async def told(_: Request) -> Response:
        nonlocal written
        written = written or json.dumps(_openapi_of(app), ensure_ascii=False, separators=(",", ":")).encode()
        return Response(written, media_type="application/json")

    app.add_route(_PATH, told, include_in_schema=False)


def _openapi_of(app: FastAPI) -> dict[str, Any]:
    """With the schemas that only the references above know of."""
    contract = FastAPI.openapi(app)
    schemas = contract["components"]["schemas"]
    models: list[type[BaseModel]] = [*_BODIES.values(), Problem]
    for model in models:
        schema = model.model_json_schema(ref_template=_REFS)
        schemas |= schema.pop("$defs", {}) | {model.__name__: schema}
    return contract
