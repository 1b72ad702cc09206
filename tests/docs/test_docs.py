"""Tables, links and pictures of the documentation, against the code."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import api.network.support
from api.compute import support
from infra.database import DatabaseSettings
from infra.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)")


def shown(value: Any) -> str:
    """A default as the settings table writes it."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == "":
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def test_the_settings_table_is_complete_and_right() -> None:
    expected = {}
    for model in (Settings, DatabaseSettings):
        for name, field in model.model_fields.items():
            expected[name] = None if field.default_factory else shown(field.default)
    text = (DOCS / "operator-guide.md").read_text()
    section = text.split("## Settings", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\| (.+) \|$", section, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(expected)
    wrong = {name: default for name, default, _ in rows if expected[name] not in (None, default)}
    assert wrong == {}


def test_the_api_support_table_is_up_to_date() -> None:
    """`python -m api.compute.support > docs/api-support.md` writes it."""
    assert (DOCS / "api-support.md").read_text() == support.table()


def test_the_network_apis_support_table_is_up_to_date() -> None:
    """`python -m api.network.support > docs/api-support-network.md` writes it; every route says what it is for."""
    assert (DOCS / "api-support-network.md").read_text() == api.network.support.table()
    assert [path for _, path, what in api.network.support.routes() if not what.endswith(".")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_tests_that_pages_name_exist() -> None:
    named = {name for page in PAGES for name in re.findall(r"`(tests/[\w/.]+?)(?:::\w+)?`", page.read_text())}
    assert named and [name for name in named if not (ROOT / name).exists()] == []


def test_test_functions_that_pages_name_exist() -> None:
    named = {pair for page in PAGES for pair in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text())}
    assert [p for p in named if f"def {p[1]}(" not in (ROOT / p[0]).read_text()] == []


def test_pictures_are_small_pngs() -> None:
    for name in ("build.png", "console.png"):
        data = (DOCS / "pictures" / name).read_bytes()
        assert data.startswith(b"\x89PNG") and len(data) < 300_000


def test_the_readmes_commands_exist() -> None:
    text = (ROOT / "README.md").read_text()
    listed = subprocess.run(
        [str(ROOT / ".venv/bin/kilonova"), "--help"], capture_output=True, text=True, check=True
    ).stdout
    named = set(re.findall(r"(?:\./|`)kilonova (\w+)", text))
    assert {"demo", "test", "down", "leaks"} <= named
    assert [command for command in named if f" {command} " not in listed] == []
    targets = set(re.findall(r"`make (\w+)`", text))
    assert targets and [t for t in targets if f"\n{t}:" not in (ROOT / "Makefile").read_text()] == []
