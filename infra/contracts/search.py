"""Search attributes of operations: what Temporal's Web UI and `temporal workflow list` find them by."""

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from infra.contracts.requests import Requester

SERVER_ID = SearchAttributeKey.for_keyword("ServerId")
PROJECT_ID = SearchAttributeKey.for_keyword("ProjectId")
HOST_NAME = SearchAttributeKey.for_keyword("HostName")
REQUEST_ID = SearchAttributeKey.for_keyword("RequestId")

REQUEST_KEY = "request"
"""Memo of an operation: which request began it. A repeat of the request bears the same."""


def attributes_of(instance_id: str, requester: Requester, host: str = "") -> TypedSearchAttributes:
    """What an operation begins with; a host that is not known yet is added once it is."""
    known = [
        SearchAttributePair(SERVER_ID, instance_id),
        SearchAttributePair(PROJECT_ID, requester.project_id),
        SearchAttributePair(REQUEST_ID, requester.request_id),
    ]
    return TypedSearchAttributes([*known, SearchAttributePair(HOST_NAME, host)] if host else known)
