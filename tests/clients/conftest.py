from tests.workflows import conftest as beside

cloud, services, tidy = beside.cloud, beside.services, beside.tidy
