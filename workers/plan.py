"""The plan file: which processes a cloud consists of, written by `kilonova up`, read by the supervisor."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workers.probes import Probe
from workers.process import Place, Spec


@dataclass(frozen=True)
class Plan:
    """`env` is the whole environment that every process gets besides its own additions."""

    state_dir: Path
    env: dict[str, str]
    specs: list[Spec]

    @property
    def place(self) -> Place:
        return Place(run=self.state_dir / "run", log=self.state_dir / "log", env=self.env)

    def levels(self) -> list[list[Spec]]:
        """Specs grouped by how long their chain of `after` is: those of the first level come after nothing."""
        depth: dict[str, int] = {}
        by_name = {spec.name: spec for spec in self.specs}

        def of(name: str) -> int:
            if name not in depth:
                depth[name] = 1 + max((of(need) for need in by_name[name].after), default=-1)
            return depth[name]

        deepest = max((of(name) for name in by_name), default=-1)
        return [[s for s in self.specs if depth[s.name] == level] for level in range(deepest + 1)]

    def save(self) -> None:
        """Replace the file at once, readable by its owner only, since `env` may hold a password."""
        write_atomically(plan_file(self.state_dir), json.dumps({"env": self.env, "specs": self.specs_as_data()}))

    def specs_as_data(self) -> list[dict[str, Any]]:
        return [asdict(spec) for spec in self.specs]

    @classmethod
    def load(cls, state_dir: Path) -> "Plan":
        """FileNotFoundError when no cloud was ever started here."""
        stored = json.loads(plan_file(state_dir).read_text())
        return cls(state_dir, stored["env"], list(_specs(stored["specs"])))


def _specs(stored: Iterable[dict[str, Any]]) -> Iterable[Spec]:
    for each in stored:
        yield Spec(**{**each, "probe": Probe(**each["probe"])})


def plan_file(state_dir: Path) -> Path:
    return state_dir / "run" / "plan.json"


def status_file(state_dir: Path) -> Path:
    return state_dir / "run" / "status.json"


def read_status(state_dir: Path) -> dict[str, Any]:
    """What the supervisor wrote last: {"supervisor": pid, "units": {name: {state, pid, restarts, last_exit}}}."""
    try:
        status: dict[str, Any] = json.loads(status_file(state_dir).read_text())
    except (OSError, ValueError):
        return {}
    return status


def write_atomically(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as out:
            out.write(text)
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
