"""What the command line says when the cloud cannot be asked: one line and exit status 2, never a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

console = Console(stderr=True)


class CannotAsk(Exception):
    """In words for whoever typed the command."""


@contextmanager
def plainly() -> Iterator[None]:
    """Failures of Temporal, of a workflow behind a command, and of the services, as their innermost words."""
    from keystoneauth1.exceptions import ClientException
    from temporalio.client import WorkflowFailureError
    from temporalio.service import RPCError

    try:
        yield
    except (CannotAsk, ClientException, WorkflowFailureError, RPCError, ConnectionError, TimeoutError) as error:
        console.print(f"[red]{escape(_innermost(error))}[/red]", soft_wrap=True)
        raise typer.Exit(2) from error


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip() or type(error).__name__
