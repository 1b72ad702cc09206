"""Bodies about key pairs (Compute API reference, "Keypairs")."""

from typing import Annotated, ClassVar, Literal

from pydantic import StringConstraints

from api.compute import limits
from api.compute.validation import Name, Strict


class KeypairCreate(Strict):
    SINCE: ClassVar = {"type": 2, "user_id": 10}

    name: Name
    public_key: Annotated[str, StringConstraints(max_length=limits.PUBLIC_KEY)] | None = None
    type: Literal["ssh", "x509"] = "ssh"
    user_id: str | None = None
