"""Keeps one connection to a libvirtd open: the test driver's guests exist only as long as somebody is connected."""

import sys
import time


def main(uri: str) -> None:
    import libvirt

    libvirt.registerErrorHandler(lambda *_: None, None)
    while True:
        try:
            connection = libvirt.open(uri)
            while connection.isAlive():
                connection.getLibVersion()  # notices a dead peer, which isAlive alone does not
                time.sleep(0.5)
        except libvirt.libvirtError:
            time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1])
