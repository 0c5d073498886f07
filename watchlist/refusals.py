"""Why a change of the list is not made, in words."""

from __future__ import annotations

import json

from pipeline.errors import WatchlistError


class Refused(WatchlistError):
    """The list does not take an operation. ``why``: ``cancelled``, ``absent`` or ``full``."""

    def __init__(self, why: str, subject: str) -> None:
        self.why, self.subject = why, subject
        super().__init__(
            {
                "cancelled": f"entry {subject}: was cancelled and does not come back under the "
                "same id; nothing was changed, add it as a new entry",
                "absent": f"entry {subject}: is not on the list; see watchlist list",
                "full": f"plate {subject}: has too many entries already; nothing was changed, "
                "cancel those that have ended",
            }[why]
        )


def busy(holder: str) -> str:
    """Another large change is on its way; ``holder``: whose, as JSON."""
    try:
        said = json.loads(holder)
        who = f"{said['by'] or 'somebody'} ({said['action']}, begun {said['at']})"
    except (ValueError, KeyError, TypeError):
        who = "somebody"
    return (
        f"a large change of the list by {who} is on its way; nothing was changed, try again "
        "when it has ended"
    )


def moved(planned_on: int, version: int, plate: str | None) -> str:
    """The list was changed since it was looked at; ``plate``: one that was, where it is known."""
    where = f", and {plate} was changed there" if plate else ""
    return (
        f"the list went from version {planned_on} to {version} while this change was "
        f"planned{where}; nothing was changed, look at it again"
    )
