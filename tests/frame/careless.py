"""A workflow that breaks the rule that the strict sandbox watches over."""

import time

from temporalio import workflow


@workflow.defn
class Careless:
    @workflow.run
    async def run(self) -> float:
        return time.time()
