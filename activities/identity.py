"""Token validation as a step of the build (seed steps 4-5)."""

from pydantic import BaseModel

from activities.step import record_step
from infra.contracts.errors import hopeless
from infra.identity import TokenInvalid, TokenValidator


class TokenRef(BaseModel):
    token: str
    project_id: str


class Identity:
    def __init__(self, tokens: TokenValidator) -> None:
        self._tokens = tokens

    @record_step
    def validate_token(self, ref: TokenRef) -> None:
        """Ask identity whether the token is good and belongs to the project. Reads only.

        Raises Hopeless (401) when it is not; an identity service that does not answer is tried again."""
        try:
            facts = self._tokens.validate_now(ref.token)
        except TokenInvalid as error:
            raise hopeless("The request you have made requires authentication.", code=401) from error
        if facts.project_id != ref.project_id:
            raise hopeless("The token is scoped to another project.", code=403)
