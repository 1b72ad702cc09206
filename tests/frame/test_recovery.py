"""The matrix of recovery: no state in which a killed process leaves a server for a human."""

import os
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.frame.matrix import Matrix, page
from tests.ports import free_offset

pytestmark = pytest.mark.asyncio(loop_scope="session")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "recovery-matrix.md"


@pytest.mark.timeout(600)
async def test_every_state_outlives_the_death_of_every_process(tmp_path: Path) -> None:
    """Mechanism: all of the durable core. `KILONOVA_WRITE_DOCS=1` writes the page anew."""
    matrix = Matrix(Settings(state_dir=tmp_path, port_offset=free_offset()))
    try:
        await matrix.fill()
    finally:
        matrix.close()
    if os.environ.get("KILONOVA_WRITE_DOCS"):
        PAGE.write_text(page(matrix))
    assert PAGE.read_text() == page(matrix), "KILONOVA_WRITE_DOCS=1 pytest tests/frame/test_recovery.py"
