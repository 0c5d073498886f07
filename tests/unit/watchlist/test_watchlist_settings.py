"""The [watchlist] table: categories with their longest life, files and limits."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import config
from pipeline.config import CATEGORIES, WatchlistSettings
from pipeline.errors import ConfigError, WatchlistError
from tests.support.watchlists import NOW, entry
from watchlist.entry import EntryPolicy, make_entry

FIELDS: dict[str, Any] = {
    "plate": "辽A12345",
    "disposition": "stop",
    "reason": "reported",
    "case_number": "C-1",
    "authoriser": "Wang",
}


def loaded(tmp_path: Path, text: str) -> config.CheckpointSettings:
    path = tmp_path / "checkpoint.toml"
    path.write_text(text, encoding="utf-8")
    return config.load(path)


def made(policy: EntryPolicy, category: str, days: float) -> str:
    expires = NOW + timedelta(days=days)
    return make_entry({**FIELDS, "category": category, "expires_at": expires}, NOW, policy).category


def test_the_defaults_are_those_of_the_policy() -> None:
    policy = EntryPolicy.of(WatchlistSettings())
    assert policy == EntryPolicy()
    assert policy.categories == set(CATEGORIES)
    assert policy.maximum == timedelta(days=400)
    assert entry().category in policy.categories


def test_categories_and_their_longest_life_come_from_the_file(tmp_path: Path) -> None:
    text = "[watchlist]\nentry_days = 30\n[watchlist.categories]\nstolen = 2\nescort = 60.5\n"
    settings = loaded(tmp_path, text + "wanted = 1\n").watchlist
    policy = EntryPolicy.of(settings)
    assert made(policy, "stolen", 2) == "stolen"
    assert made(policy, "escort", 60) == "escort"
    with pytest.raises(WatchlistError, match="expires_at: at most 2 days from now"):
        made(policy, "stolen", 3)
    with pytest.raises(WatchlistError, match="category: 'other' is none of: escort, stolen, want"):
        made(policy, "other", 1)
    with pytest.raises(WatchlistError, match="category: is missing"):
        make_entry({**FIELDS, "expires_at": NOW + timedelta(days=1)}, NOW, policy)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[watchlist.categories]\n", "name at least one category"),
        ('[watchlist.categories]\n"Bad Name" = 3\n', "lower_case_words"),
        ("[watchlist.categories]\nstolen = 0\n", "days must lie between"),
        ("[watchlist.categories]\nstolen = 99999\n", "days must lie between"),
        ("[watchlist]\nentry_days = 0\n", "watchlist.entry_days = 0"),
        ("[watchlist]\nstale_after_s = -1\n", "watchlist.stale_after_s = -1"),
        ("[watchlist]\nhistory_versions = 0\n", "watchlist.history_versions = 0"),
        ('[watchlist]\ntls_certificate = "a.pem"\n', "tls_certificate and tls_key go together"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        loaded(tmp_path, text)


def test_secrets_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKPOINT_TEST_SECRET", "hunter2")
    text = '[watchlist]\npassword = "${CHECKPOINT_TEST_SECRET}"\n'
    settings = loaded(tmp_path, text + 'sentinel_password = "${CHECKPOINT_TEST_SECRET}"\n')
    assert settings.watchlist.password == settings.watchlist.sentinel_password == "hunter2"
    assert "hunter2" not in repr(settings)
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, '[watchlist]\nsentinel_password = ["hunter2"]\npassword = 7\n')
    assert "hunter2" not in str(caught.value)


def test_only_named_authorisers_where_there_are_some() -> None:
    policy = EntryPolicy(authorisers=frozenset({"Wang"}))
    assert made(policy, "stolen", 1) == "stolen"
    fields = {**FIELDS, "category": "stolen", "authoriser": "Li"}
    fields["expires_at"] = NOW + timedelta(days=1)
    with pytest.raises(WatchlistError, match="authoriser: 'Li' has no valid token as approver"):
        make_entry(fields, NOW, policy)
