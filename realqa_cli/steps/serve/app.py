"""The HTTP interface: endpoints, statuses and the OpenAPI description, without a socket.

A request with one photo is answered with its record. The status is 200, or says what kind of error the record holds
(`STATUS_OF_ERROR`). A request with several photos is answered with `{"records": [...]}` and the status 200, whatever
the records hold.
"""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from realqa_cli import __version__
from realqa_cli.errors import UsageError, one_line
from realqa_cli.io.records import ErrorField, LabelRecord, Record, ScoreRecord
from realqa_cli.steps.serve.admission import Admission, BodyReader
from realqa_cli.steps.serve.batch_queue import BatchQueue
from realqa_cli.steps.serve.metrics import CONTENT_TYPE_LATEST, ServeMetrics
from realqa_cli.steps.serve.request_items import RequestError, RequestItems, items_of_form, items_of_json
from realqa_cli.steps.serve.settings import ServeSettings

log = logging.getLogger("realqa")

STATUS_OF_ERROR = {
    "record": 400,
    "forbidden": 403,
    "missing": 404,
    "too-large": 413,
    "unsupported": 415,
    "video": 415,
    "model": 500,
    "unparsed": 500,
}
"""The status for a single photo by the `error.type` of its record; 422 for other types, such as broken and empty."""
OTHER_ERROR = 422

RECORD_OF_TASK: dict[str, type[Record]] = {"score": ScoreRecord, "self-label": LabelRecord}
_SUMMARY = {"score": "The score of photos, as realqa score gives it", "self-label": "Their ten attributes"}
_IMAGE = "A photo as data URI (data:image/jpeg;base64,...), or the path of a file below --root."
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": {"type": "string", "format": "binary", "description": "One photo."},
                        "images": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "Several photos, instead of image.",
                        },
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": True,
                    "properties": {
                        "image": {"type": "string", "description": f"{_IMAGE} Other fields pass through."},
                        "video": {"type": "string", "description": "The path of a video below --root."},
                        "images": {
                            "type": "array",
                            "items": {"oneOf": [{"type": "string"}, {"type": "object"}]},
                            "description": "Several of them, as texts or as objects with image or video.",
                        },
                    },
                },
                "example": {"image": "data:image/jpeg;base64,..."},
            },
        },
    }
}


_DESCRIPTION = """Scores of photos, with their whole distribution, as `realqa score` gives them.

A request with one photo is answered with its record; the status is 200, or fits the error in the record. A request
with several photos is answered with `{"records": [...]}` in their order, whatever the records hold."""

_BEARER = HTTPBearer(auto_error=False, description="The key of the server; `Admission` checks it.")
"""Describes the key, so that the page of the interface asks for it."""
_NO_TELEMETRY = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)
"""Whatever the environment says: realqa sends nothing to anyone."""


class ErrorBody(BaseModel):
    """The answer to a request that has no records."""

    error: ErrorField
    """What is wrong. Present: always."""


def make_app(
    queues: Mapping[str, BatchQueue], settings: ServeSettings, admission: Admission, metrics: ServeMetrics
) -> FastAPI:
    """The application. queues: a loaded model for each task."""
    app = FastAPIOffline(
        "/docs", None, title="realqa", version=__version__, description=_DESCRIPTION, telemetry=_NO_TELEMETRY
    )
    started = time.time()
    health = {
        "status": "ok",
        "version": __version__,
        "models": {task: queue.source.manifest.environment.get("model") for task, queue in queues.items()},
        "runs": {task: queue.source.manifest.run for task, queue in queues.items()},
    }

    @app.get("/healthz", summary="Whether the server can answer")
    async def healthz() -> dict[str, Any]:
        return {**health, "seconds": round(time.time() - started, 3)}

    @app.get("/metrics", summary="Counts for Prometheus", response_class=Response)
    async def metrics_text() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(HTTPException)
    async def not_found(request: Request, error: HTTPException) -> Response:
        paths = ", ".join(f"POST /v1/{task}" for task in queues)
        what = f"{request.method} {request.url.path}: {error.detail}; this server has {paths}, and GET /docs"
        return refusal(RequestError(error.status_code, "request", what))

    for task, queue in queues.items():
        _add_task(app, _Endpoint(task, queue, settings, admission, metrics))
    return app


def _add_task(app: FastAPI, endpoint: "_Endpoint") -> None:
    refused: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorBody} for status in (400, 401, 403, 404, 408, 413, 415, 422, 429, 500)
    }
    app.add_api_route(
        f"/v1/{endpoint.task}",
        endpoint.answer,
        methods=["POST"],
        summary=_SUMMARY[endpoint.task],
        operation_id=endpoint.task,
        response_class=Response,
        responses={200: {"model": RECORD_OF_TASK[endpoint.task]}, **refused},
        openapi_extra=_BODY,
        dependencies=[Depends(_BEARER)] if endpoint.settings.api_key_env else [],
    )


class _Endpoint:
    """One of the tasks: reads a request, waits for the records, and writes the answer."""

    def __init__(
        self, task: str, queue: BatchQueue, settings: ServeSettings, admission: Admission, metrics: ServeMetrics
    ) -> None:
        self.task, self._queue = task, queue
        self.settings, self._admission, self._metrics = settings, admission, metrics

    async def answer(self, request: Request) -> Response:
        """The answer to one request, whatever is wrong with it."""
        begin = time.monotonic()
        body = BodyReader(request, self.settings)
        try:
            with self._admission.admit(request, self._queue.seconds_left):
                response = await self._records(request, body)
        except RequestError as error:
            response = refusal(error, close=error.status == 408 or not await body.drain())
        except Exception as error:  # noqa: BLE001 - one request fails, the server goes on
            known = isinstance(error, UsageError)
            what = str(error) if known else f"unexpected {type(error).__name__}: {one_line(error)}"
            log.error("/v1/%s: %s", self.task, what)
            response = refusal(RequestError(500, "model", what))
        self._metrics.requests.labels(self.task, str(response.status_code)).inc()
        self._metrics.seconds.labels(self.task).observe(time.monotonic() - begin)
        return response

    async def _records(self, request: Request, body: BodyReader) -> Response:
        wanted = await self._items(request, body)
        waiting = [asyncio.wrap_future(self._queue.submit(item)) for item in wanted.items]
        records = await asyncio.gather(*waiting)
        self._metrics.count_images(self.task, (record.get("error") is not None for record in records))
        if not wanted.single:
            return _json({"records": records})
        error = records[0].get("error")
        return _json(records[0], 200 if error is None else STATUS_OF_ERROR.get(error["type"], OTHER_ERROR))

    async def _items(self, request: Request, body: BodyReader) -> RequestItems:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            return await items_of_form(request.headers, body.parts(), self.settings.max_images)
        if kind == "application/json":
            data = b"".join([part async for part in body.parts()])
            return await asyncio.to_thread(items_of_json, data, self.settings.root, self.settings.max_images)
        raise RequestError(415, "request", "send multipart/form-data or application/json, and say so in Content-Type")


def refusal(error: RequestError, *, close: bool = False) -> Response:
    """The answer to a request without records. close: whether the connection ends, because of an unread body."""
    headers = {"Connection": "close"} if close else {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return _json({"error": {"type": error.type, "message": str(error)}}, error.status, headers)


def _json(content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """In ASCII, because names of files may hold what UTF-8 cannot."""
    text = json.dumps(content, allow_nan=False)
    return Response(text, status, headers=dict(headers or {}), media_type="application/json")
