"""The volume service's parts, put together once per process, and the types by which routes ask for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from api.common.context import Caller, Context
from api.common.errors import ServiceError
from api.common.policy import Policy
from api.common.telling import Compute
from api.volume import microversion
from api.volume.building import Building
from api.volume.changing import Changing
from api.volume.exports import Exports
from api.volume.files import Files
from api.volume.images import Images
from api.volume.jobs import Jobs
from api.volume.policy import RULES
from api.volume.records import Records
from api.volume.reserve import Reserve
from api.volume.types import Types
from api.volume.upload_work import Uploads
from api.volume.work import Work
from infra.database import Database, DatabaseSettings
from infra.nbd import StorageDaemon, socket_path, volumes_dir, volumes_uid, volumes_view
from infra.settings import Settings


class VolumeService:
    """Everything a route needs. One process may run it per state directory: jobs and exports are its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        state = settings.state_dir.absolute()  # the storage daemon may have another working directory
        local = f"sqlite:///{state / 'db' / 'volume.sqlite'}"
        self.db = Database("volume", None if DatabaseSettings().database_url else local)
        self.policy = Policy("volume", RULES, settings.state_dir)
        self.records = Records(self.policy)
        self.types = Types(self.policy)
        self.files = Files(volumes_dir(settings), volumes_uid(settings))
        self.daemon = StorageDaemon(socket_path(settings), view=volumes_view(settings))
        self.images = Images(settings)
        self.exports = Exports(settings, self.db, self.files, self.daemon)
        self.reserve = Reserve(self.files.root)
        building = Building(self.files, self.daemon, self.images, self.reserve)
        self.uploads = Uploads(self.files, building, self.images)
        changing = Changing(self.db, self.files, building, self.exports, Compute(settings), self.uploads)
        self.work = Work(self.db, self.files, building, changing, self.reserve)
        self.jobs = Jobs(self.db, self.work)

    def start(self) -> None:
        self.db.wait_ready()
        self.db.migrate()
        self.files.remove_parts()
        self.reserve.refill()
        self.jobs.start()
        self.exports.start()

    def close(self) -> None:
        self.exports.close()
        self.jobs.close()
        self.db.engine.dispose()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    from anyio import to_thread

    service: VolumeService = app.state.volume
    await to_thread.run_sync(service.start)
    try:
        yield
    finally:
        await to_thread.run_sync(service.close)


async def volume_service(request: Request) -> VolumeService:
    service: VolumeService = request.app.state.volume
    return service


async def request_version(request: Request) -> microversion.Version:
    version: microversion.Version = request.state.version
    return version


class Since:
    """A dependency of routes that exist only from a microversion on: before it they are not found."""

    def __init__(self, version: microversion.Version) -> None:
        self.version = version

    async def __call__(self, request: Request) -> None:
        if request.state.version < self.version:
            raise ServiceError(404, "The resource could not be found.")


def since(major: int, minor: int) -> Since:
    return Since((major, minor))


async def volume_caller(request: Request, caller: Caller) -> Context:
    """The caller; 400 as in Cinder when the path names a project that is not the token's."""
    named = request.state.path_project
    if named and named != caller.project_id and not (caller.is_admin or caller.is_service):
        raise ServiceError(400, "Malformed request url")
    return caller


Service = Annotated[VolumeService, Depends(volume_service)]
Version = Annotated[microversion.Version, Depends(request_version)]
VolumeCaller = Annotated[Context, Depends(volume_caller)]
