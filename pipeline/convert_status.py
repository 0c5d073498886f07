"""Reports and states of checkpoints to protobuf messages and back; see ``convert.py``."""

from __future__ import annotations

from typing import Final

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.convert_values import moment_from_pb, moment_to_pb
from pipeline.status import CheckpointReport, CheckpointState, CheckpointStatus

MOST_PROBLEMS: Final = 30
LONGEST_PROBLEM: Final = 200
"""Characters of one problem's message: a report is small, however bad things are."""


def report_to_pb(report: CheckpointReport) -> pb.CheckpointReport:
    """Convert one report; of its problems at most ``MOST_PROBLEMS``, each cut where it is long."""
    return pb.CheckpointReport(
        checkpoint=report.checkpoint,
        reported_at=moment_to_pb(report.reported_at),
        started_at=moment_to_pb(report.started_at),
        version=report.version,
        waiting_hits=report.waiting_hits,
        oldest_waiting_s=report.oldest_waiting_s,
        list_version=report.list_version,
        list_age_s=report.list_age_s,
        problems=[
            pb.Problem(component=component[:LONGEST_PROBLEM], message=_cut(message))
            for component, message in list(report.problems.items())[:MOST_PROBLEMS]
        ],
    )


def report_from_pb(message: pb.CheckpointReport) -> CheckpointReport:
    """Convert one report message."""
    return CheckpointReport(
        checkpoint=message.checkpoint,
        reported_at=moment_from_pb(message.reported_at),
        started_at=moment_from_pb(message.started_at),
        version=message.version,
        waiting_hits=message.waiting_hits,
        oldest_waiting_s=(
            message.oldest_waiting_s if message.HasField("oldest_waiting_s") else None
        ),
        list_version=message.list_version if message.HasField("list_version") else None,
        list_age_s=message.list_age_s if message.HasField("list_age_s") else None,
        problems={problem.component: problem.message for problem in message.problems},
    )


def status_from_pb(message: pb.CheckpointStatus) -> CheckpointStatus:
    """Convert what a service knows of a checkpoint; a state that we do not know is SILENT."""
    return CheckpointStatus(
        checkpoint=message.checkpoint,
        state=_STATES.get(message.state, CheckpointState.SILENT),
        since=moment_from_pb(message.since),
        last_seen_at=(
            moment_from_pb(message.last_seen_at) if message.HasField("last_seen_at") else None
        ),
        lag_s=message.lag_s if message.HasField("lag_s") else None,
        clock_ahead_s=message.clock_ahead_s if message.HasField("clock_ahead_s") else None,
        report=report_from_pb(message.report) if message.HasField("report") else None,
    )


def status_to_pb(status: CheckpointStatus) -> pb.CheckpointStatus:
    """Convert what a service knows of a checkpoint."""
    return pb.CheckpointStatus(
        checkpoint=status.checkpoint,
        state=state_to_pb(status.state),
        since=moment_to_pb(status.since),
        last_seen_at=None if status.last_seen_at is None else moment_to_pb(status.last_seen_at),
        lag_s=status.lag_s,
        clock_ahead_s=status.clock_ahead_s,
        report=None if status.report is None else report_to_pb(status.report),
    )


def state_to_pb(state: CheckpointState) -> str:
    """The state's name in the .proto, which a message takes for its number."""
    return f"CHECKPOINT_STATE_{state.name}"


_STATES: Final = {pb.CheckpointState.Value(state_to_pb(state)): state for state in CheckpointState}


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST_PROBLEM else message[: LONGEST_PROBLEM - 1] + "…"
