"""Keeps one connection to a libvirtd open: the test driver's guests exist only as long as somebody is connected."""

import contextlib
import sys
import time
from typing import Any

SAMPLE = "test"


def remove_sample(connection: Any) -> None:
    """The driver begins with a running guest of its own, which nobody asked for."""
    import libvirt

    with contextlib.suppress(libvirt.libvirtError):
        domain = connection.lookupByName(SAMPLE)
        domain.destroy()
        domain.undefine()


def main(uri: str) -> None:
    import libvirt

    libvirt.registerErrorHandler(lambda *_: None, None)
    while True:
        try:
            connection = libvirt.open(uri)
            remove_sample(connection)
            while connection.isAlive():
                connection.getLibVersion()  # notices a dead peer, which isAlive alone does not
                time.sleep(0.5)
        except libvirt.libvirtError:
            time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1])
