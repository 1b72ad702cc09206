"""What the operator tells every guest of a host: one JSON object, read whenever a guest asks or its drive is written.

Source: Nova administrator guide, "Metadata service", StaticJSON."""

import json
from pathlib import Path
from typing import Any

from infra import logs

log = logs.get(__name__)


def documents(file: Path | None) -> dict[str, dict[str, Any]]:
    """`vendor_data.json` and `vendor_data2.json`, which names the source of each part. What is no JSON object is logged
    and told to nobody: no guest waits for it."""
    told = _read(file) if file else {}
    return {"vendor_data.json": told, "vendor_data2.json": {"static": told} if told else {}}


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
        if isinstance(found, dict):
            return found
        reason = "it is no JSON object"
    except (OSError, ValueError) as error:
        reason = type(error).__name__
    log.warning("no vendor data", file=str(file), reason=reason)
    return {}
