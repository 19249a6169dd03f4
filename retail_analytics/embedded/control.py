"""The HTTP application: moto's dispatcher for what is covered, a refusal for what is not, and our own pages.

``/_embedded/health`` and ``/_embedded/status`` answer GET; ``/_embedded/functions`` takes a function's
description by POST and removes one by ``DELETE /_embedded/functions/NAME``; POST to ``/_embedded/snapshot``
keeps the state as it is now. No bucket can have that name.
"""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any, Protocol
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Request, Response

from retail_analytics.embedded.functions import FunctionSpec, FunctionSpecError
from retail_analytics.embedded.state.folder import SnapshotError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from retail_analytics.embedded.gate import Gate

LOG = logging.getLogger(__name__)
CONTROL_PREFIX = "/_embedded/"
_SELF_PARSED = (".PutRecords", ".GetRecords", ".PutRecordBatch")
# Everything else of moto pretends in ways that were not looked at.
COVERED_SERVICES = frozenset(
    [
        "athena",
        "cloudwatch",
        "events",
        "firehose",
        "glue",
        "iam",
        "kinesis",
        "logs",
        "moto_api",
        "s3",
        "s3control",
        "sns",
        "sqs",
        "ssm",
        "sts",
    ]
)


class Controlled(Protocol):
    """What the control pages act on."""

    def status(self) -> dict[str, Any]:
        """What runs and how it fares."""

    def add_function(self, spec: FunctionSpec) -> None:
        """Put a function on its stream."""

    def remove_function(self, name: str) -> bool:
        """Take a function away."""

    def keep_now(self) -> bool:
        """Take a snapshot, if anything changed since the last."""


class _Dispatcher(DomainDispatcherApplication):
    """moto's dispatcher, which looks through moto's folders on every request, made to remember."""

    def __init__(self) -> None:
        super().__init__(_backend_application)
        self._backends: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """The backend that serves a host."""
        if host not in self._backends:
            self._backends[host] = super().get_backend_for_host(host)
        return self._backends[host]


class Application:
    """The WSGI application."""

    def __init__(self, cloud: Controlled, gate: Gate | None = None) -> None:
        self._cloud = cloud
        self._gate = gate
        self._aws = _Dispatcher()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        if str(environ.get("PATH_INFO", "")).startswith(CONTROL_PREFIX):
            return self._control(Request(environ))(environ, start_response)
        if self._gate is None:
            return self._answer(environ, start_response)
        with self._gate.passing(environ):
            return self._answer(environ, start_response)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            _check_json(environ)
            answer: Iterable[bytes] = self._aws(environ, start_response)
        except NotImplementedError as error:
            response = refusal(environ, 501, "NotImplementedException", f"{error} in the embedded cloud.")
        except json.JSONDecodeError as error:
            response = refusal(environ, 400, "SerializationException", f"The request is no JSON: {error}.")
        except Exception as error:
            LOG.exception("%s %s failed", environ.get("REQUEST_METHOD"), _operation(environ))
            response = refusal(environ, 500, "InternalFailure", f"{type(error).__name__}: {error}")
        else:
            return answer
        return response(environ, start_response)

    def _control(self, request: Request) -> Response:
        page = request.path.removeprefix(CONTROL_PREFIX)
        if request.method == "GET" and page == "health":
            return _json({"status": "ok"})
        if request.method == "GET" and page == "status":
            return _json(self._cloud.status())
        if request.method == "POST" and page == "functions":
            try:
                self._cloud.add_function(FunctionSpec.from_json(request.get_json()))
            except FunctionSpecError as error:
                return _json({"error": str(error)}, 400)
            return _json({"status": "added"})
        if request.method == "POST" and page == "snapshot":
            try:
                return _json({"taken": self._cloud.keep_now()})
            except SnapshotError as error:
                return _json({"error": str(error)}, 409)
        if request.method == "DELETE" and page.startswith("functions/"):
            removed = self._cloud.remove_function(page.removeprefix("functions/"))
            return _json({"removed": removed}, 200 if removed else 404)
        return _json({"error": f"no page {request.method} {request.path}"}, 404)


def _check_json(environ: dict[str, Any]) -> None:
    """Refuse a body that is no JSON object, which moto may take for an empty one.

    Raises:
        json.JSONDecodeError: It is none.
    """
    target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
    # The operations of ``fast_answers.py`` carry much and parse it themselves.
    if "json" not in str(environ.get("CONTENT_TYPE", "")) or not target or target.endswith(_SELF_PARSED):
        return
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    if not isinstance(json.loads(body), dict):
        raise json.JSONDecodeError("Expecting an object", body.decode(errors="replace"), 0)


def _json(document: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(document), status=status, mimetype="application/json")


def _operation(environ: dict[str, Any]) -> str:
    return str(environ.get("HTTP_X_AMZ_TARGET") or environ.get("PATH_INFO"))


def refusal(environ: dict[str, Any], status: int, code: str, message: str) -> Response:
    """An error in the form that the request's protocol has for one."""
    if "json" in str(environ.get("CONTENT_TYPE", "")) or "HTTP_X_AMZ_TARGET" in environ:
        body = json.dumps({"__type": code, "message": message})
        return Response(body, status, content_type="application/x-amz-json-1.1")
    error = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    if "x-www-form-urlencoded" in str(environ.get("CONTENT_TYPE", "")):
        error = f"<ErrorResponse>{error}</ErrorResponse>"
    return Response(error, status, content_type="text/xml")


def _backend_application(service: Any) -> Any:
    if service in COVERED_SERVICES:
        return create_backend_app(service)
    return _Refusal(str(service))


class _Refusal:
    """Answers every request for a service that is not covered."""

    def __init__(self, service: str) -> None:
        covered = ", ".join(sorted(COVERED_SERVICES - {"moto_api"}))
        self._message = f"The service {service} is not part of the embedded cloud; it covers {covered}."

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        response = refusal(environ, 501, "NotImplementedException", self._message)
        return response(environ, start_response)
