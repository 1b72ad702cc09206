"""Requests that start workflows. They lie with the activities, whose inputs they are."""

from infra.contracts.requests import BUILD_OF, Accepted, BootRequest, CutOff, DeleteRequest, Fault, GivenUp, Requester

__all__ = ["BUILD_OF", "Accepted", "BootRequest", "CutOff", "DeleteRequest", "Fault", "GivenUp", "Requester"]
