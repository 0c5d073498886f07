"""What is looked at all the time is recorded once for each session and hour."""

from __future__ import annotations

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from pipeline.console.context import audited, context_of, session_of

_AGAIN_S: Final = 3600.0
_MOST: Final = 10_000


class Views:
    """When each session's view of something was last recorded; lives in the event loop."""

    def __init__(self) -> None:
        self._at_s: dict[tuple[str, str], float] = {}

    def due(self, session_id: str, action: str, now_s: float) -> bool:
        """Whether it is time to record it."""
        last_s = self._at_s.get((session_id, action))
        return last_s is None or now_s - last_s >= _AGAIN_S

    def recorded(self, session_id: str, action: str, now_s: float) -> None:
        """It was."""
        self._at_s.pop((session_id, action), None)
        self._at_s[session_id, action] = now_s
        while len(self._at_s) > _MOST:
            del self._at_s[next(iter(self._at_s))]


async def record_view(request: Request, action: str, subject: str) -> None:
    """Record that this person sees ``subject``, unless that was recorded within the hour.

    Raises:
        ApiError: it could not be recorded, so it must not be seen.
    """
    views: Views = request.app.state.views
    session, now_s = session_of(request), context_of(request).clock.monotonic()
    if views.due(session.id, action, now_s):
        await run_in_threadpool(audited, request, action, subject)
        views.recorded(session.id, action, now_s)
