"""What whoever works on the watchlist must keep to: the role for it, and the record of it.

Used by the commands and by the console, so that both ask for the same and record the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipeline.access import AccessRole, Person, require, token_store
from pipeline.audit import AuditLog
from pipeline.clock import Clock
from pipeline.config import CheckpointSettings
from pipeline.errors import AccessError, CheckpointError, WatchlistError
from watchlist.entry import EntryPolicy

READERS = (AccessRole.VIEWER, AccessRole.EDITOR, AccessRole.APPROVER, AccessRole.AUDITOR)
KEEPERS = (AccessRole.EDITOR, AccessRole.APPROVER, AccessRole.AUDITOR)
CANCELLERS = (AccessRole.EDITOR, AccessRole.APPROVER)
EDITORS = (AccessRole.EDITOR,)
APPROVERS = (AccessRole.APPROVER,)
_WORDS = {
    "watchlist.add": "add an entry",
    "watchlist.draft": "draft an entry",
    "watchlist.approve": "approve an entry",
    "watchlist.discard": "discard a draft",
    "watchlist.edit": "change an entry",
    "watchlist.cancel": "cancel an entry",
    "watchlist.list": "see the watchlist",
    "watchlist.view": "see an entry",
    "watchlist.check": "look up a plate",
    "watchlist.history": "see the watchlist's history",
    "watchlist.import_plan": "import a list",
    "watchlist.import": "import a list",
    "watchlist.export": "export the watchlist",
    "watchlist.rollback_plan": "take changes of the watchlist back",
    "watchlist.rollback": "take changes of the watchlist back",
    "watchlist.acknowledge": "say that a watchlist that lost data is right",
}


@dataclass(frozen=True, slots=True)
class Acting:
    """One person at work on the watchlist.

    ``origin``: from where, for the log; empty: this machine. ``told``: what stands in each record
    beside what is done.
    """

    settings: CheckpointSettings
    person: Person
    audit: AuditLog
    clock: Clock
    origin: str = ""
    told: Mapping[str, object] = field(default_factory=dict)

    @contextmanager
    def doing(
        self,
        action: str,
        subject: str,
        *,
        roles: tuple[AccessRole, ...],
        reason: str,
        case: str = "",
        details: Mapping[str, object] | None = None,
        looking: bool = False,
    ) -> Iterator[None]:
        """Check that the person may, record what is going to be done, and whether it failed.

        Args:
            action: as it stands in the log, for example ``watchlist.add``.
            subject: to what: a plate, an entry's id, a file.
            roles: one of them is needed.
            reason: why. Only the operating system's user may leave it out.
            case: the case it is done for.
            details: what else belongs to it.
            looking: it is only looked at, and needs no reason.

        Raises:
            AccessError: the person has none of the roles; that is recorded too.
            AuditError: it cannot be recorded, and was not done.
            WatchlistError: no reason is given.
        """
        reason = reason.strip()
        said = {**(details or {}), "by": self.person.source, **self.told}

        def record(name: str, more: Mapping[str, object]) -> None:
            self.audit.record(
                actor=self.person.name,
                action=name,
                subject=subject,
                reason=reason or None,
                case=case.strip() or None,
                origin=self.origin,
                details={**said, **more},
            )

        try:
            self._require(roles, action)
        except AccessError as error:
            record(f"{action}.refused", {"message": str(error)})
            raise
        if not reason and not looking and self.person.source != "operating system":
            raise WatchlistError("reason: must not be empty; say why")
        record(action, {})
        try:
            yield
        except CheckpointError as error:
            record(f"{action}.failed", {"message": str(error)})
            raise

    def policy(self) -> EntryPolicy:
        """What the deployment demands of entries. Where access is required the authoriser must
        be one of those who have the role approver."""
        settings = self.settings
        approvers: frozenset[str] | None = None
        if settings.access.required:
            now = self.clock.now()
            named = {
                token.person
                for token in token_store(settings, self.clock).tokens()
                if AccessRole.APPROVER in token.roles and token.state(now) == "valid"
            }
            certified = {
                name
                for name, roles in settings.access.certificates.items()
                if AccessRole.APPROVER in roles
            }
            approvers = frozenset(named | certified)
        return EntryPolicy.of(settings.watchlist, approvers)

    def for_whom(self, named: str) -> str:
        """In whose name something is done: one's own. The operating system's user may name
        somebody else.

        Raises:
            WatchlistError: a token says who acts, and another one is named.
        """
        name = self.person.name
        if named.strip() and self.person.source != "operating system" and named.strip() != name:
            raise WatchlistError(f"by: your token says that you are {name}; leave by out")
        return named.strip() or name

    def _require(self, roles: tuple[AccessRole, ...], action: str) -> None:
        if not self.person.roles & set(roles):
            require(self.person, roles[0], _WORDS.get(action, action))
