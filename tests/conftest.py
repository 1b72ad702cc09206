"""Measuring branches on CPython 3.11: threads that others wait for are left out of it."""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from infra.hypervisor import connection

if sys.gettrace() is not None:
    # A cancel that waits for a thread which is blocked makes CPython 3.11 spin in every thread that is traced, at its
    # next call of a function. A step blocked on libvirt's pool would then wait for a thread that spins on its behalf.
    untraced = partial(ThreadPoolExecutor, initializer=partial(sys.settrace, None))
    setattr(connection, "ThreadPoolExecutor", untraced)  # noqa: B010
