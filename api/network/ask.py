"""One request as routes and model see it: who asks, with which rights, of which store."""

from functools import cached_property
from typing import Annotated, Any

from fastapi import Depends, Request

from api.common import storable
from api.common.context import Caller, Context
from api.common.errors import ServiceError
from api.common.policy import Policy
from api.network.errors import bad, forbidden
from api.network.store import Store


class Asker:
    """`sees_all`: the caller sees and may name every project's resources (roles admin and service). `lists_all`: also
    without naming them, which a compute host may not."""

    def __init__(self, request: Request, context: Context) -> None:
        self.request = request
        self.context = context
        self.project_id = context.project_id
        self.store: Store = request.app.state.store
        self._policy: Policy = request.app.state.policy
        self._rules: frozenset[str] = request.app.state.rules

    @cached_property
    def sees_all(self) -> bool:
        return self.allows("sees_all_projects", self.project_id)

    @cached_property
    def lists_all(self) -> bool:
        return self.allows("lists_all_projects", self.project_id)

    def allows(self, rule: str, project_id: str, network_project_id: str = "") -> bool:
        target = {"project_id": project_id, "network:project_id": network_project_id or project_id}
        return self._policy.allows(self.context, rule, target)

    def enforce(self, rule: str, project_id: str, network_project_id: str = "") -> None:
        """403 PolicyNotAuthorized unless `rule` allows the caller."""
        if not self.allows(rule, project_id, network_project_id):
            raise forbidden(rule)

    def enforce_sight(self, rule: str) -> None:
        """404 unless `rule` lets the caller see such a thing: what he may not see is not there, as in Neutron."""
        if not self.allows(rule, self.project_id):
            raise ServiceError(404, "The resource could not be found.")

    def enforce_host(self, rule: str, host: str) -> None:
        """403 PolicyNotAuthorized unless `rule` lets the caller ask and tell what concerns `host`."""
        if not self._policy.allows(self.context, rule, {"project_id": self.project_id, "host": host}):
            raise forbidden(rule)

    def enforce_attributes(self, action: str, given: list[str], project_id: str, network_project_id: str = "") -> None:
        """403 for the first of the `given` attributes that has a rule of its own which refuses the caller."""
        for attribute in given:
            if (rule := f"{action}:{attribute}") in self._rules:
                self.enforce(rule, project_id, network_project_id)

    def texts(self, name: str) -> list[str]:
        """What the query gives for `name`; an empty text is none."""
        return [text for text in self.request.query_params.getlist(name) if text]

    def owner(self, *named: str | None) -> str:
        """Project of a new resource: the one `named` in the body or the caller's; 400 when it may not be named."""
        asked = {project for project in named if project is not None}
        if len(asked) > 1:
            raise bad("'project_id' and 'tenant_id' do not match")
        project_id = asked.pop() if asked else self.project_id
        if project_id != self.project_id and not self.allows("acts_for_other_projects", project_id):
            raise bad(
                "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin "
                "or advsvc privileges"
            )
        if not (project_id or self.project_id):
            raise bad("The token has no project, and the request names none.")
        return project_id or self.project_id


async def _asker(request: Request, context: Caller) -> Asker:
    return Asker(request, context)


Ask = Annotated[Asker, Depends(_asker)]
"""Route parameter type: the request's caller, rights and store."""


async def _json_body(request: Request) -> dict[str, Any]:
    """The body, which is read as JSON whatever its type of content is said to be, as in Neutron."""
    body = getattr(request.state, "json", None)
    if body is None and (raw := await request.body()):
        try:
            body = storable.load(raw)
        except storable.Unstorable:
            raise bad("Malformed request body") from None
    if not isinstance(body, dict):
        raise bad("Invalid input for field/attribute body. It is not of type 'object'")
    return body


JsonBody = Annotated[dict[str, Any], Depends(_json_body)]
"""Route parameter type: the request's body, a JSON object."""
