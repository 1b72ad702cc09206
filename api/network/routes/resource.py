"""The five routes that every resource has, out of one description of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from sqlmodel import Session

from api.network.ask import Ask, Asker, JsonBody
from api.network.model.kinds import Kind, R, find, show
from api.network.model.listing import page
from api.network.routes.answers import check_revision, json, made
from api.network.routes.settling import settled
from api.network.schemas.bodies import given, parse_create, parse_update
from api.network.schemas.fields import Attributes

C = TypeVar("C", bound=Attributes)
U = TypeVar("U", bound=Attributes)


@dataclass(frozen=True)
class Resource(Generic[R, C, U]):
    """A resource of the API below /v2.0/`path`. `create` and `update` get the body and the names of the attributes
    that differ from their defaults (create) or were given at all (update); `change` None: it cannot be updated.
    `id_name` is the path parameter's, unless it is the member's name and `_id`. `is_settled`: what the answer to a
    create or update waits for."""

    path: str
    kind: Kind[R]
    new: type[C]
    create: Callable[[Session, Asker, C, list[str]], R]
    remove: Callable[[Session, Asker, R], None]
    change: type[U] | None = None
    update: Callable[[Session, Asker, R, U, list[str]], None] | None = None
    before_list: Callable[[Asker], None] | None = None
    id_name: str = ""
    is_settled: Callable[[R], bool] | None = None

    @property
    def tagged(self) -> bool:
        return self.kind.taggable

    @property
    def words(self) -> str:
        return self.kind.collection.replace("_", " ")

    @property
    def one(self) -> str:
        """Path of a single one below the collection."""
        return f"/{{{self.id_name or f'{self.kind.member}_id'}}}"

    def _asked(self, ask: Asker) -> str:
        return str(ask.request.path_params[self.id_name or f"{self.kind.member}_id"])

    def router(self) -> APIRouter:
        router = APIRouter(prefix=f"/v2.0/{self.path}")
        self._reading(router)
        self._making(router)
        if self.change and self.update:
            self._changing(router, self.change, self.update)
        return router

    def _reading(self, router: APIRouter) -> None:
        kind, before = self.kind, self.before_list

        def list_all(ask: Ask) -> Response:
            if before:
                before(ask)
            with ask.store.read() as session:
                return json(page(session, ask, kind))

        def show_one(ask: Ask) -> Response:
            with ask.store.read() as session:
                return json(show(session, ask, kind, find(session, ask, kind, self._asked(ask))))

        list_all.__doc__ = f"All {self.words} that the caller may see, filtered, sorted and paged."
        show_one.__doc__ = f"One of the {self.words}."
        router.add_api_route("", list_all, methods=["GET"])
        router.add_api_route(self.one, show_one, methods=["GET"])

    def _making(self, router: APIRouter) -> None:
        kind, new, create, remove, is_settled = self.kind, self.new, self.create, self.remove, self.is_settled

        def create_now(ask: Asker, body: dict[str, Any]) -> tuple[JSONResponse, list[str]]:
            wanted, many = parse_create(kind, new, body)
            with ask.store.write() as session:
                rows = [create(session, ask, one, given(one, only_changes=True)) for one in wanted]
                return made(session, ask, kind, rows, many), [row.id for row in rows]

        def create_some(ask: Ask, body: JsonBody) -> Response:
            return create_now(ask, body)[0]

        async def create_settled(ask: Ask, body: JsonBody) -> Response:
            def shown(session: Session, rows: list[R]) -> JSONResponse:
                return made(session, ask, kind, rows, kind.collection in body)

            assert is_settled is not None
            return await settled(ask, kind, lambda: create_now(ask, body), is_settled, shown)

        def delete_one(ask: Ask) -> None:
            with ask.store.write() as session:
                row = find(session, ask, kind, self._asked(ask))
                check_revision(ask, row)
                remove(session, ask, row)

        create_route = create_settled if is_settled else create_some
        create_route.__doc__ = f"Create one or several {self.words}, all or none."
        delete_one.__doc__ = f"Delete one of the {self.words}."
        router.add_api_route("", create_route, methods=["POST"], status_code=201)
        router.add_api_route(self.one, delete_one, methods=["DELETE"], status_code=204)

    def _changing(
        self, router: APIRouter, change: type[U], update: Callable[[Session, Asker, R, U, list[str]], None]
    ) -> None:
        kind, is_settled = self.kind, self.is_settled

        def update_now(ask: Asker, body: dict[str, Any]) -> tuple[JSONResponse, list[str]]:
            wanted = parse_update(kind, change, body)
            with ask.store.write() as session:
                row = find(session, ask, kind, self._asked(ask))
                check_revision(ask, row)
                update(session, ask, row, wanted, given(wanted))
                session.flush()
                return json(show(session, ask, kind, row)), [row.id]

        def update_one(ask: Ask, body: JsonBody) -> Response:
            return update_now(ask, body)[0]

        async def update_settled(ask: Ask, body: JsonBody) -> Response:
            def shown(session: Session, rows: list[R]) -> JSONResponse:
                return json(show(session, ask, kind, rows[0]))

            assert is_settled is not None
            return await settled(ask, kind, lambda: update_now(ask, body), is_settled, shown)

        update_route = update_settled if is_settled else update_one
        update_route.__doc__ = f"Change one of the {self.words}."
        router.add_api_route(self.one, update_route, methods=["PUT"])
