"""/v3/regions: names under which endpoints are grouped."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from sqlalchemy import or_, select
from sqlmodel import Session, col

from api.common.errors import ServiceError
from api.identity.access import Access, Here
from api.identity.errors import Conflict, Invalid
from api.identity.listing import fetch
from api.identity.schemas.envelopes import RegionChangeBody, RegionCreateBody
from api.identity.schemas.resources import RegionChange
from infra.tables.identity import Endpoint, Region, new_id

router = APIRouter(prefix="/v3/regions")
RegionId = Annotated[str, Path(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]


def view(here: Access, region: Region) -> dict[str, Any]:
    return {
        "id": region.id,
        "description": region.description,
        "parent_region_id": region.parent_region_id,
        "links": here.link("regions", region.id),
    }


def _apply(session: Session, region: Region, change: RegionChange) -> None:
    given = change.given()
    region.description = given.get("description", region.description) or ""
    parent = given.get("parent_region_id", region.parent_region_id) or None
    above = fetch(session, Region, "region", parent) if parent else None
    while above is not None:
        if above.id == region.id:
            raise Invalid(f"Unable to make region {region.id[:64]} its own ancestor.")
        above = session.get(Region, above.parent_region_id) if above.parent_region_id else None
    region.parent_region_id = parent


def _create(here: Access, region_id: str, body: RegionCreateBody) -> dict[str, Any]:
    here.allow("create_region")
    region = Region(id=region_id)
    with here.store.change() as session:
        if session.get(Region, region_id) is not None:
            raise Conflict("region", f"Duplicate ID, {region_id}.")
        _apply(session, region, body.region)
        session.add(region)
    return {"region": view(here, region)}


@router.post("", status_code=201)
def create_region(here: Here, body: RegionCreateBody) -> dict[str, Any]:
    return _create(here, body.region.id or new_id(), body)


@router.put("/{region_id}", status_code=201)
def create_region_with_id(here: Here, region_id: RegionId, body: RegionCreateBody) -> dict[str, Any]:
    if body.region.id not in (None, region_id):
        raise Invalid("The region's id in the body differs from the one in the URL.")
    return _create(here, region_id, body)


@router.get("")
def list_regions(here: Here) -> dict[str, Any]:
    here.allow("list_regions")
    with here.store.read() as session:
        rows = here.rows(session, Region, select(Region), {"parent_region_id": Region.parent_region_id})
    return here.collection("regions", [view(here, row) for row in rows])


@router.get("/{region_id}")
def get_region(here: Here, region_id: str) -> dict[str, Any]:
    here.allow("get_region")
    with here.store.read() as session:
        return {"region": view(here, fetch(session, Region, "region", region_id))}


@router.patch("/{region_id}")
def update_region(here: Here, region_id: str, body: RegionChangeBody) -> dict[str, Any]:
    here.allow("update_region")
    with here.store.change() as session:
        region = fetch(session, Region, "region", region_id)
        _apply(session, region, body.region)
        session.add(region)
    return {"region": view(here, region)}


@router.delete("/{region_id}", status_code=204)
def delete_region(here: Here, region_id: str) -> None:
    here.allow("delete_region")
    with here.store.change() as session:
        region = fetch(session, Region, "region", region_id)
        family = select(col(Region.id)).where(
            or_(col(Region.id) == region.id, col(Region.parent_region_id) == region.id)
        )
        children = session.scalars(family.where(col(Region.id) != region.id)).first()
        used = session.scalars(select(col(Endpoint.id)).where(col(Endpoint.region_id).in_(family))).first()
        if children or used:
            raise ServiceError(
                403,
                f"Unable to delete region {region.id} because it or its child regions have associated endpoints.",
            )
        session.delete(region)
