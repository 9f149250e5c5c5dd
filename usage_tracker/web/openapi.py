"""The OpenAPI document, made of the table of operations: https://spec.openapis.org/oas/v3.1.0."""

from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from usage_tracker.cli.plain import json_text
from usage_tracker.web.operations import OPERATIONS, Operation
from usage_tracker.web.parameters import Parameter
from usage_tracker.web.site import root_of

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, in a sentence."},
        "parameter": {"type": "string", "description": "Which parameter it is about."},
    },
}
REFERENCE = "#/components/schemas/{name}"


async def show_openapi(request: Request) -> Response:
    text = json_text({**document(), "servers": [{"url": root_of(request) or "/"}]})
    return Response(text, media_type="application/json")


@cache
def document() -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    bodies = [operation.body for operation in OPERATIONS if operation.body is not None]
    schemas, components = msgspec.json.schema_components(bodies, ref_template=REFERENCE)
    body_of = dict(zip(map(id, bodies), schemas, strict=True))
    for operation in OPERATIONS:
        described = describe(operation)
        if operation.body is not None:
            content = {"application/json": {"schema": body_of[id(operation.body)]}}
            described["requestBody"] = {"required": True, "content": content}
        paths.setdefault(operation.path, {})[operation.method] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "usage_tracker",
            "version": "1",
            "description": "What every call to a language model used and cost. Money is US dollars, as decimal text.",
        },
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
        "tags": [
            {"name": "usage", "description": "Questions to the store."},
            {"name": "litellm", "description": "The LiteLLM proxy's addresses for spend, in its shapes."},
        ],
    }


def describe(operation: Operation) -> dict[str, Any]:
    refusals = {
        "400": "The address can't be understood.",
        "401": "No token, or an unknown one.",
        "403": "The token may not do this.",
        "429": "Too many failed logins.",
        "503": "The store is away, or nothing was recorded yet.",
        **({"404": "There is no such thing."} if operation.missing else {}),
        **(
            {"413": "The body is too large.", "415": "The body is no JSON.", "422": "It can't be stored as it is."}
            if operation.body is not None
            else {}
        ),
    }
    good = {
        "description": "The answer.",
        "content": {media: {"schema": {"type": kind}} for media, kind in operation.answers.items()},
    }
    problem = {"application/problem+json": {"schema": {"$ref": REFERENCE.format(name="Problem")}}}
    return {
        "operationId": operation.method + operation.path.replace("{", "").replace("}", "").replace("/", "_"),
        "summary": operation.summary,
        "tags": [operation.group],
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "description": meaning, "schema": {"type": "string"}}
                for name, meaning in operation.in_path.items()
            ),
            *map(describe_parameter, operation.parameters),
        ],
        "responses": {
            "200": good,
            **{status: {"description": words, "content": problem} for status, words in sorted(refusals.items())},
        },
    }


def describe_parameter(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.schema)
    if parameter.default is not None:
        schema["default"] = parameter.default
    found = {
        "name": parameter.name,
        "in": "query",
        "required": False,
        "description": parameter.meaning,
        "schema": {"type": "array", "items": schema} if parameter.many else schema,
    }
    return {**found, "style": "form", "explode": True} if parameter.many else found
