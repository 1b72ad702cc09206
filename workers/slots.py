"""Room for steps on a compute host: many small ones, few spawns at once, and none taken that would have to wait."""

import asyncio
import threading
from typing import Any

from temporalio.worker import (
    ActivitySlotInfo,
    CustomSlotSupplier,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
)

from activities.step import STEPS

HEAVY = 3
"""Small steps that weigh as much as one heavy one: a build's image, ports and volumes are acquired together."""


class _Permit(SlotPermit):
    """Weighs as much as a heavy step until it is known to be for a small one."""

    weight = HEAVY


class BuildSlots(CustomSlotSupplier):
    """At most `builds` steps that declare themselves heavy run at once, and HEAVY times as many small ones.

    A task that does not fit stays in the queue, where no timeout runs but schedule-to-close."""

    def __init__(self, builds: int) -> None:
        self._capacity = builds * HEAVY
        self._used = 0
        self._guard = threading.Lock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        while True:
            freed = asyncio.Event()
            with self._guard:
                if self._used + HEAVY <= self._capacity:
                    self._used += HEAVY
                    return _Permit()
                entry = (asyncio.get_running_loop(), freed)
                self._waiting.append(entry)
            try:
                await freed.wait()
            finally:
                with self._guard:
                    if entry in self._waiting:
                        self._waiting.remove(entry)

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        with self._guard:
            if self._used + HEAVY > self._capacity:
                return None
            self._used += HEAVY
            return _Permit()

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        info: Any = ctx.slot_info
        if isinstance(info, ActivitySlotInfo) and not _is_heavy(info.activity_type):
            self._free(ctx.permit, HEAVY - 1)

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        self._free(ctx.permit, getattr(ctx.permit, "weight", HEAVY))

    def _free(self, permit: Any, weight: int) -> None:
        with self._guard:
            permit.weight -= weight
            self._used -= weight
            waiting, self._waiting = self._waiting, []
        for loop, freed in waiting:
            loop.call_soon_threadsafe(freed.set)


def _is_heavy(activity_type: str) -> bool:
    known = STEPS.get(activity_type)
    return known is None or known.heavy
