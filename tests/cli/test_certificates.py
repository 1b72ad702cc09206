"""`kilonova keys certificate`: files that a server and its clients can use."""

import os
import ssl
import subprocess
from pathlib import Path

from tests.openstack import ROOT


def test_a_certificate_of_the_clouds_authority(tmp_path: Path) -> None:
    env = {**os.environ, "KILONOVA_STATE_DIR": str(tmp_path)}
    command = [ROOT / ".venv" / "bin" / "kilonova", "keys", "certificate", "host-rack7", "rack7", "10.0.0.7"]
    subprocess.run(command, env=env, check=True)
    place = tmp_path / "tls"
    client = ssl.create_default_context(cafile=str(place / "ca-cert.pem"))
    client.load_cert_chain(place / "host-rack7-cert.pem", place / "host-rack7-key.pem")
    assert (place / "host-rack7-key.pem").stat().st_mode & 0o777 == 0o600
    assert (place / "ca-key.pem").stat().st_mode & 0o777 == 0o600
