"""What compute workers and the console proxy ask of the control plane: they have no database of their own."""

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from sqlalchemy.exc import IntegrityError

from activities.auditing.set_aside import fate
from api.compute.call import Body, Call
from api.compute.errors import bad_request, conflict, not_found
from api.compute.records import consoles, reports, verdicts
from api.compute.schemas.services import ConsoleUse, GuestEvents, HostInstances, HostLeft, HostReport
from api.compute.validation import check, parse
from infra.stores.standings import standings


async def _that_host(call: Call, host: str) -> None:
    """What a path says of a host, only that host may ask and tell."""
    call.enforce("kilonova:host", host=host)


async def _console_proxy(call: Call) -> None:
    call.enforce("kilonova:console")


router = APIRouter(prefix="/kilonova")
THAT_HOST, CONSOLE_PROXY = [Depends(_that_host)], [Depends(_console_proxy)]


@router.put("/hosts/{host}", dependencies=THAT_HOST)
def report_host(call: Call, host: str, body: Body) -> Response:
    """A host's heartbeat with its inventory; 409 for a host of another cloud."""
    if not 0 < len(host) <= 255:
        raise bad_request("Invalid input for field/attribute host.")
    report = parse(call, HostReport, body, "host")
    with call.db.read() as session:
        cloud = verdicts.cloud_id(session)
    if report.cloud_id not in ("", cloud):
        raise conflict(f"Host {host} belongs to cloud {report.cloud_id[:64]}; this is cloud {cloud}.")
    try:
        with call.db.write() as session:
            service_id, disabled = reports.heartbeat(session, host, report)
    except IntegrityError:  # the same new host, reported twice at the same time
        with call.db.write() as session:
            service_id, disabled = reports.heartbeat(session, host, report)
    return JSONResponse({"host": {"id": service_id, "disabled": disabled, "cloud_id": cloud}})


@router.post("/hosts/{host}/instances", dependencies=THAT_HOST)
def judge_instances(call: Call, host: str, body: Body) -> Response:
    """What is positively known of each instance on the host: claimed, elsewhere, deleted, released, or unknown."""
    wish = check(HostInstances, body, "")
    with call.db.read() as session:
        found = verdicts.verdicts(session, host, wish.instances)
        return JSONResponse({"cloud_id": verdicts.cloud_id(session), "instances": found})


@router.post("/hosts/{host}/left", dependencies=THAT_HOST)
def judge_left(call: Call, host: str, body: Body) -> Response:
    """What the records say of servers at rest of which operations left something on the host."""
    wish = check(HostLeft, body, "")
    with call.db.read() as session:
        found = standings(session, host, wish.left, fate)
        told = {id: standing.model_dump(mode="json") for id, standing in found.items()}
        return JSONResponse({"cloud_id": verdicts.cloud_id(session), "servers": told})


@router.get("/hosts/{host}/claims", dependencies=THAT_HOST)
def list_claims(call: Call, host: str) -> Response:
    """Every claim on the host."""
    with call.db.read() as session:
        return JSONResponse({"claims": reports.claims(session, host)})


@router.get("/hosts/{host}/claims/{instance_id}", dependencies=THAT_HOST)
def show_claim(call: Call, host: str, instance_id: str) -> Response:
    """The host's claim on one server; 404 when it has none (any more)."""
    with call.db.look() as store:
        found = reports.claim(store, host, instance_id)
    if found is None:
        raise not_found(f"Host {host[:255]} has no claim on instance {instance_id[:64]}.")
    return JSONResponse({"claim": found})


@router.post("/hosts/{host}/events", status_code=204, dependencies=THAT_HOST)
def report_events(call: Call, host: str, body: Body) -> Response:
    """What happened to guests without anybody's asking."""
    wish = check(GuestEvents, body, "")
    with call.db.write() as session:
        for event in wish.events:
            reports.apply_event(session, host, event)
    return Response(status_code=204)


@router.post("/consoles", dependencies=CONSOLE_PROXY)
def use_console(call: Call, body: Body) -> Response:
    """Where a console token leads; it is used up by asking."""
    found = consoles.use(call.db, check(ConsoleUse, body, "").token)
    if found is None:
        raise not_found("The console token is unknown, used or expired.")
    return JSONResponse({"console": {"target": found[0], "instance_id": found[1]}})
