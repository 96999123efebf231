"""Endpoints as values: what checks and answers a request, and describes itself in the OpenAPI document."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rivers.ui.errors import RequestError, response_of
from rivers.ui.schemas import Empty

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from rivers.ui.backend import Backend

MAX_BODY = 64 * 1024
"""Maximum size of the body of a request, in bytes."""

BODY_SECONDS = 10.0
"""Maximum time in which the body of a request arrives."""

MAX_CALLS = 8
"""Maximum number of requests that read or change the storage at once; others wait for their turn."""


@dataclass(frozen=True)
class Call:
    """A request that has been checked.

    Attributes:
        backend: What it is answered from.
        path: The parameters in its path.
        query: Its query.
        body: Its body.
        request: The request itself.
    """

    backend: Backend
    path: dict[str, str]
    query: Any
    body: Any
    request: Request


@dataclass(frozen=True)
class Endpoint:
    """A method and a path, with the function that answers.

    Attributes:
        method: The method.
        path: The path below `/api/v1`.
        summary: What it does, in a line.
        answer: Returns the response, or what becomes its JSON. It is called in a thread.
        query: The parameters of the query.
        body: The body; `None`: it is not read.
        media: Media types of the response, besides that of errors.
        status: Status of the response.
        needs_module: Whether the server has to know the assets.
    """

    method: str
    path: str
    summary: str
    answer: Callable[[Call], Any]
    query: type[BaseModel] = Empty
    body: type[BaseModel] | None = None
    media: tuple[str, ...] = ("application/json",)
    status: int = 200
    needs_module: bool = False

    def route(self, prefix: str, backend: Backend, limiter: anyio.CapacityLimiter) -> Route:
        """Returns the route that answers requests.

        Args:
            prefix: What the path begins with.
            backend: What requests are answered from.
            limiter: Limits the number of calls at once.
        """

        async def handle(request: Request) -> Response:
            try:
                query = _checked(self.query, _query_of(request, self.query))
                body = None
                if self.body is not None:
                    body = _checked(self.body, await _body_of(request))
                call = Call(backend, dict(request.path_params), query, body, request)
                answer = await anyio.to_thread.run_sync(
                    self.answer, call, limiter=limiter, abandon_on_cancel=True
                )
            except ClientDisconnect:
                raise
            except Exception as error:  # noqa: BLE001  (one request's failure never ends the server)
                return response_of(error)
            if isinstance(answer, Response):
                return answer
            if answer is None:
                return Response(status_code=204)
            return JSONResponse(answer, status_code=self.status)

        return Route(prefix + self.path, handle, methods=[self.method], name=self.operation_id)

    @property
    def operation_id(self) -> str:
        """The name of the operation: that of its function."""
        return self.answer.__name__


def _query_of(request: Request, model: type[BaseModel]) -> dict[str, Any]:
    """Returns the parameters of a query; those that the model declares as lists may be repeated."""
    given: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        field = model.model_fields.get(name)
        if field is not None and isinstance(field.default, list):
            given.setdefault(name, []).append(value)
        elif name in given:
            raise RequestError(400, f"the parameter {name[:100]!r} is given twice")
        else:
            given[name] = value
    return given


async def _body_of(request: Request) -> Any:
    """Returns the JSON of a request's body.

    Raises:
        RequestError: It is too large, arrives too slowly, or is no JSON.
    """
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdecimal() or int(length[:10]) > MAX_BODY:
        raise RequestError(413, f"a body has at most {MAX_BODY:,} bytes")
    body = bytearray()
    try:
        with anyio.fail_after(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise RequestError(413, f"a body has at most {MAX_BODY:,} bytes")
    except TimeoutError:
        raise RequestError(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None
    if not body:
        return {}
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise RequestError(400, "the body is no JSON") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _checked(model: type[BaseModel], given: Any) -> BaseModel:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:200]
        text = f"{where}: {first['msg']}" if where else first["msg"]
        raise RequestError(400, text) from None


def openapi(endpoints: list[Endpoint], prefix: str, version: str) -> dict[str, Any]:
    """Returns the OpenAPI document of endpoints.

    Args:
        endpoints: The endpoints.
        prefix: What their paths begin with.
        version: Version of the package.
    """
    schemas: dict[str, Any] = {
        "Error": {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {
                    "type": "object",
                    "required": ["type", "message"],
                    "properties": {
                        "type": {"type": "string"},
                        "message": {"type": "string"},
                        "remedy": {"type": "array", "items": {"type": "string"}},
                    },
                }
            },
        }
    }
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation = {
            "operationId": endpoint.operation_id,
            "summary": endpoint.summary,
            "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint)],
            "responses": _responses(endpoint),
        }
        if endpoint.body is not None:
            operation["requestBody"] = {
                "content": {"application/json": {"schema": _schema(endpoint.body, schemas)}}
            }
        paths.setdefault(prefix + endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "rivers", "version": version},
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "rivers_session_PORT"},
            },
        },
    }


def _schema(model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    names = [part[1:-1].partition(":")[0] for part in endpoint.path.split("/") if part[:1] == "{"]
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    schema = endpoint.query.model_json_schema()
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": own}
        | ({"explode": True, "style": "form"} if own.get("type") == "array" else {})
        for name, own in schema.get("properties", {}).items()
    ]


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    error = {
        "description": "The request was refused, or failed.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    responses: dict[str, Any] = {"default": error}
    if endpoint.status == 204:  # noqa: PLR2004
        responses["204"] = {"description": "Done."}
    else:
        content: dict[str, Any] = {media: {} for media in endpoint.media}
        responses[str(endpoint.status)] = {"description": endpoint.summary, "content": content}
    if "application/vnd.rivers.cells" in endpoint.media:
        responses["304"] = {"description": "Nothing has changed since the ETag that was sent."}
    return responses
