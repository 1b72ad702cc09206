"""All rules together, two looks, counts, and the plan of a repair."""

import dataclasses

from activities.auditing.compare import REPAIRED, RULES, Tally, agreed, by_host, compare, keys, repairable
from activities.auditing.plan import ENDED, plan
from infra.contracts.audit import AttachmentSeen, Finding, PortSeen, RepairPlan, RepairRequest
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.left import Fate, Standing
from infra.hostnet.models import Damage, HostNetInventory, SpaceFacts
from infra.hostnet.topology import Network, Router, RouterAddress, RouterPort, Subnet, Topology
from tests.auditing.worlds import (
    ATTACHMENT,
    ID,
    NET,
    OTHER,
    PORT,
    VOLUME,
    bare,
    deleted,
    facts,
    server,
    volume,
    world,
)  # fmt: skip

SERVED = Network(id=NET, segment=7, peers=["10.99.0.2"], serves_dhcp=True, subnets=[Subnet(id=NET, cidr="10.0.0.0/24")])
TWICE = Network(id=PORT, serves_dhcp=True, subnets=[Subnet(id=PORT, cidr="10.1.0.0/24", gateway_ip="10.1.0.1")])
SIX = Network(id=VOLUME, subnets=[Subnet(id=VOLUME, cidr="fd00::/64", ipv6_ra_mode="slaac")])
INNER = RouterPort(
    port_id=VOLUME,
    network_id=VOLUME,
    mac_address="fa:16:3e:00:00:01",
    fixed_ips=[RouterAddress(ip_address="fd00::1", subnet_id=VOLUME, prefixlen=64)],
)
TOLD = Topology(networks=[SERVED, TWICE, SIX], routers=[Router(id=OTHER, interfaces=[INNER])])

FLAVOR = FlavorFacts(id="1", name="f", vcpus=1, ram=64)
RESCUED = Standing(instance_id=ID, attempt=1, vm_state="active", flavor=FLAVOR, fates={"rescue": Fate.OVER})


def test_a_world_as_it_should_be_has_no_findings() -> None:
    assert list(compare(world())) == []


def test_each_finding_bears_its_rules_name_and_only_proven_ones_may_be_repaired() -> None:
    worlds = [
        bare(
            deleted(held={"here": 1}),
            hosts={"there": facts("there")},
            ports={PORT: PortSeen(ID), OTHER: PortSeen(ID, mark=ID)},
            attachments={ATTACHMENT: AttachmentSeen(ID, VOLUME)},
            volumes={VOLUME: volume()},
            images={OTHER: ID},
            consoles={ID},
        ),
        bare(servers={}, hosts={"here": facts(), "there": facts("there")}),
        world(hosts={"here": facts(ports={}, taps=[], filters=[], answered=[], dhcp=[])}),
        bare(server(), server(OTHER), hosts={"here": facts(domains={}, waiting={ID: ["vdb"]})}),
        bare(server(task_state="deleting")),
        bare(servers={}, hosts={"here": facts(network=damaged())}, told={"here": TOLD}),
        bare(server(), left={"here": {ID: RESCUED}}),
    ]
    found = [finding for each in worlds for finding in compare(each)]
    assert {finding.kind for finding in found} == RULES.keys()
    assert all(finding.proof for finding in found if finding.kind in REPAIRED)
    assert {finding.kind for finding in found if repairable(finding)} == REPAIRED
    assert not repairable(Finding(kind="tap", instance_id=ID)) and not repairable(
        Finding(kind="lost", instance_id=ID, proof="x")
    )


def damaged() -> HostNetInventory:
    spaces = {f"router/{OTHER}": SpaceFacts(addresses=["10.0.0.9"], routes=["10.8.0.0/16 via 10.0.0.3 dev qr"])}
    rule = Damage(part="table inet chain x", problem="too many")
    spaces[f"net/{TWICE.id}"] = SpaceFacts(addresses=["10.1.0.9"], routes=["10.7.0.0/16 dev net0"])
    more = {"doubled": [f"net/{TWICE.id}"], "misled": ["br-x 52:54:00:00:00:01 vx7"], "loose": ["sp-0"]}
    servers = {"networks": {ID: 1, TWICE.id: 2}, "advertisers": {ID: 3}}
    return HostNetInventory(spaces=spaces, tunnelled=True, tunnels={7: [], 9: []}, damage=[rule], **servers, **more)


def test_a_hosts_network_is_mended_by_the_host_and_names_each_thing_and_what_is_wrong_with_it() -> None:
    found = list(compare(bare(servers={}, hosts={"here": facts(network=damaged())}, told={"here": TOLD})))
    network = [(f.kind, f.what, f.problem) for f in found if by_host(f) and repairable(f)]
    assert network == [
        ("namespace", f"net/{NET}", "missing"),
        ("network_address", f"net/{PORT} 169.254.169.254", "missing"),
        ("network_address", f"net/{PORT} 10.1.0.9", "too many"),
        ("network_route", f"net/{PORT} 10.1.0.0/24 dev net0 src 169.254.169.254", "missing"),
        ("network_route", f"net/{PORT} 10.7.0.0/16 dev net0", "too many"),
        ("router_address", f"router/{OTHER} fd00::1", "missing"),
        ("router_address", f"router/{OTHER} 10.0.0.9", "too many"),
        ("router_route", f"router/{OTHER} 10.8.0.0/16 via 10.0.0.3 dev qr", "too many"),
        ("rules", "host table inet chain x", "too many"),
        ("dhcp_server", f"net/{NET}", "missing"),
        ("dhcp_server", f"net/{ID}", "too many"),
        ("dhcp_server", f"router/{OTHER}", "missing"),
        ("dhcp_server", f"router/{ID}", "too many"),
        ("dhcp_server", f"net/{PORT}", "too many"),
        ("fdb_entry", "br-x 52:54:00:00:00:01 vx7", "too many"),
        ("tunnel", "vxlan/9", "too many"),
        ("tunnel_peer", "vxlan/7 10.99.0.2", "missing"),
        ("subport", "host sp-0", "too many"),
    ]
    again = [f.model_copy(update={"problem": "missing"}) for f in found if f.kind == "tunnel"]
    assert not list(agreed(keys(found), again)), "too many, then missing, is no finding"


def test_a_look_at_one_server_tells_of_no_other() -> None:
    both = bare(server(task_state="deleting"), server(OTHER, task_state="deleting"))
    assert {finding.instance_id for finding in compare(both)} == {ID, OTHER}
    assert {finding.instance_id for finding in compare(dataclasses.replace(both, only=OTHER))} == {OTHER}


def test_only_what_two_looks_find_counts_and_only_so_many_are_kept() -> None:
    first = [Finding(kind="port", instance_id=ID, what=str(n)) for n in range(10)]
    tally = Tally(at_most=3)
    for finding in agreed(keys(first), [*first[2:], Finding(kind="port", instance_id=ID, what="new")]):
        tally.add(finding)
    assert tally.counts == {"port": 8} and [finding.what for finding in tally.kept] == ["2", "3", "4"]


def test_the_plan_of_a_repair() -> None:
    def found(kind: str, **more: str) -> Finding:
        return Finding(kind=kind, instance_id=ID, proof="proof", **more)

    findings = [
        found("domain", host="b"), found("disk", host="b"), found("host_port", host="a", what=PORT),
        found("port", what=PORT), found("binding", what=OTHER), found("attachment", what=ATTACHMENT, volume_id=VOLUME),
        found("volume", what=OTHER), found("allocation", host="here"), found("console_token"),
        found("image", what=OTHER),
        found("tap", host="here", what=PORT), found("filter", host="here", what=PORT), found("dhcp_entry", host="dhcp"),
    ]  # fmt: skip
    made = plan(server(claims=4, held={"here": 4}), findings)
    assert made.findings == findings and made.clean == ["a", "b"] and made.sync == ["dhcp", "here"]
    assert made.release and made.release.port_ids == {PORT: True, OTHER: False} and made.release.failed
    ended, goes = made.release.volumes
    assert (ended.attachment_id, ended.volume_id, ended.create, ended.delete_on_termination) == (
        ATTACHMENT,
        VOLUME,
        False,
        False,
    )
    assert (goes.attachment_id, goes.volume_id, goes.create) == ("", OTHER, True)
    assert [finding.kind for finding in made.forget] == ["allocation", "console_token"]
    assert made.images == [OTHER]
    assert made.plug and made.host == "here" and made.plug.attempt == 4
    assert [(port.port_id, port.mine) for port in made.plug.ports] == [(PORT, False)]
    assert plan(server(), []) == RepairPlan(host="here")
    assert RepairRequest(instance_id=ID, findings=[*findings, found("doubled", host="x,y")]).hosts == {
        "a", "b", "here", "dhcp", "x", "y",
    }  # fmt: skip


def test_a_lost_operation_is_undone_as_a_whole() -> None:
    stuck = Finding(kind="stuck", instance_id=ID, proof="proof")
    made = plan(server(vm_state="building"), [stuck, Finding(kind="tap", instance_id=ID, what=PORT, proof="proof")])
    assert made.findings == [stuck] and made.abandon and made.abandon.keep_as and made.abandon.keep_as.message == ENDED
    assert not made.plug and not made.clean
    lost_delete = plan(server(task_state="deleting"), [stuck])
    assert lost_delete.abandon and lost_delete.abandon.keep_as is None
