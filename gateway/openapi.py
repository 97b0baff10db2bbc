"""The OpenAPI document of the function API, made from the declarations."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.prefer import WAIT_AT_MOST_SECONDS, WAIT_SECONDS
from runtime.function import Function
from runtime.registry import Registry

PROBLEMS = {
    "400": "The body is not JSON, or a header is malformed",
    "401": "The token is missing or not ours",
    "404": "Unknown function or shop",
    "409": "The idempotency key was used for something else",
    "413": "Over one megabyte",
    "415": "Not JSON",
    "422": "The event does not fit; `errors` names the fields",
    "424": "The invocation failed for good or was cancelled",
    "503": "Postgres does not answer; repeat after Retry-After",
    "504": "Not finished in time; it goes on, ask at Location",
}


async def document(request: Request) -> Response:
    """Return the document."""
    services = request.app.state.services
    if not hasattr(request.app.state, "openapi"):  # declarations do not change while we run
        request.app.state.openapi = describe(services.registry, services.settings.app_version)
    return JSONResponse(request.app.state.openapi, headers={"Cache-Control": "no-cache"})


routes = [Route("/api/openapi.json", document, methods=["GET"])]


def describe(registry: Registry, version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of all functions."""
    schemas: dict[str, Any] = {"Problem": PROBLEM, "Invocation": INVOCATION}
    paths: dict[str, Any] = {}
    for function in registry:
        schema = function.event_type.model_json_schema(
            ref_template="#/components/schemas/{model}", mode="validation"
        )
        for name, nested in schema.pop("$defs", {}).items():
            schemas.setdefault(name, nested)
        schemas[function.event_type.__name__] = schema
        paths[f"/functions/{function.name}"] = {"post": _operation(function)}
        paths[f"/functions/{function.name}/invocations/{{id}}"] = {"get": _look(function)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Nexus functions",
            "version": version,
            "description": "Private: served on Caddy's private site, with INTERNAL_API_TOKEN.",
        },
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    }


def _operation(function: Function[Any]) -> dict[str, Any]:
    event = function.event_type
    return {
        "operationId": function.name,
        "summary": function.summary,
        "description": event.__doc__ or "",
        "parameters": [
            _header(
                "Prefer",
                f"`wait=N` seconds ({WAIT_SECONDS:.0f} by default, {WAIT_AT_MOST_SECONDS:.0f} at"
                " most); `respond-async`: 202 at once",
            ),
            _header("Idempotency-Key", "The same key and event again is the same invocation"),
            _header(
                "Nexus-Delay",
                "Seconds before it may start; without `Prefer: wait` the answer is 202 then",
            ),
            _header(
                "Nexus-At",
                "The same as a time with its zone, RFC 3339: `2026-11-28T20:00:00-03:00`; one that"
                " has passed is now. Not beside Nexus-Delay",
            ),
            _header("Nexus-Shop", "The shop's name; none: the installation itself"),
        ],
        "requestBody": {
            "required": any(field.is_required() for field in event.model_fields.values()),
            "content": {
                "application/json": {"schema": {"$ref": f"#/components/schemas/{event.__name__}"}}
            },
        },
        "responses": {
            "200": {
                "description": "The result; or, for who accepts it, the stream",
                "content": {"application/json": {"schema": {}}, **STREAM},
            },
            "202": {"description": "Stored; ask at Location"},
            **{status: _problem(text) for status, text in PROBLEMS.items()},
        },
    }


def _look(function: Function[Any]) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Invocation"}
    return {
        "operationId": f"{function.name}_invocation",
        "summary": f"How an invocation of {function.name} does",
        "parameters": [
            {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
            _header("Prefer", "`wait=N`: answer once it has ended, or N seconds later"),
            _header("Last-Event-ID", "Of a stream: go on behind this event"),
        ],
        "responses": {
            "200": {
                "description": "The invocation; or, for who accepts it, its stream",
                "content": {"application/json": {"schema": schema}, **STREAM},
            },
            "401": _problem(PROBLEMS["401"]),
            "404": _problem("No such invocation of this function"),
        },
    }


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": schema}},
    }


STREAM = {
    "text/event-stream": {
        "schema": {
            "type": "string",
            "description": "Unnamed events are what it emits, as JSON; `restart`: forget what came"
            " before; `done`, `dead` or `cancelled` is the last; `reconnect`: come back at once",
        }
    }
}
PROBLEM = {
    "type": "object",
    "description": "Problem details, RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "remedy": {"type": "string"},
        "request_id": {"type": "string"},
        "invocation": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
INVOCATION = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "function": {"type": "string"},
        "state": {"enum": ["waiting", "running", "done", "dead", "cancelled"]},
        "created_at": {"type": "string", "format": "date-time"},
        "done_at": {"type": ["string", "null"], "format": "date-time"},
        "attempts": {"type": "integer"},
        "result": {},
        "error": {"type": ["string", "null"]},
    },
}
