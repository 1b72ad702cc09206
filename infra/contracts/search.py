"""Search attributes of operations: what Temporal's Web UI and `temporal workflow list` find them by."""

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from infra.contracts.requests import Requester

SERVER_ID = SearchAttributeKey.for_keyword("ServerId")
PROJECT_ID = SearchAttributeKey.for_keyword("ProjectId")
HOST_NAME = SearchAttributeKey.for_keyword("HostName")
REQUEST_ID = SearchAttributeKey.for_keyword("RequestId")

REQUEST_KEY = "request"
"""Memo of an operation: which request began it. A repeat of the request bears the same."""


def attributes_of(instance_id: str, requester: Requester) -> TypedSearchAttributes:
    """What an operation begins with; the host is added once it is known."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(SERVER_ID, instance_id),
            SearchAttributePair(PROJECT_ID, requester.project_id),
            SearchAttributePair(REQUEST_ID, requester.request_id),
        ]
    )
