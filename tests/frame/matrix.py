"""Every state in which a server passes, and kill -9 of each process: what becomes of the server, as a table.

The rows are those of `workflows.states`, the steps are held where a good run passes them, the processes are real. What
the hosts and the neighbours are is made up (tests.frame.shared): they outlive the processes, as in earnest."""

import asyncio
import pickle
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from temporalio.service import RPCError

from activities.step import STEPS
from infra.contracts.requests import DeleteRequest
from infra.contracts.states import SCHEDULING, SOFT_DELETING, at_rest
from infra.settings import Settings
from infra.temporal import connect
from tests.frame.agent import Signs, cloud_of
from tests.temporal import start_temporal
from tests.workflows.acting import Handle, request, server
from tests.workflows.servers import instance_of
from tests.workflows.ways import WAYS
from workflows.states import PASSING, Passing

POWER = {"active": 1, "rescued": 1, "paused": 3, "stopped": 4, "suspended": 4}
PATIENCE_S = 150.0
ROWS = tuple(row for rows in PASSING.values() for row in rows)


@dataclass
class Cell:
    row: Passing
    handle: Handle
    ask: tuple[str, tuple[Any, ...]]  # method of the operations, and what it is given
    before: str  # vm_state


class Matrix:
    """`cells`: (task_state, operation) → kill → the vm_state in which the server came to rest."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.signs = settings, Signs(settings.state_dir)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.cells: dict[tuple[str, str], dict[str, str]] = {}
        self.spare: list[Handle] = []
        self.works: dict[str, str] = {}  # operation → where its steps run, besides those of the record
        self.needs: dict[str, tuple[str, int, list[str]]] = {}  # operation → where its server stands before
        self.kills: dict[str, Callable[[], Awaitable[None]]] = {
            "control worker": lambda: self._again("control"),
            "host agent": lambda: self._again("host"),
            "Temporal": lambda: self._again("temporal"),
            "API": lambda: self._kill("api"),
            "libvirtd": self._libvirtd,
        }

    async def fill(self) -> None:
        """Raises AssertionError with the cells that do not hold."""
        self._start("temporal")
        self.cloud = cloud_of(self.settings, await connect(self.settings))
        self.cloud.prepare()
        self.cloud.silence()
        self._start("host")
        self._start("control")
        for kill, strike in self.kills.items():
            await self._column(kill, strike)
        await asyncio.gather(*(self._dropped(handle) for handle in self.spare))
        assert self.cloud.things.things() == [] and await self.cloud.leaks() == []

    async def _column(self, kill: str, strike: Callable[[], Awaitable[None]]) -> None:
        cells = await asyncio.gather(*(self._prepared(row) for row in ROWS))
        for cell in cells:
            id = instance_of(cell.handle)
            (self.signs.ran / id).unlink(missing_ok=True)
            (self.signs.hold / id).write_text(f"{cell.row.task_state} {self._where(kill, cell.row)}")
        if kill == "API":
            self.signs.requests.write_bytes(pickle.dumps([cell.ask for cell in cells]))
            self._start("api")
        asked = [] if kill == "API" else [asyncio.ensure_future(self._ask(cell)) for cell in cells]
        await self._until(kill, lambda: [c.row for c in cells if not self._held(c).exists()])
        await strike()
        if kill != "libvirtd":
            self._let_go()
        await asyncio.gather(*asked, return_exceptions=True)
        wrong = [text for cell in cells async for text in self._judge(kill, cell)]
        assert not wrong, "\n".join(wrong)
        for cell in cells:
            ran = (self.signs.ran / instance_of(cell.handle)).read_text().split()
            self.works.setdefault(cell.row.operation, next((w for w in ("host", "control") if w in ran), "record"))
        self.spare += [cell.handle for cell in cells if cell.row.ends != {"deleted"}]
        assert await self.cloud.leaks() == [], kill

    def _where(self, kill: str, row: Passing) -> str:
        """Where a step is held: a record step for the worker that does it, else one on the host, if the operation has
        any; which it has, the first column tells."""
        if kill == "control worker" or row.task_state == SCHEDULING:
            return "record"
        return self.works[row.operation]

    async def _prepared(self, row: Passing) -> Cell:
        """A server that stands where the row's operation begins, and how that is asked for."""
        cloud, wanted = self.cloud, self.cloud.request()
        if row.operation == "create":
            handle = cloud.client.get_workflow_handle(f"server-{wanted.instance_id}")
            return Cell(row, handle, ("boot", (wanted,)), "building")
        handle = self._spare(row) or await self._led_to(row)
        if row.operation == "delete":
            later = 3600.0 if row.task_state == SOFT_DELETING else 0
            delete = DeleteRequest(requester=cloud.requester(), instance_id=instance_of(handle), reclaim_after_s=later)
            return Cell(row, handle, ("delete", (delete,)), "active")
        action, asks = request(cloud, handle, row.operation)
        if asks.transition.doing != row.task_state:  # of `by_body` the other: a soft reboot
            asks.body = {**asks.body, "type": "SOFT"}
            asks.transition = action.transition_for(asks.body)
        record = cloud.record(handle)
        assert record is not None and asks.transition.doing == row.task_state, row
        return Cell(row, handle, ("start", (action, asks)), record.vm_state)

    def _spare(self, row: Passing) -> Handle | None:
        """A server of an earlier column that came to rest just where the row's operation begins."""
        found = next((each for each in self.spare if self._stands(each) == self.needs.get(row.operation)), None)
        if found is not None:
            self.spare.remove(found)
        return found

    def _stands(self, handle: Handle) -> tuple[str, int, list[str]]:
        """Its state, how many ports it has, which volumes were attached to it."""
        record = self.cloud.record(handle)
        assert record is not None
        attached = [volume["volume_id"] for volume in record.volumes if not volume["create"]]
        return record.vm_state, len(record.networks), attached

    async def _led_to(self, row: Passing) -> Handle:
        handle = await server(self.cloud, row.operation if row.operation in WAYS else "os-stop")
        self.needs[row.operation] = self._stands(handle)
        return handle

    async def _ended(self, handle: Handle) -> BaseException | None:
        """As `cloud.end`, but as patient as a busy machine and a Temporal that comes back need it."""
        end = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                error = await self.cloud.end(handle)
            except TimeoutError as late:
                error = late
            if not isinstance(error, (RPCError, TimeoutError)) or asyncio.get_running_loop().time() > end:
                return error

    async def _ask(self, cell: Cell) -> Any:
        method, args = cell.ask
        return await getattr(self.cloud.ops, method)(*args)

    async def _judge(self, kill: str, cell: Cell) -> Any:
        """What does not hold: rest, one guest in the state that the record says, no end beyond the table's."""
        row, handle, id = cell.row, cell.handle, instance_of(cell.handle)
        await self._ended(handle)
        record = self.cloud.record(handle)
        assert record is not None
        name = f"{row.task_state} ({row.operation}), {kill}"
        self.cells.setdefault((row.task_state, row.operation), {})[kill] = record.vm_state
        if not at_rest(record.vm_state, record.task_state):
            yield f"{name}: rests in {record.vm_state}/{record.task_state}"
        if record.vm_state not in {*row.ends, *row.fails, cell.before}:
            yield f"{name}: ended as {record.vm_state}"
        guests = [thing for thing in self.cloud.things.things() if thing[1:3] == ("domain", id)]
        if len(guests) != bool(record.host and record.vm_state != "deleted"):
            yield f"{name}: {len(guests)} guests"
        if POWER.get(record.vm_state, record.power_state) != self.cloud.things.power.get(id, record.power_state):
            yield f"{name}: {record.vm_state}, and the guest's power state is {self.cloud.things.power.get(id)}"

    async def _dropped(self, handle: Handle) -> None:
        await self.cloud.delete(handle)
        await self._ended(handle)

    def _held(self, cell: Cell) -> Any:
        return self.signs.held / instance_of(cell.handle)

    def _let_go(self) -> None:
        for each in (*self.signs.hold.iterdir(), *self.signs.held.iterdir()):
            each.unlink()

    async def _libvirtd(self) -> None:
        """Away until each held step on a domain was refused once."""
        wanted = {e.name for e in self.signs.held.iterdir() if STEPS[e.read_text()].resource == "domain"}
        self.signs.libvirtd_down.touch()
        self._let_go()
        await self._until("libvirtd", lambda: wanted - {each.name for each in self.signs.refused.iterdir()})
        self.signs.libvirtd_down.unlink()

    async def _again(self, role: str) -> None:
        await self._kill(role)
        self._start(role)

    async def _kill(self, role: str) -> None:
        self.processes[role].kill()
        await asyncio.to_thread(self.processes[role].wait, 20)

    def _start(self, role: str) -> None:
        if role == "temporal":
            self.processes[role] = start_temporal(self.settings, self.settings.state_dir / "temporal.db")
            return
        argv = [sys.executable, "-m", "tests.frame.agent", role]
        argv += [str(self.settings.state_dir), str(self.settings.port_offset)]
        with (self.settings.state_dir / f"{role}.log").open("ab") as log:
            self.processes[role] = subprocess.Popen(argv, stdout=log, stderr=log)

    async def _until(self, what: str, missing: Callable[[], Any]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while missing():
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{what}: never came: {missing()}") from None

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait(20)


HEAD = """# Recovery: every passing state and kill -9 of every process

Written by `KILONOVA_WRITE_DOCS=1 pytest tests/frame/test_recovery.py`, which does what the table says. In each cell a
server is in that task_state, a step of its operation is held, and the process is killed with SIGKILL and started again
(libvirtd: it refuses for a while, as the driver sees it then; API: the process that was asked). The cell says in which
vm_state the server then came to rest without a human. In all of them nothing was lost, doubled or leaked: one guest, in
the power state that the record says, and nothing left that nobody owns. Processes, records and workflows are the real
ones; guests, ports and volumes are made up.

"""


def lines(cells: dict[tuple[str, str], dict[str, str]], kills: list[str]) -> Iterator[str]:
    yield "| task_state | operation | comes with | ends | when it is lost | " + " | ".join(kills) + " |"
    yield "| --- " * (5 + len(kills)) + "|"
    for row in ROWS:
        reached = cells[row.task_state, row.operation]
        facts = [
            f"`{row.task_state}`",
            row.operation,
            "any" if row.operation == "delete" else ", ".join(sorted(row.begins)),
            ", ".join(sorted(row.ends)) or "as it was",
            row.lost,
            *(reached[kill] for kill in kills),
        ]
        yield "| " + " | ".join(facts) + " |"


def page(matrix: Matrix) -> str:
    return HEAD + "\n".join(lines(matrix.cells, list(matrix.kills))) + "\n"
