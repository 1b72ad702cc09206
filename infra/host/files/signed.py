"""Images whose signature must hold, by certificates that a tenant trusts and the operator gave the host."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.contracts.errors import hopeless, host_cannot
from infra.host.files.download import gone
from infra.host.services.rest import Service

PREFIX = "img_signature"
PATIENCE_S = 1800


def properties_of(glance: Service, image_id: str) -> dict[str, str]:
    """What the image says of its signature. Source: Image API v2."""
    answer = glance.ask("GET", f"/images/{image_id}", 200, 404)
    if answer.status_code == 404:
        raise gone(image_id)
    return {name: value for name, value in answer.json().items() if name.startswith(PREFIX)}


def require(file: Path, properties: Mapping[str, str], trusted: Sequence[str], directory: Path | None) -> None:
    """Hopeless (400), in Nova's words, when the signature is missing or wrong, or of nobody who is trusted."""
    if directory is None:
        raise host_cannot("this host has no certificates of images (image_certificates)")
    asked = {"file": str(file.absolute()), "properties": dict(properties), "trusted": [*trusted]}
    done = subprocess.run(
        [sys.executable, "-m", "infra.host.files.signature_check", str(directory.absolute())],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    if done.returncode == 1 and done.stdout.strip():
        raise hopeless(done.stdout.strip(), code=400)
    if done.returncode:
        raise RuntimeError(f"an image's signature could not be checked: {done.stderr.strip()[-300:]}")
