"""What a host's libvirtd sees of its machine, in namespaces of its own; no libvirtd is needed for it."""

import os
import subprocess
from pathlib import Path

import pytest

from infra.settings import Settings
from workers import libvirtd
from workers.layout import Layout, guest_uid

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for mounts")
OF_A_MACHINE = """\
set -e
cp -a /etc/. {etc}/
mount --bind {etc} /etc
unshare --mount --uts --propagation private sh -c '{inside}' &
for n in $(seq 200); do [ -e {tmp}/seen ] && break; sleep 0.05; done
for name in passwd group hosts; do
cp -a /etc/$name /etc/$name.new
mv /etc/$name.new /etc/$name
done
touch {tmp}/replaced
wait $!
"""
LOOK = """\
touch {tmp}/seen
for n in $(seq 200); do [ -e {tmp}/replaced ] && break; sleep 0.05; done
getent passwd {uid}
getent group {uid}
getent hosts node1
ls -d /etc/libvirt/qemu.conf /etc/os-release
"""


def test_guests_have_their_accounts_whatever_becomes_of_the_machines(tmp_path: Path) -> None:
    """useradd, and every package that brings a user, replace /etc/passwd and /etc/group, and with them what is mounted
    over the files. Libvirt looks at a disk with the groups of its guest's account before it starts the guest."""
    settings, layout = Settings(state_dir=tmp_path), Layout(hosts=["node1"])
    libvirtd.prepare(settings, layout, "node1")
    (tmp_path / "etc").mkdir()
    uid = guest_uid(settings)
    inside = "\n".join([*libvirtd.view(settings, "node1"), LOOK.format(tmp=tmp_path, uid=uid)])
    script = OF_A_MACHINE.format(etc=tmp_path / "etc", tmp=tmp_path, inside=inside.replace("'", "'\\''"))
    run = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    account, group, name, *files = done.stdout.splitlines()
    assert account.startswith(f"kilonova-guest:x:{uid}:") and group.startswith(f"kilonova-guest:x:{uid}:")
    assert name.split() == ["127.0.0.1", "localhost", "node1"]
    assert files == ["/etc/libvirt/qemu.conf", "/etc/os-release"]
