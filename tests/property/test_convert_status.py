"""Reports and states of checkpoints: to protobuf and back is the identity."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.convert_status import (
    LONGEST_PROBLEM,
    MOST_PROBLEMS,
    report_from_pb,
    report_to_pb,
    status_from_pb,
    status_to_pb,
)
from pipeline.status import CheckpointReport, CheckpointState, CheckpointStatus

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
MOMENTS = st.datetimes(
    datetime(2000, 1, 1),
    datetime(2100, 1, 1),
    timezones=st.just(UTC),
)
SECONDS = st.floats(0, 1e9)
REPORTS = st.builds(
    CheckpointReport,
    checkpoint=TEXT,
    reported_at=MOMENTS,
    started_at=MOMENTS,
    version=TEXT,
    waiting_hits=st.integers(0, 2**40),
    oldest_waiting_s=st.none() | SECONDS,
    list_version=st.none() | st.integers(0, 2**40),
    list_age_s=st.none() | SECONDS,
    problems=st.dictionaries(TEXT, TEXT, max_size=5),
)
STATUSES = st.builds(
    CheckpointStatus,
    checkpoint=TEXT,
    state=st.sampled_from(CheckpointState),
    since=MOMENTS,
    last_seen_at=st.none() | MOMENTS,
    lag_s=st.none() | SECONDS,
    clock_ahead_s=st.none() | st.floats(-1e9, 1e9),
    report=st.none() | REPORTS,
)


@given(report=REPORTS)
def test_a_report_comes_back_as_it_was(report: CheckpointReport) -> None:
    assert report_from_pb(report_to_pb(report)) == report


@given(status=STATUSES)
def test_a_status_comes_back_as_it_was(status: CheckpointStatus) -> None:
    sent = status_to_pb(status).SerializeToString()
    assert status_from_pb(pb.CheckpointStatus.FromString(sent)) == status


@given(problems=st.dictionaries(TEXT, st.text(min_size=300, max_size=400), max_size=40))
def test_a_report_stays_small_however_bad_things_are(problems: dict[str, str]) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    sent = report_to_pb(CheckpointReport("north", moment, moment, "1", problems=problems))
    assert len(sent.problems) <= MOST_PROBLEMS
    assert all(len(one.message) <= LONGEST_PROBLEM for one in sent.problems)


def test_a_state_of_a_newer_service_is_taken_for_the_worse() -> None:
    message = pb.CheckpointStatus(checkpoint="north")
    message.state = 99
    assert status_from_pb(message).state is CheckpointState.SILENT
