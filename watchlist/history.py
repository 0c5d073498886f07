"""What became of the list: its versions, and what each of them changed.

The stream ``changes`` has one item for each version, with the version as its id (``41-0``): who,
what, when and why, and the before-images of what it touched, so that it can be undone. Those of
a large change lie in a hash of their own. The oldest are given up when there are more versions
or more bytes than the configuration allows; the newest is always kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis

from pipeline.errors import WatchlistError
from watchlist import scripts
from watchlist.connection import redis_errors
from watchlist.records import Note, Version
from watchlist.rows import Images, Keys, images

_PAGE = 50


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """How much history is kept: so many versions, and so many bytes of before-images."""

    versions: int = 1000
    bytes: int = 512 << 20


class History:
    """The versions of one list. Methods may be called from any thread.

    Every method raises StoreUnavailable when Redis is away.
    """

    def __init__(self, client: redis.Redis, keys: Keys, limits: HistoryLimits) -> None:
        self._client: Any = client
        self._keys = keys
        self._limits = limits
        self._forget = client.register_script(scripts.FORGET)

    def versions(self) -> Iterator[Version]:
        """All versions that are kept, the newest first, read in pages."""
        for item in self._newest_first():
            yield _version(item)

    def touched(self) -> Iterator[tuple[Version, Iterator[Images]]]:
        """All versions that are kept, the newest first, each with what it changed, as it was
        before, in pages that are read as they are asked for."""
        for item in self._newest_first():
            version = _version(item)
            inline = item[1].get(b"undo")
            yield version, self.images(version.number) if inline is None else iter([images(inline)])

    def undone_by(self, version: int) -> list[Version]:
        """The changes that going back to ``version`` takes back, the newest first.

        Raises:
            WatchlistError: the list never was at that version, or what would lead back to it
                is no longer kept.
        """
        undone: list[Version] = []
        for change in self.versions():
            if change.number < version and not undone:
                raise WatchlistError(f"the list is only at version {change.number}")
            if change.number <= version:
                break
            undone.append(change)
        if not undone:
            return []
        if undone[-1].before == version:
            return undone
        if undone[-1].before > version:
            raise WatchlistError(
                f"version {version} is no longer kept: the history goes back to version "
                f"{undone[-1].before}; see checkpoint watchlist history"
            )
        raise WatchlistError(f"the list never was at version {version}; see watchlist history")

    def made_by(self, token: str, after: int) -> Version | None:
        """The version later than ``after`` that a change made, by its token; None if it did not."""
        for item in self._newest_first():
            if (version := _version(item)).number <= after:
                return None
            if item[1].get(b"token") == token.encode():
                return version
        return None

    def images(self, version: int) -> Iterator[Images]:
        """What one version changed, as it was before, in pages.

        Raises:
            WatchlistError: that version is no longer kept.
        """
        with redis_errors(self._client):
            found = self._client.xrange(self._keys.changes, f"{version}-0", f"{version}-0")
        if not found:
            raise WatchlistError(f"version {version} is no longer kept")
        fields = found[0][1]
        if b"undo" in fields:
            yield images(fields[b"undo"])
            return
        yield from self.pages(fields[b"token"].decode(), int(fields[b"pages"]))

    def undoing(self, version: int) -> Iterator[tuple[str, str, bytes]]:
        """What takes the list back to ``version``, as operations of ``watchlist.scripts``."""
        # From the newest back: of a field that several changed, the oldest image comes last.
        for change in self.undone_by(version):
            for page in self.images(change.number):
                for (kind, name), value in page.items():
                    yield kind, name, value

    def cancelled_since(self, version: int) -> set[str]:
        """Ids of the entries that were cancelled after ``version``: a rollback brings them back.

        Raises:
            WatchlistError: that version is no longer kept or never was.
        """
        oldest = {name: value for kind, name, value in self.undoing(version) if kind == "c"}
        return {name for name, value in oldest.items() if not value}

    def pages(self, token: str, count: int) -> Iterator[Images]:
        """The before-images of a large change, committed or not."""
        for page in range(count):
            with redis_errors(self._client):
                blob = self._client.hget(self._keys.undo(token), str(page))
            if blob is None:
                raise WatchlistError("the history is damaged: a page of before-images is missing")
            yield images(blob)

    def trim(self, before: datetime | None = None) -> None:
        """Give up the oldest versions beyond the limits, and those from before a time."""
        while True:
            with redis_errors(self._client), self._client.pipeline(transaction=False) as pipe:
                pipe.xlen(self._keys.changes)
                pipe.hget(self._keys.plates, "@history")
                pipe.xrange(self._keys.changes, "-", "+", count=_PAGE)
                length, kept, oldest = pipe.execute()
            kept = int(kept or 0)
            for item in oldest:
                within = length <= self._limits.versions and kept <= self._limits.bytes
                within &= before is None or _version(item).at >= before
                if length <= 1 or within:
                    return
                size, token = int(item[1][b"bytes"]), item[1][b"token"].decode()
                keys = [self._keys.plates, self._keys.changes, self._keys.undo(token)]
                with redis_errors(self._client):
                    if not self._forget(keys=keys, args=[item[0], size, token]):
                        return
                length, kept = length - 1, kept - size
            if not oldest:
                return

    def _newest_first(self) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
        end = "+"
        while True:
            with redis_errors(self._client):
                page: Sequence[Any] = self._client.xrevrange(
                    self._keys.changes, end, "-", count=_PAGE
                )
            yield from page
            if len(page) < _PAGE:
                return
            end = f"({page[-1][0].decode()}"


def _version(item: tuple[bytes, dict[bytes, bytes]]) -> Version:
    fields = {key.decode(): value for key, value in item[1].items() if key != b"undo"}

    def said(name: str) -> str:
        return fields.get(name, b"").decode()

    return Version(
        number=int(item[0].split(b"-")[0]),
        before=int(said("from")),
        at=datetime.fromisoformat(said("at")),
        note=Note(said("by"), said("action"), said("reason"), said("case")),
        changed=int(said("changed")),
    )
