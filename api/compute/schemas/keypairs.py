"""Bodies about key pairs (Compute API reference, "Keypairs")."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from api.compute import limits
from api.compute.validation import Name, Strict
from workflows.body import Since


class KeypairCreate(Strict):
    name: Name
    public_key: Annotated[str, StringConstraints(max_length=limits.PUBLIC_KEY)] | None = None
    type: Annotated[Literal["ssh", "x509"], Since(2)] = "ssh"
    user_id: Annotated[str | None, Since(10)] = None
