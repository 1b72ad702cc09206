"""Search attributes of operations: what Temporal's Web UI and `temporal workflow list` find them by."""

from temporalio.common import SearchAttributeKey

SERVER_ID = SearchAttributeKey.for_keyword("ServerId")
PROJECT_ID = SearchAttributeKey.for_keyword("ProjectId")
HOST_NAME = SearchAttributeKey.for_keyword("HostName")
REQUEST_ID = SearchAttributeKey.for_keyword("RequestId")

REQUEST_KEY = "request"
"""Memo of an operation: which request began it. A repeat of the request bears the same."""
