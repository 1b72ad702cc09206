"""Horizon beside the cloud: when it is there, what its process is given, what is written for it.

Its pages: `python -m tests.horizon`."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from infra.horizon import config, environment
from infra.settings import Settings
from workers import horizon
from workers.layout import Layout, decide, guest_uid
from workers.process import Spec
from workers.processes import build_plan

SECRET = "postgresql+psycopg://me:secret@db/kilonova_{service}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path)


def of_horizon(settings: Settings, layout: Layout) -> list[Spec]:
    return [spec for spec in build_plan(settings, layout).specs if spec.name == "horizon"]


def test_it_is_there_once_asked_for_until_asked_away(settings: Settings) -> None:
    asked = decide(settings, None, "test", "horizon")
    asked.save(settings.state_dir)
    assert of_horizon(settings, asked)
    assert decide(settings, None, None).horizon, "a later up keeps it"
    assert not decide(settings, None, None, "nothing").horizon
    assert not of_horizon(settings, Layout(driver="test")), "nobody has it without asking"


def test_up_refuses_what_it_cannot_start_beside_a_cloud(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("kilonova")), "up", "--with", "skyline"]
    env = os.environ | {"KILONOVA_STATE_DIR": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "horizon or nothing" in done.stderr


def test_its_process_is_told_no_secret(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILONOVA_DATABASE_URL", SECRET)
    settings = Settings(state_dir=settings.state_dir)
    [spec] = of_horizon(settings, Layout(driver="test", horizon=True))
    assert not [text for text in (*spec.argv, *spec.env.values()) if "secret" in text]
    forgotten = {spec.argv[at + 1] for at, part in enumerate(spec.argv) if part == "-u"}
    assert "KILONOVA_DATABASE_URL" in forgotten
    assert spec.argv[spec.argv.index(str(horizon.SERVE)) + 1 :] == [str(horizon.uid(settings)), "127.0.0.1", "8080"]


def test_its_interpreter_looks_nowhere_where_its_user_may_not(settings: Settings, tmp_path: Path) -> None:
    """A checkout below /root: its server's folder was on Python's path, and each page ended with 500."""
    [spec] = of_horizon(settings, Layout(driver="test", horizon=True))
    python, server = (spec.argv.index(str(part)) for part in (config.ENVIRONMENT / "bin" / "python", horizon.SERVE))
    script = tmp_path / "serve.py"
    script.write_text("import sys; print(*sys.path, sep='\\n')")
    command = [sys.executable, *spec.argv[python + 1 : server], str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert str(tmp_path) not in done.stdout.splitlines()


def test_its_user_is_nobody_elses(settings: Settings, tmp_path: Path) -> None:
    other = Settings(state_dir=tmp_path / "other")
    assert len({horizon.uid(settings), horizon.uid(other), guest_uid(settings), guest_uid(other), 0}) == 5


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_what_is_written_for_it_is_its_users_and_the_key_of_sessions_stays(settings: Settings, tmp_path: Path) -> None:
    static = tmp_path / "made"
    static.mkdir()
    uid = horizon.uid(settings)
    config.write(settings, static, uid)
    file = config.folder(settings) / "local" / "local_settings.py"
    first = file.read_text()
    config.write(settings, static, uid)
    assert file.read_text() == first
    assert (file.stat().st_uid, stat.S_IMODE(file.stat().st_mode)) == (uid, 0o600)
    assert (settings.state_dir / "keys" / "horizon").stat().st_uid == 0
    assert (config.folder(settings) / config.READY).read_text().strip() == config.READY_TEXT


def test_cookies_travel_by_https_only_where_there_is_https(settings: Settings, tmp_path: Path) -> None:
    plain, secure = config.values(settings, "key"), config.values(Settings(state_dir=tmp_path, tls=True), "key")
    assert (plain["SESSION_COOKIE_SECURE"], plain["CSRF_COOKIE_SECURE"]) == (False, False)
    assert (secure["SESSION_COOKIE_SECURE"], secure["CSRF_COOKIE_SECURE"]) == (True, True)
    assert secure["OPENSTACK_KEYSTONE_URL"].startswith("https://")
    assert plain["DEBUG"] is False


def test_every_package_is_locked_by_hash() -> None:
    lock = environment.LOCK.read_text()
    packages = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)[1:]
    assert len(packages) > 90
    assert not [
        package.splitlines()[0] for package in packages if "==" not in package or "--hash=sha256:" not in package
    ]
    builders = environment._builders(lock)
    assert builders.startswith("setuptools==") and builders.count("==") == 1, "what builds is installed first"
    assert "--hash=sha256:" in builders
