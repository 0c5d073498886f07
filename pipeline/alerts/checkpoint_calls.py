"""The calls about checkpoints: their reports, and the list of them."""

from __future__ import annotations

from typing import Final

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.auth import CALLER
from pipeline.alerts.calls import Calls, Context, invalid
from pipeline.convert_status import MOST_PROBLEMS
from pipeline.convert_values import timestamp_from_us

_LONGEST_NAME: Final = 64


class CheckpointCalls(Calls):
    """ReportStatus and ListCheckpoints; what they promise stands in alerts.proto."""

    async def ReportStatus(  # noqa: N802, D102
        self, request: pb.ReportStatusRequest, context: Context
    ) -> pb.ReportStatusResponse:
        report = request.report
        if not 0 < len(report.checkpoint) <= _LONGEST_NAME:
            raise invalid("report.checkpoint", f"must have 1 to {_LONGEST_NAME} characters")
        if "\0" in report.checkpoint:
            raise invalid("report.checkpoint", "must not hold the character NUL")
        if not report.HasField("reported_at"):
            raise invalid("report.reported_at", "is missing")
        if len(report.problems) > MOST_PROBLEMS:
            raise invalid("report.problems", f"must be at most {MOST_PROBLEMS}")
        CALLER.get().check_publishes(report.checkpoint)
        if not self.presence.has_room(report.checkpoint):
            raise invalid("report.checkpoint", "too many checkpoints are known here")
        self.presence.report(report)
        return pb.ReportStatusResponse(received_at=timestamp_from_us(self.now_us()))

    async def ListCheckpoints(  # noqa: N802, D102
        self, request: pb.ListCheckpointsRequest, context: Context
    ) -> pb.ListCheckpointsResponse:
        return pb.ListCheckpointsResponse(
            checkpoints=[
                status
                for status in self.presence.statuses()
                if not request.states or status.state in request.states
            ]
        )
