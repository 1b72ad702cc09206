"""Inputs of the steps that keep a guest as it was, until an operation on it is over or confirmed."""

from typing import Literal

from infra.contracts.guarded import Guarded

LABELS = ("rebuild", "resize", "rescue")


class Aside(Guarded):
    """Kept under `label` for one request. `disk`: moved away, copied, or left where it is. `runs`: whether the guest
    ran before, and is to run again when it is brought back."""

    label: Literal["rebuild", "resize", "rescue"]
    request_id: str
    disk: Literal["moved", "copied", "left"]
    runs: bool
