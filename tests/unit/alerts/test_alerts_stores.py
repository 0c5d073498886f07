"""Which store the configuration names, and what it says where that cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import redis

from pipeline import config
from pipeline.alerts.stores import open_stores
from pipeline.config import AlertSettings
from pipeline.errors import ConfigError


def test_without_psycopg_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith(("psycopg", "pipeline.alerts.postgres")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    settings = AlertSettings(postgres_url="postgresql://u:s3cret@db.example/alerts")
    with pytest.raises(ConfigError, match=r"pip install 'checkpoint-vehicles\[postgres\]'"):
        open_stores(settings, redis.Redis())
    open_stores(AlertSettings(), redis.Redis())


def test_a_url_that_is_wrong_is_shown_without_its_password(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.toml"
    path.write_text('[alerts]\npostgres_url = "mysql://u:s3cret@host/db"\npostgres_password = 5\n')
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{path}:2: alerts.postgres_url = 'mysql://***@host/db'")
    assert lines[1].startswith(f"{path}:3: alerts.postgres_password = ***")
    assert "s3cret" not in str(caught.value)


def test_the_address_stands_in_the_file_and_the_password_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECKPOINT_TEST_SECRET", "s3cret")
    path = tmp_path / "checkpoint.toml"
    path.write_text(
        "[alerts]\n"
        'postgres_url = "postgresql://u@one.example,two.example/db"\n'
        'postgres_password = "${CHECKPOINT_TEST_SECRET}"\n'
    )
    settings = config.load(path)
    assert settings.alerts.postgres_password == "s3cret"
    assert "s3cret" not in repr(settings)
