"""Keystone imports pysaml2 at start, which parses SAML's schemas for half of that time; only federation needs it."""

import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType


class _Lazily(importlib.machinery.PathFinder):
    """Finds `saml2` and its modules as ever, and loads each at the first use of a name in it."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith("saml2."):
            return None
        spec = super().find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def install() -> None:
    sys.meta_path.insert(0, _Lazily)
