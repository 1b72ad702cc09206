"""Bodies of domains, projects, users, roles, and of the catalog's services, endpoints and regions."""

from typing import Annotated, Any, Literal

from pydantic import Field, StrictStr

from api.identity.schemas.common import Body, Flag, Id, Name, OpenBody, Secret, ShortName, Text

Options = dict[str, Any]
Tags = list[Annotated[StrictStr, Field(min_length=1, max_length=255, pattern=r"^[^,/\x00]*$")]]


class DomainChange(OpenBody):
    name: ShortName = ""
    description: Text | None = None
    enabled: Flag = True
    options: Options = {}


class DomainCreate(DomainChange):
    name: ShortName


class ProjectChange(OpenBody):
    name: ShortName = ""
    description: Text | None = None
    enabled: Flag = True
    domain_id: Id | None = None
    parent_id: Id | None = None
    is_domain: Flag = False
    tags: Annotated[Tags, Field(max_length=80)] = []
    options: Options = {}


class ProjectCreate(ProjectChange):
    name: ShortName


class UserChange(OpenBody):
    name: Name = ""
    password: Secret | None = None
    description: Text | None = None
    enabled: Flag = True
    domain_id: Id | None = None
    default_project_id: Id | None = None
    options: Options = {}


class UserCreate(UserChange):
    name: Name


class RoleChange(Body):
    name: Name = ""
    description: Text | None = None
    domain_id: Id | None = None
    options: Options = {}


class RoleCreate(RoleChange):
    name: Name


class ServiceChange(Body):
    type: Name = ""
    name: Annotated[Text, Field(max_length=255)] = ""
    description: Text | None = None
    enabled: Flag = True


class ServiceCreate(ServiceChange):
    type: Name


class EndpointChange(Body):
    service_id: Id = ""
    interface: Literal["public", "internal", "admin"] = "public"
    url: Annotated[Text, Field(min_length=1, max_length=2048)] = ""
    region_id: Annotated[Text, Field(max_length=255)] | None = None
    region: Annotated[Text, Field(max_length=255)] | None = None
    enabled: Flag = True


class EndpointCreate(EndpointChange):
    service_id: Id
    interface: Literal["public", "internal", "admin"]
    url: Annotated[Text, Field(min_length=1, max_length=2048)]


class RegionChange(Body):
    description: Text | None = None
    parent_region_id: Annotated[Text, Field(max_length=255)] | None = None


class RegionCreate(RegionChange):
    id: Annotated[Text, Field(max_length=255, pattern=r"^[^/]*$")] | None = None
