"""The one-member objects that Keystone's bodies are wrapped in: {"user": {…}} and so on."""

from api.identity.schemas import resources
from api.identity.schemas.common import Body


class DomainCreateBody(Body):
    domain: resources.DomainCreate


class DomainChangeBody(Body):
    domain: resources.DomainChange


class ProjectCreateBody(Body):
    project: resources.ProjectCreate


class ProjectChangeBody(Body):
    project: resources.ProjectChange


class UserCreateBody(Body):
    user: resources.UserCreate


class UserChangeBody(Body):
    user: resources.UserChange


class RoleCreateBody(Body):
    role: resources.RoleCreate


class RoleChangeBody(Body):
    role: resources.RoleChange


class ServiceCreateBody(Body):
    service: resources.ServiceCreate


class ServiceChangeBody(Body):
    service: resources.ServiceChange


class EndpointCreateBody(Body):
    endpoint: resources.EndpointCreate


class EndpointChangeBody(Body):
    endpoint: resources.EndpointChange


class RegionCreateBody(Body):
    region: resources.RegionCreate


class RegionChangeBody(Body):
    region: resources.RegionChange
