"""Evidence for subscribers that want it along: read and made into bytes once, not for each of them.

The latest pictures stay in memory, bounded in bytes; older ones are read from the store.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from checkpoint.v1 import alerts_pb2 as pb

K = TypeVar("K", bound=Hashable)

KEPT_BYTES: Final = 32 * 1024 * 1024
"""Of pictures, and as much again of responses that hold one."""


class Pictures:
    """The pictures of one feed; lives in the service's event loop.

    Args:
        fetch: reads the JPEG of (alert id, revision) from the store; None where there is none.
        kept_bytes: how much of them stays in memory.
    """

    def __init__(
        self, fetch: Callable[[str, int], Awaitable[bytes | None]], kept_bytes: int = KEPT_BYTES
    ) -> None:
        self._fetch = fetch
        self._pictures: _Recent[tuple[str, int]] = _Recent(kept_bytes)
        self._responses: _Recent[int] = _Recent(kept_bytes)

    def keep(self, alert_id: str, revision: int, jpeg: bytes) -> None:
        """Remember a picture that was just stored."""
        if jpeg:
            self._pictures.put((alert_id, revision), jpeg)

    def clear(self) -> None:
        """Forget everything: the store is another one."""
        self._pictures.clear()
        self._responses.clear()

    async def along(self, sequence: int, response: pb.SubscribeResponse) -> bytes | None:
        """``response`` as bytes with the picture of its alert, which it names but does not hold.

        None where it names none, or the store has none.

        Raises:
            StoreUnavailable: the picture had to come from the store, and it is away.
        """
        hit = response.alert.hit
        if not hit.passage.HasField("evidence"):
            return None
        made = self._responses.get(sequence)
        if made is None:
            key = hit.id, hit.revision
            jpeg = self._pictures.get(key) or await self._fetch(*key)
            if not jpeg:
                return None
            whole = pb.SubscribeResponse()
            whole.CopyFrom(response)
            whole.alert.hit.passage.evidence.jpeg = jpeg
            made = whole.SerializeToString()
            self._responses.put(sequence, made)
        return made


class _Recent(Generic[K]):
    """The values put last, at most so many bytes of them."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._values: OrderedDict[K, bytes] = OrderedDict()

    def put(self, key: K, value: bytes) -> None:
        self._bytes += len(value) - len(self._values.pop(key, b""))
        self._values[key] = value
        while self._bytes > self._most_bytes:
            self._bytes -= len(self._values.popitem(last=False)[1])

    def get(self, key: K) -> bytes | None:
        return self._values.get(key)

    def clear(self) -> None:
        self._values.clear()
        self._bytes = 0
