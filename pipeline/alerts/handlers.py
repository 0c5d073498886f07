"""Registers the servicer so that a response that is bytes already goes out as it is.

gRPC's generated code serialises every response anew; an event of the feed is made into bytes once
and sent to hundreds of subscribers.
"""

from __future__ import annotations

from typing import Any

import grpc

from checkpoint.v1 import alerts_pb2_grpc

Handlers = dict[str, Any]


def add_to_server(servicer: alerts_pb2_grpc.AlertsServicer, server: grpc.aio.Server) -> None:
    """Have ``server`` answer the calls of the alert service by ``servicer``."""
    found = _Found()
    alerts_pb2_grpc.add_AlertsServicer_to_server(servicer, found)  # type: ignore[no-untyped-call]
    subscribe = found.handlers["Subscribe"]
    found.handlers["Subscribe"] = subscribe._replace(
        response_serializer=_Ready(subscribe.response_serializer)
    )
    # Older versions of grpc.aio take handlers in this form alone.
    handler = grpc.method_handlers_generic_handler(found.service, found.handlers)
    server.add_generic_rpc_handlers((handler,))


class _Found:
    """Stands in for the server and keeps what the generated code registers."""

    def __init__(self) -> None:
        self.service = ""
        self.handlers: Handlers = {}

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """The same handlers once more."""

    def add_registered_method_handlers(self, service: str, handlers: Handlers) -> None:
        self.service, self.handlers = service, dict(handlers)


class _Ready:
    """Serialises a message, and lets bytes pass."""

    def __init__(self, serialise: Any) -> None:
        self._serialise = serialise

    def __call__(self, response: Any) -> bytes:
        made: bytes = response if isinstance(response, bytes) else self._serialise(response)
        return made
