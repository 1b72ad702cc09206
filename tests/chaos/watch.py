"""Whether hosts stay up for whoever lists services, while a storm goes on."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.cloud import Cloud


@dataclass
class Heartbeats:
    cloud: Cloud
    seen: Counter[str] = field(default_factory=Counter)

    async def look(self) -> None:
        """Count, each second, what every service is said to be; for ever."""
        path = "/v2.1/os-services?binary=nova-compute"
        while True:
            answer = await self.cloud.call(self.cloud.admin, "GET", "compute", path)
            for service in answer.json()["services"] if answer is not None else ():
                self.seen[service["state"]] += 1
            await asyncio.sleep(1)
