"""What an audit is asked for and what it finds."""

from pydantic import BaseModel


class AuditRequest(BaseModel):
    repair: bool = False


class Finding(BaseModel):
    """One disagreement. `kind` is a short fixed name (metrics count by it); `repaired` says that it is mended."""

    kind: str
    instance_id: str
    host: str = ""
    what: str = ""  # id of the leaked thing
    repaired: bool = False


class AuditReport(BaseModel):
    findings: list[Finding] = []
    unreachable: list[str] = []  # hosts that did not answer, so that nothing is known about them
    instances: int = 0  # records looked at
