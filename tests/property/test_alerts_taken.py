"""What the service takes every subscriber can read; what waits for a review; what is counted."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts import stats
from pipeline.alerts.escalation import WaitingAlerts
from pipeline.alerts.feed import FeedEvent
from pipeline.alerts.records import EventKind, StoredAlert, StoredReview
from pipeline.alerts.rules import LARGEST_HIT, fault
from pipeline.convert import hit_from_pb, hit_to_pb
from pipeline.convert_values import timestamp_from_us
from tests.integration.alerts_support import make_hit

WHOLE = hit_to_pb(make_hit(1, jpeg=b"")).SerializeToString()
US = 1_000_000


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=12))
@example([])
def test_a_mutated_hit_is_refused_or_can_be_read(changes: list[tuple[int, int]]) -> None:
    message = bytearray(WHOLE)
    for place, value in changes:
        message[place] = value
    try:
        hit = pb.Hit.FromString(bytes(message))
    except Exception:
        return
    if fault(hit) is None:
        hit_from_pb(hit)


@given(
    st.sampled_from(["occurred_at", "passage.started_at", "entry.expires_at"]),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**31), 2**31 - 1),
)
def test_any_time_is_refused_or_can_be_read(name: str, seconds: int, nanos: int) -> None:
    hit = pb.Hit.FromString(WHOLE)
    inside, _, last = name.rpartition(".")
    stamp = getattr(getattr(hit, inside) if inside else hit, last)
    stamp.seconds, stamp.nanos = seconds, nanos
    refusal = fault(hit)
    if refusal is None:
        hit_from_pb(hit)
    else:
        assert refusal.field == f"hit.{name}"


@given(st.integers(0, 20), st.integers(0, 20), st.binary(max_size=200), st.text(max_size=20))
def test_any_distribution_is_refused_or_can_be_read(
    slots: int, characters: int, values: bytes, alphabet: str
) -> None:
    hit = pb.Hit.FromString(WHOLE)
    hit.passage.char_probs.CopyFrom(
        pb.CharacterProbabilities(
            slots=slots, characters=characters, values=values, alphabet=alphabet
        )
    )
    refusal = fault(hit)
    if refusal is None:
        hit_from_pb(hit)
    else:
        assert refusal.field == "hit.passage.char_probs"


def test_a_hit_that_would_fill_the_store_is_refused() -> None:
    hit = pb.Hit.FromString(WHOLE)
    hit.entry.reason = "x" * LARGEST_HIT
    refusal = fault(hit)
    assert refusal is not None
    assert refusal.field == "hit"


@dataclass
class Story:
    """What happened to one alert, by plain rules."""

    waits: bool = False
    since: int = 0
    received: int = 0
    decided: bool = False
    escalated: bool = False


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["hit", "retracted", "review", "withdrawal", "escalation", "unimportant"]),
    ),
    max_size=40,
)


@given(STEPS)
def test_what_waits_is_what_is_urgent_unreviewed_and_not_escalated(
    steps: list[tuple[str, str]],
) -> None:
    waiting = WaitingAlerts(priority=1)
    stories = {name: Story() for name in "abc"}
    for sequence, (name, what) in enumerate(steps, start=1):
        story = stories[name]
        alert = pb.Alert(sequence=sequence, received_at=timestamp_from_us(sequence * US))
        alert.hit.id = name
        alert.hit.entry.priority = 4 if what == "unimportant" else 1
        alert.hit.retracted = what == "retracted"
        kind = EventKind(what) if what in ("review", "escalation") else EventKind.HIT
        if what == "withdrawal":
            kind = EventKind.REVIEW
        story.decided = what == "review" or (story.decided and what != "withdrawal")
        story.escalated |= what == "escalation"
        if story.decided:
            alert.reviewed_at.GetCurrentTime()
        if story.escalated:
            alert.escalated_at.GetCurrentTime()
        told = {"hit": "alert", "review": "reviewed", "escalation": "escalated"}[kind.value]
        response = pb.SubscribeResponse(**{told: alert})
        waiting.add(FeedEvent.of(sequence, kind, response))
        if what in ("hit", "withdrawal") and not story.decided and not story.escalated:
            if not story.waits:
                story.waits, story.since = True, sequence
        else:
            story.waits = False
    expected = sorted((s.since, name) for name, s in stories.items() if s.waits)
    assert waiting.due(10**15) == [name for _, name in expected]
    assert len(waiting) == len(expected)
    assert waiting.place(len(steps)) == (expected[0][0] - 1 if expected else len(steps))
    for moment in range(len(steps) + 1):
        assert waiting.due(moment * US) == [name for since, name in expected if since <= moment]


ALERTS = st.lists(
    st.tuples(
        st.integers(0, 100),  # received, seconds
        st.sampled_from([None, "confirmed", "rejected"]),
        st.sampled_from(["stolen", "wanted"]),
    ),
    max_size=30,
)


@given(ALERTS, st.integers(0, 100), st.integers(1, 40))
def test_counts_add_up(alerts: list[tuple[int, str | None, str]], since_s: int, most: int) -> None:
    ordered = sorted(alerts, key=lambda one: one[0])
    stored = []
    for sequence, (received_s, state, category) in enumerate(ordered, start=1):
        hit = pb.Hit.FromString(WHOLE)
        hit.entry.category = category
        review = None
        if state is not None:
            review = StoredReview(state, "Wang", None, (received_s + 7) * US)
        stored.append(
            StoredAlert(sequence, f"{sequence}", hit.SerializeToString(), received_s * US, review)
        )

    def latest(before: int | None, limit: int) -> list[StoredAlert]:
        found = [one for one in reversed(stored) if before is None or one.sequence < before]
        return found[: min(limit, 4)]  # small pages

    counted = stats.count(latest, since_s * US, 200 * US, most=most)
    wanted = [one for one in reversed(ordered) if one[0] >= since_s]
    assert counted.complete == (len(wanted) <= most)
    wanted = wanted[:most]
    assert counted.alerts == len(wanted)
    assert counted.unverified + counted.confirmed + counted.rejected == counted.alerts
    assert counted.confirmed == sum(one[1] == "confirmed" for one in wanted)
    assert sum(counted.by_category.values()) == counted.alerts
    assert sum(counted.by_kind.values()) == counted.alerts
    assert counted.HasField("median_review_s") == any(one[1] for one in wanted)
    if counted.HasField("median_review_s"):
        assert counted.median_review_s == 7
    unreviewed = [one[0] for one in wanted if one[1] is None]
    if unreviewed:
        assert counted.oldest_unverified_s == 200 - min(unreviewed)
