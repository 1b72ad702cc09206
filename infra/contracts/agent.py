"""Inputs of the steps that the agent within a guest carries out."""

from infra.contracts.guarded import Guarded


class NewPassword(Guarded):
    """`password` is sealed in the history with the rest of this model, and is written nowhere else."""

    user: str
    password: str


class Still(Guarded):
    """File systems held still for a copy that others make. `required`: without that there is to be no copy."""

    required: bool = False
