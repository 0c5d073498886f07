"""Signatures of sinks: what was signed is known again, and nothing else is."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.sinks.signing import TOLERANCE_S, sign, verify

SECRETS = st.binary(min_size=16, max_size=64)
BODIES = st.binary(max_size=200)
TIMES = st.floats(0, 4e9)


@given(
    secret=SECRETS, body=BODIES, now_s=TIMES, late_s=st.floats(-TOLERANCE_S + 1, TOLERANCE_S - 1)
)
def test_what_was_signed_is_known_again(
    secret: bytes, body: bytes, now_s: float, late_s: float
) -> None:
    assert verify(secret, body, sign(secret, body, now_s), now_s + late_s)


@given(secret=SECRETS, body=BODIES, other=BODIES, now_s=TIMES)
def test_another_body_or_secret_or_time_is_not(
    secret: bytes, body: bytes, other: bytes, now_s: float
) -> None:
    header = sign(secret, body, now_s)
    assert verify(secret, other, header, now_s) == (other == body)
    assert not verify(secret + b"x", body, header, now_s)
    assert not verify(secret, body, header, now_s + TOLERANCE_S + 2)
    moved = f"t={int(now_s) + 1},{header.partition(',')[2]}"
    assert not verify(secret, body, moved, now_s)


@given(header=st.text(max_size=120), now_s=TIMES)
def test_whatever_stands_in_the_header_raises_nothing(header: str, now_s: float) -> None:
    assert not verify(b"0123456789abcdef", b"body", header, now_s)


def test_a_receiver_that_only_has_the_documentation_finds_the_same() -> None:
    body = '{"plate":"京A12345"}'.encode()
    expected = hmac.new(b"0123456789abcdef", b"1767225600." + body, hashlib.sha256).hexdigest()
    assert sign(b"0123456789abcdef", body, 1767225600.9) == f"t=1767225600,v1={expected}"


def test_the_receiver_in_the_documentation_agrees() -> None:
    text = (Path(__file__).parents[2] / "docs" / "province.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```", text, re.S)
    assert found is not None
    names: dict[str, Any] = {}
    exec(found[1], names)
    body, secret = b'{"sequence": 7}', b"0123456789abcdef"
    header = sign(secret, body, time.time())
    assert names["genuine"](secret, body, header)
    assert not names["genuine"](secret, body + b" ", header)
    assert not names["genuine"](secret, body, sign(secret, body, time.time() - 400))
    assert not names["genuine"](secret, body, "nonsense")
