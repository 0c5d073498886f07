"""Health: what is wrong now, said once when it begins and once when it ends."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import structlog

_log = structlog.get_logger(__name__)


class Health:
    """The problems of one process, by component. Any thread may report."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._problems: dict[str, str] = {}

    def report(self, component: str, problem: str | None) -> None:
        """Say that ``component`` has a problem, or with None that it has none."""
        with self._lock:
            before = self._problems.get(component)
            if problem is None:
                self._problems.pop(component, None)
            else:
                self._problems[component] = problem
        if problem is not None and before is None:
            _log.warning("degraded", component=component, problem=problem)
        elif problem is None and before is not None:
            _log.info("recovered", component=component)

    def problems(self) -> Mapping[str, str]:
        """What is wrong now, by component; empty when all is well."""
        with self._lock:
            return dict(self._problems)
