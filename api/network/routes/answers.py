"""What the routes of all resources share: answers, and the revision that a caller may insist on."""

import re
from collections.abc import Sequence
from typing import Any

from fastapi.responses import JSONResponse
from sqlmodel import Session

from api.common.errors import ServiceError
from api.network.ask import Asker
from api.network.errors import bad
from api.network.model.kinds import Kind, R, View
from infra.tables.network import Standard


def json(body: dict[str, Any], status: int = 200) -> JSONResponse:
    return JSONResponse(body, status_code=status)


def made(session: Session, ask: Asker, kind: Kind[R], rows: Sequence[R], many: bool) -> JSONResponse:
    """201 with what was created, in the shape of the request: one resource or a list."""
    session.flush()
    shown = kind.render(session, rows, View(ask.sees_all, project_id=ask.project_id))
    return JSONResponse({kind.collection: shown} if many else {kind.member: shown[0]}, status_code=201)


def check_revision(ask: Asker, row: Standard) -> None:
    """412 when the caller's `If-Match: revision_number=N` is not the resource's (extension revision-if-match)."""
    wanted = ask.request.headers.get("if-match")
    if wanted is None:
        return
    number = re.fullmatch(r"revision_number=(\d{1,9})", wanted.strip())
    if number is None:
        raise bad("Invalid revision number format in If-Match; expected revision_number=N.")
    if int(number[1]) != row.revision_number:
        raise ServiceError(
            412,
            f"Constrained to {number[1]}, but current revision is {row.revision_number}",
            title="RevisionNumberConstraintFailed",
        )
