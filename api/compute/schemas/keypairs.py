"""Bodies about key pairs (Compute API reference, "Keypairs")."""

from typing import ClassVar, Literal

from api.compute.validation import Name, Strict


class KeypairCreate(Strict):
    SINCE: ClassVar = {"type": 2, "user_id": 10}

    name: Name
    public_key: str | None = None
    type: Literal["ssh", "x509"] = "ssh"
    user_id: str | None = None
