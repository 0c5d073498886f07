"""One Redis, what makes its answers durable, and its failures in our words.

Two ways, told apart by ``find_durability``: with ``appendfsync always`` (the embedded server; any
version) Redis sends no reply before the disk has what was written; with another policy, Redis 7.2
or later is asked by ``WAITAOF`` (up to a second slower under ``everysec``).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

from redis import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from pipeline.alerts.records import Durability
from pipeline.errors import StoreUnavailable

_WAITAOF_MS: Final = 5_000


class RedisLink:
    """What the stores in one Redis database share.

    ``redis`` answers in bytes (``decode_responses=False``). ``own_server`` says that the server is
    ours alone (the embedded one), so that it may be switched to ``appendfsync always``.
    """

    def __init__(
        self, redis: Redis, prefix: str = "checkpoint", *, own_server: bool = False
    ) -> None:
        self.redis: Any = redis  # its answers are typed for every protocol and decoding at once
        self._base = f"{{{prefix}}}:alerts"
        self._own_server = own_server
        self.durability = Durability.NONE

    def settle(self) -> None:
        """Return when everything that was read before, by whomever written, is on the disk."""
        if self.durability is Durability.WAITAOF:
            with unavailable(), self.redis.pipeline(transaction=False) as batch:
                batch.incr(self.key("repeats"), 0)  # WAITAOF speaks of a connection's writes
                self.execute_durably(batch)

    def key(self, *parts: str) -> str:
        """The name of a key of ours."""
        return ":".join((self._base, *parts))

    def _find_durability(self) -> Durability:
        try:
            found = self.redis.config_get("append*")
            settings = {text_of(name): text_of(value) for name, value in found.items()}
        except ResponseError:  # a managed server forbids CONFIG
            settings = {"appendonly": "yes"}
        if settings.get("appendonly") != "yes":
            return Durability.NONE
        if settings.get("appendfsync") == "always":
            return Durability.ALWAYS
        if self._own_server:
            self.redis.config_set("appendfsync", "always")
            return Durability.ALWAYS
        version = str((self.redis.info("server")).get("redis_version", "0.0"))
        major, minor = (int(part) for part in version.split(".")[:2])
        return Durability.WAITAOF if (major, minor) >= (7, 2) else Durability.NONE

    def run(self, script: str, keys: Sequence[str], words: Sequence[str | bytes]) -> Any:
        """Run a script that writes; its writes are on the disk on return."""
        sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        with unavailable():
            try:
                return self._evaluate(sha, keys, words)
            except NoScriptError:  # a server that we have not met, or that was restarted
                self.redis.script_load(script)
                return self._evaluate(sha, keys, words)

    def _evaluate(self, sha: str, keys: Sequence[str], words: Sequence[str | bytes]) -> Any:
        with self.redis.pipeline(transaction=False) as batch:
            batch.evalsha(sha, len(keys), *keys, *words)
            return self.execute_durably(batch)[0]

    def execute_durably(self, batch: Any) -> list[Any]:
        """Run ``batch``; returns its answers once its writes are on the disk."""
        if self.durability is not Durability.WAITAOF:
            answers: list[Any] = batch.execute()
            return answers
        batch.execute_command("WAITAOF", 1, 0, _WAITAOF_MS)
        *answers, (local, _) = batch.execute()
        if not local:
            raise StoreUnavailable("Redis did not write to its disk in time: try again")
        return answers


@contextlib.contextmanager
def unavailable() -> Iterator[None]:
    """Turn every failure to reach Redis into ``StoreUnavailable``."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable(
            f"the alert store (Redis) is away or refuses: {error}; it is tried again"
        ) from error


def text_of(value: object) -> str:
    """An answer of Redis as text, whether the client decodes it or not."""
    return value.decode() if isinstance(value, bytes) else str(value)
