"""Horizon as a supervised process: its command, its user, what it sees."""

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from infra.horizon import config, environment
from infra.settings import Settings
from workers.layout import digest
from workers.probes import Probe
from workers.process import Spec

FIRST_UID, UIDS = 2_100_000_000, 40_000_000
"""Above those of guests, and below what a signed number holds."""
SERVE = Path(environment.__file__).with_name("serve.py")


def uid(settings: Settings) -> int:
    """User and group id of this cloud's Horizon: another one for each state directory, and nobody else's."""
    return FIRST_UID + int(digest(settings.state_dir), 16) % UIDS


def address(settings: Settings) -> str:
    """Where people find it."""
    return settings.url("horizon", "/")


def spec(settings: Settings, unwanted: Iterable[str]) -> Spec:
    """`unwanted`: names of environment variables that may hold passwords, and that Horizon does not read."""
    binds = {
        environment.place(): config.ENVIRONMENT,
        config.folder(settings): config.SETTINGS,
        Path(sys.base_prefix): config.PYTHON,
        config.folder(settings) / "pyvenv.cfg": config.ENVIRONMENT / "pyvenv.cfg",
    }
    shown = "; ".join(f"mount --bind {shlex.quote(str(here))} {there}" for here, there in binds.items())
    script = (
        f"set -e; mount -t tmpfs -o mode=0755,size=64k horizon {config.VIEW}; "
        f"mkdir {config.ENVIRONMENT} {config.SETTINGS} {config.PYTHON}; {shown}; "
        'exec setpriv --no-new-privs "$@"'
    )
    forget = [part for name in sorted(unwanted) for part in ("-u", name)]
    # -P: its own folder, which may lie below /root, stays off Python's path, where Horizon looks for plugins.
    server = [str(config.ENVIRONMENT / "bin" / "python"), "-P", str(SERVE), str(uid(settings)), settings.listen]
    server += [str(settings.port("horizon")), *map(str, settings.tls_files or ())]
    ready = f"{settings.scheme}://{settings.listen}:{settings.port('horizon')}/{config.READY}"
    shell = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script, "horizon"]
    return Spec(
        "horizon",
        ["env", *forget, *shell, *server],
        env={"PYTHONPATH": str(config.SETTINGS), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"},
        probe=Probe("http", ready, config.READY_TEXT, trusted=str(settings.trusted or "")),
        ports={"horizon": settings.port("horizon")},
        after=["keystone"],
        umask=0o077,
    )
