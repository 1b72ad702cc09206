from tests.workflows.conftest import cloud, services, tidy

__all__ = ["cloud", "services", "tidy"]
