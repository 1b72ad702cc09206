"""`python -m tests.armor`: guests under AppArmor, in a virtual machine whose kernel has it, and what was seen there.

Needs root and Debian's package mmdebstrap; three minutes to build the machine, once (~/.cache/kilonova/armor), and
without KVM some ten to run. Not in the default suite for that reason."""

import sys
import time

from tests.armor.machine import CACHE, CannotBuild, started

TOLD = ("seen", "FAILED", "trial:", "Traceback", "  File", "AssertionError")


def main() -> int:
    """Exit status 0 when every line was seen as it should be."""
    begun, result = time.monotonic(), "trial: it did not end"
    try:
        with started() as machine, (CACHE / "console.log").open("w", buffering=1) as raw:
            assert machine.stdout
            for line in machine.stdout:
                raw.write(line)
                if line.startswith(TOLD):
                    print(line.rstrip(), flush=True)
                if line.startswith("trial:"):
                    result = line.strip()
    except CannotBuild as error:
        print(f"no machine: {error}")
        return 2
    print(f"{result}, after {time.monotonic() - begun:.0f} s")
    return 0 if result == "trial: 0 failed" else 1


if __name__ == "__main__":
    sys.exit(main())
