"""One request to a service with records and policy: who asks, at which microversion, and the way to both."""

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from api.common.context import Context
from api.common.policy import Policy
from infra.database import Database
from infra.settings import Settings


@dataclass(frozen=True, slots=True)
class ServiceCall:
    request: Request
    context: Context
    version: int  # minor number of the microversion

    @property
    def settings(self) -> Settings:
        return cast(Settings, self.request.app.state.settings)

    @property
    def db(self) -> Database:
        return cast(Database, self.request.app.state.database)

    @property
    def policy(self) -> Policy:
        return cast(Policy, self.request.app.state.policy)

    def since(self, minor: int) -> bool:
        return self.version >= minor
