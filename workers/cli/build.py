"""`kilonova build …`: watch, retry, resume and replay the builds of servers."""

import asyncio
import logging
import os
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.markup import escape

from workers.cli.asking import CannotAsk, plainly

app = typer.Typer(help="Watch, retry, resume and replay builds.", no_args_is_help=True)
console = Console()
COMPUTE = {"service_type": "compute", "interface": "public"}
NEWEST = {"OpenStack-API-Version": "compute 2.96"}


class Cloud:
    """The compute API as the caller of the command line (OS_* variables), else as the cloud's admin."""

    def __init__(self) -> None:
        from keystoneauth1 import session
        from keystoneauth1.identity import v3

        from infra import credentials
        from infra.settings import settings

        known = settings()
        mine = os.environ.get("OS_USERNAME")
        made = credentials.load(known.state_dir)
        if not mine and "admin" not in made:
            raise CannotAsk(f"There is no admin's password in {known.state_dir}: source an openrc first.")
        auth = v3.Password(
            auth_url=os.environ.get("OS_AUTH_URL") or known.identity_url,
            username=mine or "admin",
            password=os.environ["OS_PASSWORD"] if mine else made["admin"],
            project_name=os.environ.get("OS_PROJECT_NAME") if mine else "admin",
            user_domain_id="default",
            project_domain_id="default",
        )
        self._session = session.Session(auth=auth, timeout=30)

    def _ask(self, method: str, path: str, **kwargs: Any) -> Any:
        return self._session.request(path, method, endpoint_filter=COMPUTE, headers=NEWEST, raise_exc=False, **kwargs)

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        return self.checked(self._ask(method, path, **kwargs))

    def checked(self, answer: Any) -> Any:
        if answer.status_code >= 400:
            words = next(iter(answer.json().values())).get("message", answer.text)
            console.print(f"[red]{words}[/red]")
            raise typer.Exit(1)
        return answer.json() if answer.content else {}

    def state(self, server_id: str) -> tuple[str, bool]:
        """(status, whether nothing is being done to it); of a server that is gone, too."""
        answer = self._ask("GET", f"/servers/{server_id}")
        if answer.status_code == 404:
            return "DELETED", True
        server = self.checked(answer)["server"]
        return server["status"], server["status"] != "BUILD" and server["OS-EXT-STS:task_state"] is None

    def server(self, name_or_id: str) -> dict[str, Any]:
        by_id = self._ask("GET", f"/servers/{quote(name_or_id, safe='')}")
        if by_id.status_code == 200:
            return dict(by_id.json()["server"])
        query = {"name": re.escape(name_or_id)} | ({} if os.environ.get("OS_USERNAME") else {"all_tenants": "1"})
        servers = self.call("GET", "/servers/detail", params=query)["servers"]
        found = [server for server in servers if server["name"] == name_or_id]
        if len(found) != 1:
            console.print(f"[red]{'No' if not found else 'More than one'} server is named {name_or_id}.[/red]")
            raise typer.Exit(1)
        server: dict[str, Any] = found[0]
        return server


@app.command()
def retry(server: str) -> None:
    """Run a failed build again: same id, name and request; a parked one goes on at its failed step."""
    found = _decide(server, "retry")
    console.print(f"{found['name']} builds again; `kilonova watch {found['id']}` shows how.")


@app.command()
def abort(server: str) -> None:
    """Undo a parked build; the server ends in ERROR."""
    found = _decide(server, "abort")
    console.print(f"{found['name']} is being undone.")


def _decide(server: str, decision: str) -> dict[str, Any]:
    with plainly():
        cloud = Cloud()
        found = cloud.server(server)
        cloud.call("POST", f"/servers/{found['id']}/action", json={f"kilonova:{decision}": None})
    return found


@app.command()
def watch(server: str, once: bool = typer.Option(False, help="Print what there is and leave.")) -> None:
    """Show each step as it happens, until the operation ends."""
    with plainly():
        _watch(server, once)


def _watch(server: str, once: bool) -> None:
    cloud = Cloud()
    found = cloud.server(server)
    seen: dict[tuple[str, str], tuple[str | None, str | None]] = {}
    while True:
        status, rests = cloud.state(found["id"])  # before its actions: what begins meanwhile has steps that run
        actions = cloud.call("GET", f"/servers/{found['id']}/os-instance-actions")["instanceActions"]
        newest = max(actions, key=lambda a: a["start_time"])
        path = f"/servers/{found['id']}/os-instance-actions/{newest['request_id']}"
        action = cloud.call("GET", path)["instanceAction"]
        for event in reversed(action["events"]):  # told newest first
            key, now = (event["event"], event["start_time"]), (event["result"], event.get("details"))
            if seen.get(key) != now:
                seen[key] = now
                _print_event(event)
        if once or (rests and all(event["result"] for event in action["events"])):
            console.print(f"{newest['action']}: {found['name']} is {status}")
            return
        time.sleep(0.5)


def _print_event(event: dict[str, Any]) -> None:
    mark = {"Success": "[green]✔[/green]", "Error": "[red]✘[/red]"}.get(event["result"] or "", "…")
    took = ""
    if event.get("finish_time"):
        begun, ended = (datetime.fromisoformat(event[k]) for k in ("start_time", "finish_time"))
        took = f"{(ended - begun).total_seconds():.2f} s"
    where = f" on {event['host']}" if event.get("host") else ""
    console.print(f"{mark} {event['event']}{where} {took} {event.get('details') or ''}".rstrip())


@app.command()
def replay(
    server_or_file: str,
    save: Path | None = typer.Option(None, help="Also write the history, decrypted and masked, to this file."),
) -> None:
    """Step a recorded history through today's workflow code; print each step and the first difference."""
    with plainly():
        asyncio.run(_replay(server_or_file, save))


async def _replay(server_or_file: str, save: Path | None) -> None:
    from google.protobuf.json_format import ParseError
    from temporalio.client import WorkflowHistory
    from temporalio.contrib.pydantic import pydantic_data_converter

    from infra.settings import settings
    from infra.temporal import connect, reading_converter, server_workflow_id
    from workers.replay import in_clear
    from workers.replay import replay as run

    logging.getLogger("temporalio").setLevel(logging.CRITICAL)  # its warnings quote inputs as they are
    known = settings()
    if Path(server_or_file).is_file():
        try:
            history = WorkflowHistory.from_json(Path(server_or_file).stem, Path(server_or_file).read_text())
        except (ValueError, ParseError, KeyError) as error:
            console.print(f"[red]{escape(server_or_file)} is not a recorded history.[/red]", soft_wrap=True)
            raise typer.Exit(1) from error
    else:
        client = await connect(known, patience_s=5)
        instance_id = (await asyncio.to_thread(lambda: Cloud().server(server_or_file)))["id"]
        history = await client.get_workflow_handle(server_workflow_id(instance_id)).fetch_history()
    converter = reading_converter(known) if known.codec_keys.exists() else pydantic_data_converter
    if save:
        save.write_text(await in_clear(history, converter))
    replayed = await run(history, converter)
    for step in replayed.steps:
        mark = "[red]✘[/red]" if step.failure else "[green]✔[/green]"
        console.print(f"{mark} {step.event_id:>4} [bold]{escape(step.name)}[/bold]", highlight=False)
        for label, text in (("input", step.input), ("result", step.result), ("failure", step.failure)):
            if text:
                console.print(f"         {label}: {escape(text)}", soft_wrap=True, highlight=False)
    if replayed.difference:
        console.print(f"[red]first difference:[/red] {escape(replayed.difference)}", soft_wrap=True)
        raise typer.Exit(1)
    console.print("[green]today's code does the same[/green]")
