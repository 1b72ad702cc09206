"""Structured logs: one JSON object a line on standard error, secrets masked before they are written."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

SECRET_KEYS = re.compile(
    r"(?i)pass(word)?$|adminpass|token(_id)?$|secret|user_data|personality|private_key|authorization|x-auth"
)
SECRET_TEXT = re.compile(r"gAAAA[\w-]{20,}={0,2}|(?i:(?:password|adminpass|secret)[\"']?\s*[:=]\s*[\"']?)[^\s\"',}]+")


def mask(text: str) -> str:
    """`text` without Fernet tokens and without values that follow a password's name."""
    return SECRET_TEXT.sub("***", text)


def _mask_event(_logger: object, _name: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in entry.items():
        if SECRET_KEYS.search(key):
            entry[key] = "***"
        elif isinstance(value, str):
            entry[key] = mask(value)
    return entry


def setup(process: str, level: str = "INFO") -> None:
    """Send the process's logs, those of libraries included, to standard error as JSON lines."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _mask_event,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    # No line of code, thread or process is told, so logging need not look for them at each line. Source: Python's
    # "Logging HOWTO", Optimization.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "keystoneauth", "uvicorn.access", "alembic", "openstack", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)


def get(name: str) -> Any:
    return structlog.get_logger(name)
