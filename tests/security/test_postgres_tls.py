"""Stores on a PostgreSQL that speaks TLS only: our side believes the server's own certificate, and no other."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from infra.database import Database, DatabaseSettings
from infra.tls import Authority
from tests.ports import free_offset
from tests.postgres import Server, postgres

VERIFIED = "?sslmode=verify-full&sslrootcert="


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    found = Authority(tmp_path_factory.mktemp("postgres") / "tls")
    found.ensure("database", ["127.0.0.1"])
    return found


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[Server]:
    with postgres(5432 + free_offset(), authority.files("database")) as found:
        found.databases()
        yield found


def store(url: str, monkeypatch: pytest.MonkeyPatch) -> Database:
    """As a process has it whose setting `database_url` this is."""
    monkeypatch.setenv("KILONOVA_DATABASE_URL", url)
    return Database("volume")


def test_a_store_is_made_and_used_by_tls(server: Server, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    found = store(f"{server.url}/kilonova_{{service}}{VERIFIED}{authority.certificate}", monkeypatch)
    found.migrate()
    with found.write() as session:
        encrypted = session.connection().execute(
            text("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        )
        assert encrypted.one()[0] is True
        assert session.connection().execute(text("SELECT count(*) FROM volumes")).scalar() == 0
    found.engine.dispose()


def test_another_server_in_its_place_is_not_believed(
    server: Server, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another authority; of another name; without TLS, which the server refuses."""
    stranger = Authority(tmp_path)
    stranger.ensure("database", ["127.0.0.1"])
    mine, named = f"{server.url}/kilonova_volume", f"{server.url.replace('127.0.0.1', 'localhost')}/kilonova_volume"
    refused = {
        f"{mine}{VERIFIED}{stranger.certificate}": "certificate verify failed|signature failure",
        f"{named}{VERIFIED}{authority.certificate}": "does not match host name",
        f"{mine}?sslmode=disable": "no encryption",
    }
    for url, words in refused.items():
        found = store(url, monkeypatch)
        with pytest.raises(OperationalError, match=words), found.read() as session:
            session.connection()


@pytest.mark.parametrize("query", ["", "?sslmode=require", "?sslmode=verify-ca", "?sslmode=prefer"])
def test_another_machines_database_is_reached_by_verified_tls_only(query: str) -> None:
    with pytest.raises(ValidationError, match="verify-full"):
        DatabaseSettings(database_url=f"postgresql+psycopg://u@db.example/kilonova_{{service}}{query}")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u@127.0.0.1/k_{service}",
        "postgresql+psycopg://u@localhost:5433/k_{service}",
        "postgresql+psycopg://u@/k_{service}?host=/run/postgresql",
        "postgresql+psycopg://u@db.example/k_{service}?sslmode=verify-full",
    ],
)
def test_what_needs_none_or_has_it_is_taken(url: str) -> None:
    assert "k_volume" in DatabaseSettings(database_url=url).url("volume")


def test_a_second_host_of_the_url_counts_too() -> None:
    with pytest.raises(ValidationError, match="verify-full"):
        DatabaseSettings(database_url="postgresql+psycopg://u@/k?host=127.0.0.1,db.example:5433")
