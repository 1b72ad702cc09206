"""The compute tests' cloud: every service behind its real edge, in this process."""

from tests.compute.conftest import admin, cloud, demo, fresh, other, service, tiny

__all__ = ["admin", "cloud", "demo", "fresh", "other", "service", "tiny"]
