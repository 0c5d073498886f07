"""The tables of the alert store in PostgreSQL: numbered migrations, each applied once."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import sql

from pipeline.errors import ConfigError


def migrate(connection: psycopg.Connection[Any], schema: str) -> None:
    """Bring ``schema`` up to date in one transaction; of several processes one does it.

    Raises:
        ConfigError: the tables are those of a later version.
        psycopg.Error: the server refuses.
    """
    wanted = migrations()
    if _applied(connection, schema) == max(wanted):
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_lock_number(schema),))
        applied = _applied(connection, schema)
        if applied > max(wanted):
            raise ConfigError(
                f"alerts.postgres_url: schema {schema!r} was made by a later version of "
                f"Checkpoint (migration {applied}, here {max(wanted)}): update this one"
            )
        if not applied:
            connection.execute(
                sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))
            )
            connection.execute(
                "CREATE TABLE migrations (number integer PRIMARY KEY,"
                " applied_at timestamptz NOT NULL DEFAULT now())"
            )
        for number, text in sorted(wanted.items()):
            if number > applied:
                connection.execute(text.encode())
                connection.execute("INSERT INTO migrations (number) VALUES (%s)", (number,))


def migrations() -> dict[int, str]:
    """The text of each migration, by its number."""
    folder = files("pipeline.alerts").joinpath("migrations")
    return {
        int(file.name.partition("_")[0]): file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }


def _applied(connection: psycopg.Connection[Any], schema: str) -> int:
    """The number of the last migration; 0 where there is none."""
    there = connection.execute(  # not to_regclass, which may remember that there was none
        "SELECT FROM pg_tables WHERE schemaname = %s AND tablename = 'migrations'", (schema,)
    ).fetchone()
    if there is None:
        return 0
    found = connection.execute("SELECT max(number) FROM migrations").fetchone()
    return int(found[0] or 0) if found else 0


def _lock_number(schema: str) -> int:
    """Of the advisory lock that migrations of ``schema`` take."""
    digest = hashlib.sha256(f"checkpoint alerts {schema}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
