"""What the command line says when its state directory or its settings cannot be used: one line, exit status 2."""

import errno
import tomllib
from pathlib import Path

from infra.settings import default_state_dir

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NO_PLACE = (*NO_ROOM, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.ELOOP)


def words(error: BaseException) -> str | None:
    """In words for whoever typed the command; None for what is no fault of his directory or settings."""
    place = default_state_dir().absolute()
    if isinstance(error, tomllib.TOMLDecodeError):
        return f"{place / 'kilonova.toml'} cannot be read: {error}."
    if isinstance(error, OSError) and error.errno in NO_PLACE and _concerns(error, place):
        at = f" ({error.filename})" if error.filename and Path(error.filename) != place else ""
        return f"The state directory {place} cannot be used: {_why(error)}{at}."
    return _settings(error)


def _concerns(error: OSError, place: Path) -> bool:
    """A full disk is told without the file's name where writing failed, not opening."""
    if not error.filename:
        return error.errno in NO_ROOM
    named = Path(str(error.filename)).absolute()
    return named == place or place in named.parents or named in place.parents


def _why(error: OSError) -> str:
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return "a file is where a directory has to be"
    return (error.strerror or str(error)).lower()


def _settings(error: BaseException) -> str | None:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError) or error.title != "Settings":
        return None
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    return f"Setting {name}: {first['msg']}." if name else f"Settings: {first['msg']}."
