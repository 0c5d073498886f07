"""Who calls the alert service, and what that caller may do.

``Authenticator.caller`` turns what a call shows (its peer, its TLS certificate, its metadata)
into a ``Caller``; ``RULES`` says what each method takes; ``Caller`` answers the rest. Nothing here
speaks gRPC, so that all of it can be tried with random input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pipeline.access import Person, TokenStore, certificate_person
from pipeline.alerts.limits import ip_of
from pipeline.alerts.status import CallRefused, Reason
from pipeline.audit import AuditLog
from pipeline.clock import Clock
from pipeline.config import AccessRole, AccessSettings, AlertSettings
from pipeline.errors import AccessError
from pipeline.types import NamedBy

_log = structlog.get_logger(__name__)

HEADER: Final = "authorization"
ORIGIN: Final = "checkpoint-origin"
"""Metadata of this machine's console: the address of the person's browser, for the audit log."""
_SCHEME: Final = "bearer "
_LONGEST_TOKEN: Final = 256
_ANY: Final = frozenset(AccessRole)
_REVIEWERS: Final = frozenset({AccessRole.EDITOR, AccessRole.APPROVER})
ALL_CHECKPOINTS: Final = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a method takes. ``roles``: one of them; None: a machine that may publish.

    ``action``: its name in the audit log. ``what``: in words, after "may". ``recorded``: a person's
    call is written down; one that shows nothing of anybody, and is made every few seconds, is not.
    """

    roles: frozenset[AccessRole] | None
    action: str
    what: str
    recorded: bool = True


SERVICE: Final = "/checkpoint.v1.Alerts/"
RULES: Final[Mapping[str, Rule]] = {
    SERVICE + "Publish": Rule(None, "alerts.publish", "publish hits"),
    SERVICE + "Subscribe": Rule(_ANY, "alerts.watch", "watch alerts"),
    SERVICE + "ListAlerts": Rule(_ANY, "alerts.list", "list alerts"),
    SERVICE + "GetAlert": Rule(_ANY, "alerts.get", "see an alert"),
    SERVICE + "GetEvidence": Rule(_ANY, "alerts.evidence", "see evidence"),
    SERVICE + "GetStats": Rule(_ANY, "alerts.stats", "see statistics"),
    SERVICE + "ListCheckpoints": Rule(_ANY, "alerts.checkpoints", "list checkpoints", False),
    SERVICE + "ReportStatus": Rule(None, "alerts.report", "report a checkpoint's status"),
    SERVICE + "ReviewAlert": Rule(_REVIEWERS, "alerts.review", "review an alert"),
    SERVICE + "EscalateAlert": Rule(_REVIEWERS, "alerts.escalate", "escalate an alert"),
}
"""Every method of ours; one that is missing here is refused."""

HEALTH: Final = "/grpc.health.v1.Health/"
REFLECTION: Final = "/grpc.reflection."


@dataclass(frozen=True, slots=True)
class Access:
    """Where credentials are looked up, and where what persons do is recorded.

    ``audit``: called once, when the first record is due; None: nothing is recorded.
    """

    settings: AccessSettings = field(default_factory=AccessSettings)
    tokens: TokenStore | None = None
    audit: Callable[[], AuditLog] | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    ``machine``: the common name of the client certificate. ``local``: this machine, which may
    publish without one; ``free``: and may act without naming a person. ``expires``: when the
    certificate does.
    """

    address: str
    person: Person | None = None
    machine: str | None = None
    local: bool = False
    free: bool = False
    checkpoints: frozenset[str] = frozenset()
    expires: datetime | None = None
    token: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """For the log."""
        if self.person is not None:
            return self.person.name
        return self.machine or "this machine"

    @property
    def unnamed(self) -> bool:
        """True where only the request can say which person acts."""
        return self.free and self.person is None

    def named_by(self) -> NamedBy:
        """How the person is known."""
        return NamedBy.REQUEST if self.person is None else NamedBy(self.person.source)

    def person_named(self, claimed: str, field_name: str) -> str:
        """The name of the person who acts; ``claimed``: what the request says.

        Raises:
            CallRefused: the request names another than the credentials do.
        """
        claimed = claimed.strip()
        if self.person is None:
            return claimed
        if claimed and claimed != self.person.name:
            raise CallRefused(
                Reason.OTHER_PERSON,
                f"{field_name}: you are {self.person.name} by your {self.person.source} and "
                "cannot act in another name; leave it empty",
                metadata={"person": self.person.name},
            )
        return self.person.name

    def check(self, method: str) -> None:
        """Go on only where this caller may call ``method``.

        Raises:
            CallRefused: it may not; the message says what is missing.
        """
        rule = RULES.get(method)
        if rule is None:
            if method.startswith((HEALTH, REFLECTION)):
                return
            raise CallRefused(Reason.ROLE_MISSING, "nobody may call this method")
        if self.unnamed:
            return
        if rule.roles is None:
            if not self.local and not self.checkpoints:
                raise CallRefused(
                    Reason.NOT_A_PUBLISHER,
                    f"{self.name} may not {rule.what}: that takes a machine's certificate; see "
                    "[alerts.publishers]",
                )
            return
        if self.person is None and self.machine is None:
            raise CallRefused(Reason.CREDENTIALS_MISSING, _MISSING)
        if self.person is None:
            raise CallRefused(
                Reason.ROLE_MISSING,
                f"certificate {self.machine!r} may not {rule.what}: it names no person; show a "
                "token, or give it a role in [access.certificates]",
            )
        if not self.person.roles & rule.roles:
            has = ", ".join(sorted(self.person.roles)) or "none"
            needs = " or ".join(sorted(rule.roles))
            raise CallRefused(
                Reason.ROLE_MISSING,
                f"{self.person.name} may not {rule.what}: that takes the role {needs} (has: {has})",
                metadata={"needs": needs, "has": has},
            )

    def check_publishes(self, checkpoint: str) -> None:
        """Go on only where this caller may publish hits of ``checkpoint``.

        Raises:
            CallRefused: it may not.
        """
        if self.local or self.checkpoints & {checkpoint, ALL_CHECKPOINTS}:
            return
        raise CallRefused(
            Reason.OTHER_CHECKPOINT,
            f"certificate {self.machine!r} may publish for {', '.join(sorted(self.checkpoints))}, "
            f"not for {checkpoint[:64]!r}: correct the checkpoint's name in its configuration, or "
            "[alerts.publishers] here",
            metadata={"certificate": self.machine or "", "checkpoint": checkpoint[:64]},
        )


CALLER: ContextVar[Caller] = ContextVar("caller")
"""Who made the call that is being answered; set by the gate for each call."""


class Authenticator:
    """Turns what a call shows into a caller.

    Args:
        settings: publishers, and the certificates that count no more.
        access: persons.
        open_here: only this machine reaches the service, and no credentials are asked for.
    """

    def __init__(
        self, settings: AlertSettings, access: Access, clock: Clock, *, open_here: bool
    ) -> None:
        self._access = access
        self._publishers = settings.publishers
        self._revoked = frozenset(
            _digits(one) for one in (settings.tls.revoked if settings.tls else ())
        )
        self._clock = clock
        self._open_here = open_here

    def caller(
        self,
        peer: str,
        certificate: Mapping[str, Iterable[bytes]],
        metadata: Sequence[tuple[str, str | bytes]],
    ) -> Caller:
        """Who calls. Blocks while a token is looked up.

        Args:
            peer: as gRPC names it.
            certificate: ``auth_context`` of the call, of a connection that TLS has verified.
            metadata: the call's.

        Raises:
            CallRefused: nothing was shown where something must be, or it counts no more.
        """
        local = peer.startswith("unix:") or self._open_here
        machine, expires = self._machine(certificate)
        token = _token(metadata)
        person: Person | None = None
        if token is not None:
            person = self._person(token)
        elif machine is not None and self._access.settings.certificates.get(machine):
            person = certificate_person(self._access.settings, machine)
        elif machine is None and not local:
            raise CallRefused(Reason.CREDENTIALS_MISSING, _MISSING)
        return Caller(
            address=_origin(peer, metadata)[:128],
            person=person,
            machine=machine,
            local=local,
            free=local and not self._access.settings.required,
            checkpoints=self._checkpoints(machine),
            expires=expires,
            token=token,
        )

    def renew(self, caller: Caller) -> None:
        """Look again whether what a caller has shown still counts. Blocks like ``caller``.

        Raises:
            CallRefused: it has expired or was taken back.
        """
        if caller.expires is not None and self._clock.now() >= caller.expires:
            raise CallRefused(Reason.CREDENTIALS_INVALID, "the client certificate has expired")
        if caller.token is not None:
            person = self._person(caller.token)
            if caller.person is None or person.roles != caller.person.roles:
                raise CallRefused(Reason.CREDENTIALS_INVALID, "the token's roles have changed")

    def _machine(
        self, certificate: Mapping[str, Iterable[bytes]]
    ) -> tuple[str | None, datetime | None]:
        """Common name and end of the client certificate, where one was shown."""
        pem = next(iter(certificate.get("x509_pem_cert", ())), None)
        if pem is None:
            return None, None
        try:
            parsed = x509.load_pem_x509_certificate(pem)
            names = parsed.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
            name, expires = str(names[0].value).strip(), parsed.not_valid_after_utc
            fingerprint = hashlib.sha256(parsed.public_bytes(Encoding.DER)).hexdigest()
        except (ValueError, IndexError):
            name = ""
        if not name:
            raise CallRefused(
                Reason.CREDENTIALS_INVALID, "the client certificate has no common name"
            )
        if fingerprint in self._revoked:
            raise CallRefused(
                Reason.CREDENTIALS_INVALID, f"certificate {name!r} counts no more; ask for another"
            )
        if self._clock.now() >= expires:  # TLS has looked when the connection was made
            raise CallRefused(Reason.CREDENTIALS_INVALID, f"certificate {name!r} has expired")
        return name, expires

    def _checkpoints(self, machine: str | None) -> frozenset[str]:
        """What a machine may publish for: what the settings say; where they say nothing, its own
        name, unless that is a person's."""
        if machine is None:
            return frozenset()
        if machine in self._publishers:
            return frozenset(self._publishers[machine])
        if self._publishers or machine in self._access.settings.certificates:
            return frozenset()
        return frozenset({machine})

    def _person(self, token: str) -> Person:
        tokens = self._access.tokens
        if tokens is None or not token or len(token) > _LONGEST_TOKEN:
            raise CallRefused(Reason.CREDENTIALS_INVALID, _INVALID)
        try:
            return tokens.verify(token)
        except AccessError as error:
            said = str(error)
            if not said.startswith("the token"):  # the file; its path is nobody else's business
                _log.error("tokens cannot be looked up: every token is refused", reason=said)
                said = _INVALID
            raise CallRefused(Reason.CREDENTIALS_INVALID, said) from None


def _origin(peer: str, metadata: Sequence[tuple[str, str | bytes]]) -> str:
    """From where a person acts. Our own socket, which only this user opens, may tell of another."""
    if peer.startswith("unix:"):
        for key, value in metadata:
            if key == ORIGIN and isinstance(value, str) and value:
                return value
    return peer


_MISSING: Final = (
    "show a token ('authorization: Bearer TOKEN') or a client certificate; "
    "'checkpoint access add' gives out tokens"
)
_INVALID: Final = "the token is not known here; ask for one: 'checkpoint access add'"


def _token(metadata: Sequence[tuple[str, str | bytes]]) -> str | None:
    """The bearer token among the metadata; None where nothing of the kind is shown.

    Raises:
        CallRefused: there is more than one, or something else than a token.
    """
    found = [value for key, value in metadata if key == HEADER]
    if not found:
        return None
    value = found[0]
    if len(found) > 1 or not isinstance(value, str) or not value.lower().startswith(_SCHEME):
        raise CallRefused(
            Reason.CREDENTIALS_INVALID, "write one header: 'authorization: Bearer TOKEN'"
        )
    return value[len(_SCHEME) :].strip()


def _digits(fingerprint: str) -> str:
    """A fingerprint as ``hashlib`` writes it, however it was copied."""
    return fingerprint.replace(":", "").strip().lower()


def is_here(peer: str) -> bool:
    """Whether a gRPC peer is this machine."""
    address = ip_of(peer)
    return peer.startswith("unix:") or (address is not None and address.is_loopback)
