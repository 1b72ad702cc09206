"""Requests that start workflows. They lie with the activities, whose inputs they are."""

from infra.contracts.requests import Accepted, BootRequest, CutOff, DeleteRequest, Fault, GivenUp, Requester

__all__ = ["Accepted", "BootRequest", "CutOff", "DeleteRequest", "Fault", "GivenUp", "Requester"]
