"""The HTTP application: moto's dispatcher for what is covered, a refusal for what is not, and our own pages.

``/_embedded/health`` and ``/_embedded/status`` answer GET; ``/_embedded/functions`` takes a function's
description by POST and removes one by ``DELETE /_embedded/functions/NAME``. No bucket can have that name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Request, Response

from retail_analytics.embedded.functions import FunctionSpec, FunctionSpecError

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTROL_PREFIX = "/_embedded/"
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


class Application:
    """The WSGI application."""

    def __init__(self, cloud: Controlled) -> None:
        self._cloud = cloud
        self._aws = DomainDispatcherApplication(_backend_application)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        if str(environ.get("PATH_INFO", "")).startswith(CONTROL_PREFIX):
            return self._control(Request(environ))(environ, start_response)
        answer: Iterable[bytes] = self._aws(environ, start_response)
        return answer

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
        if request.method == "DELETE" and page.startswith("functions/"):
            removed = self._cloud.remove_function(page.removeprefix("functions/"))
            return _json({"removed": removed}, 200 if removed else 404)
        return _json({"error": f"no page {request.method} {request.path}"}, 404)


def _json(document: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(document), status=status, mimetype="application/json")


def _backend_application(service: Any) -> Any:
    if service in COVERED_SERVICES:
        return create_backend_app(service)
    return _Refusal(str(service))


class _Refusal:
    """Answers every request for a service that is not covered."""

    def __init__(self, service: str) -> None:
        covered = ", ".join(sorted(COVERED_SERVICES))
        self._message = f"The service {service} is not part of the embedded cloud; it covers {covered}."

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        content_type = str(environ.get("CONTENT_TYPE", ""))
        if "json" in content_type or "HTTP_X_AMZ_TARGET" in environ:
            body = json.dumps({"__type": "NotImplementedException", "message": self._message})
            response = Response(body, 501, content_type="application/x-amz-json-1.1")
        else:
            body = (
                "<ErrorResponse><Error><Code>NotImplemented</Code>"
                f"<Message>{escape(self._message)}</Message></Error></ErrorResponse>"
            )
            response = Response(body, 501, content_type="text/xml")
        return response(environ, start_response)
