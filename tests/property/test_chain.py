"""The chain of audit records: whatever is done to it is found, and an untouched one is sound."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.chain import (
    COLUMNS,
    PRUNED,
    AuditRecord,
    Fault,
    Link,
    check,
    digest,
    genesis,
    pruned_details,
    sealed,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
MAYBE = st.none() | TEXT
FIELDS = st.tuples(TEXT, TEXT, TEXT, TEXT, TEXT, MAYBE, MAYBE, TEXT)
START = genesis("chain")


def chain(fields: list[tuple], base: Link = START) -> list[AuditRecord]:
    made: list[AuditRecord] = []
    for number, (at, actor, origin, action, subject, reason, case, details) in enumerate(
        fields, start=base.sequence + 1
    ):
        previous = made[-1].hash if made else base.hash
        rest = (reason, case, json.dumps(details), previous)
        made.append(sealed(AuditRecord(number, at, actor, origin, action, subject, *rest)))
    return made


CHAINS = st.lists(FIELDS, min_size=1, max_size=12).map(chain)


def anchor(records: list[AuditRecord], base: Link = START) -> list[tuple[str, Link]]:
    last = records[-1]
    return [("the anchor", Link(base.chain, last.sequence, last.hash))]


def places(base: Link, records: list[AuditRecord], links: list[tuple[str, Link]]) -> set[int]:
    found = check(base, records, links)
    return {at for one in found for at in range(one.first, one.last + 1)}


@given(CHAINS)
def test_an_untouched_chain_is_sound(records: list[AuditRecord]) -> None:
    assert not list(check(START, records, anchor(records)))


@given(CHAINS, st.data())
def test_a_changed_field_is_found(records: list[AuditRecord], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(records) - 1))
    name = data.draw(st.sampled_from(COLUMNS[1:]))
    value = data.draw(MAYBE if name in {"reason", "case"} else TEXT)
    assume(value != getattr(records[at], name))
    touched = [*records]
    touched[at] = replace(records[at], **{name: value})
    found = list(check(START, touched, anchor(records)))
    assert [(one.fault, one.first) for one in found][:1] == [(Fault.CHANGED, at + 1)]


@given(CHAINS, st.data())
def test_a_change_with_a_new_hash_is_found(records: list[AuditRecord], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(records) - 1))
    touched = [*records]
    touched[at] = sealed(replace(records[at], actor=records[at].actor + "x"))
    assert at + 1 in places(START, touched, anchor(records))


@given(CHAINS, st.data())
def test_a_whole_new_end_is_found(records: list[AuditRecord], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(records) - 1))
    touched = records[:at]
    previous = touched[-1].hash if touched else START.hash
    for one in records[at:]:
        touched.append(sealed(replace(one, actor=one.actor + "x", previous=previous)))
        previous = touched[-1].hash
    assert len(records) in places(START, touched, anchor(records))


@given(CHAINS, st.data())
def test_missing_records_are_named(records: list[AuditRecord], data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.integers(1, len(records)), min_size=1))
    left = [one for one in records if one.sequence not in gone]
    found = [one for one in check(START, left, anchor(records)) if one.fault is Fault.MISSING]
    assert {at for one in found for at in range(one.first, one.last + 1)} == gone


@given(CHAINS, st.data())
def test_swapped_records_are_named(records: list[AuditRecord], data: st.DataObject) -> None:
    assume(len(records) > 1)
    one, two = data.draw(
        st.lists(st.integers(0, len(records) - 1), min_size=2, max_size=2, unique=True)
    )
    touched = [*records]
    touched[one] = replace(records[two], sequence=one + 1)
    touched[two] = replace(records[one], sequence=two + 1)
    found = list(check(START, touched, anchor(records)))
    assert {(f.fault, f.first) for f in found} >= {
        (Fault.REORDERED, one + 1),
        (Fault.REORDERED, two + 1),
    }
    assert f"it is record {two + 1}" in " ".join(f.message for f in found)


@given(CHAINS, FIELDS)
def test_an_inserted_record_is_found(records: list[AuditRecord], fields: tuple) -> None:
    forged = replace(chain([fields])[0], sequence=len(records) + 1, previous=records[-1].previous)
    touched = [*records, sealed(forged)]
    assert len(records) + 1 in places(START, touched, anchor(records))


@given(CHAINS, CHAINS)
def test_another_log_in_its_place_is_found(
    records: list[AuditRecord], others: list[AuditRecord]
) -> None:
    elsewhere = genesis("elsewhere")
    found = list(check(elsewhere, [], anchor(records)))
    assert Fault.SWAPPED in {one.fault for one in found}
    if [one.hash for one in others[: len(records)]] != [one.hash for one in records]:
        assert places(START, others, anchor(records))


@given(st.lists(FIELDS, min_size=2, max_size=12), st.data())
def test_after_pruning_the_chain_is_sound_and_no_more_may_go(
    fields: list[tuple], data: st.DataObject
) -> None:
    records = chain(fields)
    until = data.draw(st.integers(1, len(records)))
    base = Link(START.chain, until, records[until - 1].hash)
    last = records[-1]
    said = AuditRecord(
        sequence=last.sequence + 1,
        at="",
        actor="checkpoint",
        origin="",
        action=PRUNED,
        subject="",
        reason=None,
        case=None,
        details=json.dumps(pruned_details(base, until)),
        previous=last.hash,
    )
    kept = [*records[until:], sealed(said)]
    assert not list(check(base, kept, anchor(kept)))
    for gone in range(1, len(kept)):  # who cuts off more at the beginning must forge a record
        further = Link(START.chain, kept[gone - 1].sequence, kept[gone - 1].hash)
        assert list(check(further, kept[gone:], anchor(kept)))
    assert list(check(START, kept, anchor(kept)))
    assert list(check(base, kept[:-1], anchor(kept)))


@given(CHAINS)
def test_the_hash_tells_every_field_apart(records: list[AuditRecord]) -> None:
    one = records[0]
    assert digest(one) != digest(replace(one, reason=None if one.reason is not None else ""))
    moved = replace(one, actor=one.actor + one.origin, origin="")
    assert (digest(one) == digest(moved)) == (one.origin == "")


def test_a_link_of_a_record_that_was_pruned_is_no_fault() -> None:
    records = chain([("", "a", "", "b", "", None, None, "")] * 4)
    base = Link(START.chain, 3, records[2].hash)
    said = replace(records[3], action=PRUNED, details=json.dumps(pruned_details(base, 3)))
    kept = [sealed(said)]
    old = Link(START.chain, 1, records[0].hash)
    assert not list(check(base, kept, [*anchor(kept), ("the note", old)]))
