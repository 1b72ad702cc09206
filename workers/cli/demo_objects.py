"""What the seeds' walkthrough makes before it boots: network, subnet, flavor, key pair, security group rules."""

import subprocess
from dataclasses import dataclass

from infra.settings import Settings
from workers.cli.client import Client

NETWORK, SUBNET, PREFIX = "provider", "provider-subnet", "192.168.56"
FLAVOR, SEED_RAM_MB, KEY_NAME = "keywa.com", 64, "demo-key"


@dataclass(frozen=True)
class Objects:
    network_id: str
    flavor: str


def make_all(settings: Settings, admin: Client, demo: Client, min_ram_mb: int) -> Objects:
    """Make what is missing. Raises ClientFailed."""
    network_id = _network(admin)
    flavor = _flavor(admin, min_ram_mb)
    _key_pair(settings, demo)
    _rules(demo)
    return Objects(network_id, flavor)


def _network(admin: Client) -> str:
    network = admin.sdk.network.find_network(NETWORK)
    if network is None:
        flat = ["--provider-physical-network", "provider", "--provider-network-type", "flat"]
        admin("network", "create", "--share", "--external", *flat, NETWORK)
        network = admin.sdk.network.find_network(NETWORK, ignore_missing=False)
    if not list(admin.sdk.network.subnets(network_id=network.id)):
        pool = ["--allocation-pool", f"start={PREFIX}.100,end={PREFIX}.200"]
        way = ["--dns-nameserver", f"{PREFIX}.2", "--gateway", f"{PREFIX}.2", "--subnet-range", f"{PREFIX}.0/24"]
        admin("subnet", "create", "--network", NETWORK, *pool, *way, SUBNET)
    return str(network.id)


def _flavor(admin: Client, min_ram_mb: int) -> str:
    """Name of a flavor in which the image boots: the seeds' own, or a bigger one beside it."""
    known = {flavor.name: flavor for flavor in admin.sdk.compute.flavors()}
    if FLAVOR in known and known[FLAVOR].ram >= min_ram_mb:
        return FLAVOR
    ram = SEED_RAM_MB if min_ram_mb <= SEED_RAM_MB else max(96, min_ram_mb)
    if FLAVOR not in known:
        numbered = [] if "0" in {flavor.id for flavor in known.values()} else ["--id", "0"]
        admin("flavor", "create", *numbered, "--vcpus", "1", "--ram", str(ram), "--disk", "1", FLAVOR)
        return FLAVOR
    bigger = f"{FLAVOR}-{ram}"
    if bigger not in known:
        admin("flavor", "create", "--vcpus", "1", "--ram", str(ram), "--disk", "1", bigger)
    return bigger


def _key_pair(settings: Settings, demo: Client) -> None:
    """STATE/demo_key, made once, and its public half as the key pair KEY_NAME."""
    key = settings.state_dir / "demo_key"
    public = key.with_name("demo_key.pub")
    if not key.exists() or not public.exists():
        key.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-C", "demo", "-f", str(key)], check=True)
    known = demo.sdk.compute.find_keypair(KEY_NAME)
    if known is not None and known.public_key.split()[:2] != public.read_text().split()[:2]:
        demo("keypair", "delete", KEY_NAME)
        known = None
    if known is None:
        demo("keypair", "create", "--public-key", str(public), KEY_NAME)


def _rules(demo: Client) -> None:
    """Let ICMP and SSH in, as the seeds do."""
    project = demo.sdk.current_project_id
    group = next(iter(demo.sdk.network.security_groups(name="default", project_id=project)))
    rules = list(demo.sdk.network.security_group_rules(security_group_id=group.id, direction="ingress"))
    if not any(rule.protocol == "icmp" for rule in rules):
        demo("security", "group", "rule", "create", "--proto", "icmp", "default")
    if not any(rule.protocol == "tcp" and rule.port_range_min == 22 for rule in rules):
        demo("security", "group", "rule", "create", "--proto", "tcp", "--dst-port", "22", "default")
