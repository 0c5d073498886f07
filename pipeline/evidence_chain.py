"""How manifests of evidence follow one another, and what is wrong where they do not. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from pipeline.evidence_manifest import HEAD_FILE, Head, Manifest


class Fault(StrEnum):
    """What can be wrong with a file."""

    DAMAGED = "damaged"
    MISSING = "missing"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Finding:
    """One file that is not as it was saved; ``path`` as a person finds it."""

    fault: Fault
    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A manifest with the file that it was read from and that file's SHA-256."""

    manifest: Manifest
    path: str
    sha256: str


def chain_findings(
    manifests: Iterable[Placed],
    heads: Sequence[Head],
    complete_since: datetime | None,
    settled: datetime,
) -> Iterator[Finding]:
    """What is wrong with how manifests follow one another. Pure.

    Args:
        manifests: in any order; of one folder, or some of them.
        heads: what there must be, or must have been: the end of the chain, and what was noted
            of it elsewhere at earlier times.
        complete_since: of what was saved after this nothing was deleted for its age, so that a
            gap is a finding; None: gaps say nothing.
        settled: what was saved before this was there when the files were listed; before a
            younger one some may have come too late for the list.
    """
    chains: defaultdict[str, list[Placed]] = defaultdict(list)
    for placed in manifests:
        chains[placed.manifest.chain.id].append(placed)
    hashes = {placed.sha256 for chain in chains.values() for placed in chain}
    for chain in chains.values():
        chain.sort(key=lambda placed: (placed.manifest.chain.sequence, placed.path))
        for before, after in pairwise((None, *chain)):
            assert after is not None  # noqa: S101 - only the first has none before it
            yield from _between(before, after, hashes, complete_since, settled)
    for head in heads:
        places = {placed.manifest.chain.sequence: placed for placed in chains.get(head.id, ())}
        last = places.get(head.sequence)
        if last is None and _complete(head.captured_at, complete_since):
            count = head.sequence - max((at for at in places if at < head.sequence), default=0)
            where = f"up to number {head.sequence} of chain {head.id}"
            yield Finding(Fault.MISSING, HEAD_FILE, f"{_many(count)} missing {where}")
        elif last is not None and last.sha256 != head.sha256:
            message = f"is not the manifest that had number {head.sequence} of its chain"
            yield Finding(Fault.DAMAGED, last.path, message)


def _between(
    before: Placed | None,
    after: Placed,
    hashes: Set[str],
    since: datetime | None,
    settled: datetime,
) -> Iterator[Finding]:
    """What is wrong between one manifest and the one before it that is there."""
    link = after.manifest.chain
    number = before.manifest.chain.sequence if before else 0
    if before is not None and number == link.sequence:
        message = f"has the place of {before.path} in the chain: one of the two was put there"
        yield Finding(Fault.FOREIGN, after.path, message)
    elif before is not None and number + 1 == link.sequence:
        if link.previous != before.sha256:
            message = f"{after.path} followed another manifest: one of the two was replaced"
            yield Finding(Fault.DAMAGED, before.path, message)
    elif (
        link.previous is not None
        and link.previous not in hashes
        and _complete(link.previous_at, since)
        and after.manifest.saved_at < settled
    ):
        yield _gap(after, max(link.sequence - number - 1, 1))


def _complete(captured_at: datetime | None, since: datetime | None) -> bool:
    """Whether a picture of that time cannot have been deleted for its age."""
    return since is not None and captured_at is not None and captured_at > since


def _gap(after: Placed, count: int) -> Finding:
    return Finding(Fault.MISSING, after.path, f"{_many(count)} missing before this one")


def _many(count: int) -> str:
    return "1 manifest is" if count == 1 else f"{count} manifests are"
