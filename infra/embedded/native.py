"""Oslo's libraries on plain threads."""

import sys
import warnings


def native_threads() -> None:
    """Call before either service is imported. Oslo imports eventlet wherever it is installed; nothing here uses it."""
    sys.modules["eventlet"] = None  # type: ignore[assignment]
    warnings.filterwarnings("ignore", module="pycadf|alembic")
    from oslo_service import backend

    backend.init_backend(backend.BackendType.THREADING)
