"""Memory-hard password hashes (Argon2id), with a bound on how many are computed at once."""

import asyncio
import ctypes
import secrets
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

TIME_COST, MEMORY_KIB = 2, 20 * 1024
"""About 30 ms of one core and 20 MiB per hash; OWASP asks for at least 19 MiB at two passes."""


M_MMAP_THRESHOLD = -3
"""mallopt's parameter (malloc.h)."""


def give_memory_back() -> None:
    """Blocks as large as a hash needs go back to the system when freed, where the C library knows how to.

    Left alone, glibc learns from the first such block to keep them, once for each thread."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MEMORY_KIB * 1024 // 2)


class TooManySignIns(Exception):
    """More callers wait for a hash than the bound allows."""


class Passwords:
    """Hashes and verifies on `threads` threads of its own, so that memory stays below threads x 20 MiB and nobody
    else's threads are held by callers that wait their turn."""

    def __init__(self, threads: int = 2, max_waiting: int = 500) -> None:
        give_memory_back()
        self._argon2 = PasswordHasher(time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._max_waiting = max_waiting
        self._waiting = 0
        self._nobody = self._argon2.hash(secrets.token_urlsafe(16))

    def hash(self, password: str) -> str:
        return self._pool.submit(self._argon2.hash, password).result()

    def matches(self, password: str, stored: str | None) -> bool:
        """Whether `password` belongs to the hash `stored`. None costs as much time as a wrong password."""
        return self._pool.submit(self._matches, password, stored).result()

    def _matches(self, password: str, stored: str | None) -> bool:
        try:
            return self._argon2.verify(stored or self._nobody, password) and stored is not None
        except (Argon2Error, InvalidHashError):
            return False

    async def verify(self, password: str, stored: str | None) -> bool:
        """`matches` off the event loop; raises TooManySignIns instead of queueing without end."""
        if self._waiting >= self._max_waiting:
            raise TooManySignIns
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._matches, password, stored)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
