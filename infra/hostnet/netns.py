"""Network namespaces with the standard library alone: create, enter for one call, remove."""

import contextlib
import ctypes
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
NAMESPACES = Path("/run/netns")
_libc = ctypes.CDLL(None, use_errno=True)


class HostNetworkError(Exception):
    """This host cannot do what was asked of its network; the text says what and why, without secrets."""


def path(netns: str) -> Path:
    return NAMESPACES / netns


def names() -> list[str]:
    """Every named namespace of the machine."""
    return sorted(entry.name for entry in NAMESPACES.iterdir()) if NAMESPACES.is_dir() else []


def identity(netns: str) -> str:
    """What tells this namespace from a later one of the same name; '' while it does not exist."""
    try:
        status = (path(netns) if netns else Path("/proc/thread-self/ns/net")).stat()
    except FileNotFoundError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"


def is_there(netns: str) -> bool:
    """'' is the calling process's own."""
    return not netns or path(netns).exists()


def _setns(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")


@contextlib.contextmanager
def entered(netns: str) -> Iterator[None]:
    """The calling thread is inside `netns` for the block. FileNotFoundError when there is no such namespace."""
    if not netns:
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(path(netns), os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(target)
        finally:
            os.close(target)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def call(netns: str, function: Callable[[], T]) -> T:
    """`function()` inside `netns`, in a thread that ends with it, so that no pooled thread can be left in there."""
    return _in_thread(netns, lambda: entered(netns), function) if netns else function()


def call_in_new(function: Callable[[], T]) -> T:
    """`function()` inside a namespace that nobody else knows, and that is gone after it."""
    return _in_thread("new", _left, function)


@contextlib.contextmanager
def _left() -> Iterator[None]:
    if _libc.unshare(CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"unshare: {os.strerror(code)}")
    yield


def _in_thread(
    name: str, inside: Callable[[], contextlib.AbstractContextManager[None]], function: Callable[[], T]
) -> T:
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            with inside():
                results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body, name=f"netns-{name}", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def run(netns: str, command: list[str], text: str = "") -> str:
    """Standard output of `command` run inside `netns` with `text` as its input; HostNetworkError on any failure."""

    def body() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)

    try:
        done = call(netns, body)
    except FileNotFoundError as error:
        raise HostNetworkError(f"{command[0]}: not found, or no network namespace {netns!r}") from error
    except subprocess.TimeoutExpired as error:
        raise HostNetworkError(f"{command[0]} did not end within {error.timeout} s") from error
    if done.returncode != 0:
        raise HostNetworkError(f"{' '.join(command[:3])}: {done.stderr.strip()[:500] or done.returncode}")
    return done.stdout


def documents(text: str) -> list[Any]:
    """The JSON documents that an iproute2 batch printed one after another."""
    found, decoder, at = [], json.JSONDecoder(), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found


def create(netns: str) -> bool:
    """Make the namespace; whether it was this call that made it."""
    if path(netns).exists():
        return False
    try:
        run("", ["ip", "netns", "add", netns])
    except HostNetworkError:
        if path(netns).exists():  # another process was faster
            return False
        raise
    return True


def alias(netns: str, name: str) -> None:
    """Give a namespace another name; both must be removed before it is gone."""
    run("", ["touch", str(path(name))])
    run("", ["mount", "--bind", str(path(netns)), str(path(name))])


def remove(netns: str) -> None:
    if path(netns).exists():
        run("", ["ip", "netns", "delete", netns])


def sysctl(netns: str, values: dict[str, str]) -> None:
    """Write `values` below /proc/sys/net of the namespace; /proc/sys/net follows the calling thread."""

    def body() -> None:
        for name, value in values.items():
            file = Path("/proc/sys/net") / name
            if file.read_text().strip() != value:
                file.write_text(value)

    try:
        call(netns, body)
    except OSError as error:
        raise HostNetworkError(f"sysctl in namespace {netns!r}: {error}") from error
