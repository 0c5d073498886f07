"""How many logins of one address may fail. Any thread may ask."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from pipeline.clock import Clock
from pipeline.console.context import ApiError

_WINDOW_S: Final = 60.0
_MOST_ADDRESSES: Final = 10_000


class LoginLimits:
    """An allowance for each address, which fills up within a minute.

    There is none for all addresses together: whoever floods the login would lock everybody out,
    and a token of 256 bits cannot be guessed from however many.

    Args:
        attempts: how many may fail at once, and in a minute.
    """

    def __init__(self, attempts: int, clock: Clock) -> None:
        self._most = float(attempts)
        self._clock = clock
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def attempt(self, address: str) -> None:
        """Count a login that is tried from ``address``.

        Raises:
            ApiError: 429, too many have failed.
        """
        with self._lock:
            left = self._allowance(address)
            if left < 1:
                wait_s = (1 - left) * _WINDOW_S / self._most
                raise ApiError(
                    429,
                    "login_limit",
                    f"too many logins have failed; try again in {max(1.0, wait_s):.0f} s",
                    retry_s=wait_s,
                )
            self._set(address, left - 1)

    def succeeded(self, address: str) -> None:
        """The login counted last from ``address`` did not fail: it costs nothing."""
        with self._lock:
            self._set(address, min(self._most, self._allowance(address) + 1))

    def _allowance(self, address: str) -> float:
        left, at_s = self._left.get(address, (self._most, 0.0))
        grown = max(0.0, self._clock.monotonic() - at_s) * self._most / _WINDOW_S
        return min(self._most, left + grown)

    def _set(self, address: str, left: float) -> None:
        self._left.pop(address, None)
        self._left[address] = left, self._clock.monotonic()
        if len(self._left) > _MOST_ADDRESSES:
            self._left.popitem(last=False)
