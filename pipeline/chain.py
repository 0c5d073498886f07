"""The chain of audit records: how one follows another, and what is wrong where it does not.

Each record holds the SHA-256 of the record before it and its own, which covers all its fields
and its place. The chain begins at a ``Link``: its genesis or, after records were deleted because
of their age, the last one deleted. Other links, kept outside the database, say what the chain
must still hold: they find records cut off at the end, and a file that was swapped.

Whoever may write every file could compute a whole chain anew; only a link that was noted
elsewhere finds that. All of this module is pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Final

PRUNED: Final = "audit.prune"
"""Action of the record that says up to where older ones were deleted."""

_PLACES_TRIED: Final = 10_000


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what, when, from where and why.

    ``at``: ISO 8601, UTC. ``details``: a JSON object. ``previous`` and ``hash``: 64 hexadecimal
    digits.
    """

    sequence: int
    at: str
    actor: str
    origin: str
    action: str
    subject: str
    reason: str | None
    case: str | None
    details: str
    previous: str
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """The place of one record in one chain: its sequence number (0: the genesis) and hash."""

    chain: str
    sequence: int
    hash: str


class Fault(StrEnum):
    """What can be wrong with a chain."""

    CHANGED = "changed"
    MISSING = "missing"
    REORDERED = "reordered"
    REPLACED = "replaced"
    SWAPPED = "swapped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, with the first and last record that it concerns."""

    fault: Fault
    first: int
    last: int
    message: str


COLUMNS: Final = tuple(field.name for field in fields(AuditRecord))


def genesis(chain: str) -> Link:
    """Where the chain named ``chain`` begins."""
    return Link(chain, 0, hashlib.sha256(f"checkpoint audit {chain}".encode()).hexdigest())


def digest(record: AuditRecord) -> str:
    """SHA-256 of all fields but the hash itself, in hexadecimal."""
    values = [getattr(record, name) for name in COLUMNS[:-1]]
    return hashlib.sha256(json.dumps(values, default=repr).encode()).hexdigest()


def sealed(record: AuditRecord) -> AuditRecord:
    """The record with its hash."""
    return replace(record, hash=digest(record))


def pruned_details(until: Link, count: int) -> dict[str, object]:
    """Details of the record that says that everything up to ``until`` was deleted."""
    return {"count": count, "last_deleted": until.sequence, "last_hash": until.hash}


def check(
    base: Link, records: Iterable[AuditRecord], links: Sequence[tuple[str, Link]]
) -> Iterator[Finding]:
    """What is wrong with the chain from ``base``: nothing, for one that nobody has touched.

    Args:
        base: where the records kept begin.
        records: in ascending order of their sequence numbers.
        links: what the chain must still hold, each with a name for messages.
    """
    hashes = {base.sequence: base.hash}
    wanted = {link.sequence for _, link in links}
    highest = max((link.sequence for _, link in links), default=0)
    expected, previous, sound = base.sequence + 1, base.hash, True
    pruned: AuditRecord | None = None
    if base.sequence == 0 and base != genesis(base.chain):
        yield Finding(Fault.CHANGED, 0, 0, "the beginning of the chain was changed")
    for record in records:
        at = record.sequence
        if at < expected:
            yield Finding(
                Fault.REORDERED, at, at, f"record {at} lies among the records that were deleted"
            )
            continue
        if at > expected:
            yield _missing(expected, at - 1)
        if digest(record) != record.hash:
            yield _changed(record, range(base.sequence + 1, max(highest, at) + 1))
            sound = False
        else:
            if at == expected and sound and record.previous != previous:
                yield _not_following(at, base)
            sound = True
            if record.action == PRUNED:
                pruned = record
        if at in wanted:
            hashes[at] = record.hash
        expected, previous = at + 1, record.hash
    if finding := _check_base(base, pruned):
        yield finding
    for name, link in links:
        if finding := _check_link(name, link, base, expected - 1, hashes):
            yield finding


def _missing(first: int, last: int, where: str = "") -> Finding:
    which = f"record {first} is" if first == last else f"records {first} to {last} are"
    return Finding(Fault.MISSING, first, last, f"{which} missing{where}")


def _changed(record: AuditRecord, places: range) -> Finding:
    """A record that does not have its hash: altered, or taken from another place."""
    at = record.sequence
    nearby = range(max(places.start, at - _PLACES_TRIED), min(places.stop, at + _PLACES_TRIED))
    for place in sorted(nearby, key=lambda place: abs(place - at)):
        if place != at and digest(replace(record, sequence=place)) == record.hash:
            return Finding(
                Fault.REORDERED, at, at, f"record {at} was moved there: it is record {place}"
            )
    return Finding(Fault.CHANGED, at, at, f"record {at} was changed")


def _not_following(at: int, base: Link) -> Finding:
    if at == base.sequence + 1:
        message = f"record {at} does not follow what was before it: it was replaced"
        return Finding(Fault.REPLACED, at, at, message)
    message = f"record {at} does not follow record {at - 1}: one of them was replaced"
    return Finding(Fault.REPLACED, at - 1, at, message)


def _check_base(base: Link, pruned: AuditRecord | None) -> Finding | None:
    """Records at the beginning may be gone only where the chain itself says so."""
    begin = genesis(base.chain)
    said: dict[str, object] = {"last_deleted": begin.sequence, "last_hash": begin.hash}
    if pruned is not None:
        try:
            said = dict(json.loads(pruned.details))
        except (ValueError, TypeError):
            said = {}
    if (said.get("last_deleted"), said.get("last_hash")) == (base.sequence, base.hash):
        return None
    return Finding(
        Fault.MISSING,
        1,
        base.sequence,
        f"records up to {base.sequence} are gone, and no record says that they were deleted",
    )


def _check_link(
    name: str, link: Link, base: Link, last: int, hashes: dict[int, str]
) -> Finding | None:
    at = link.sequence
    if link.chain != base.chain:
        return Finding(Fault.SWAPPED, at, at, f"{name} belongs to another log: a file was swapped")
    if at > last:
        return _missing(last + 1, at, " at the end")
    if at >= base.sequence and hashes.get(at) not in (None, link.hash):
        message = f"record {at} is not the one of {name}: the end was replaced"
        return Finding(Fault.REPLACED, at, at, message)
    return None
