"""Settings that every Kilonova process shares; none of them names a database.

Order of precedence: environment (`KILONOVA_*`), `kilonova.toml` in the state directory, defaults for one machine.
"""

import ipaddress
import os
import socket
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

EmbeddedService = Literal["identity", "image", "network", "volume"]
PORTS = {
    "identity": 5000,
    "compute": 8774,
    "placement": 8778,
    "image": 9292,
    "network": 9696,
    "volume": 8776,
    "console": 6080,
    "horizon": 8080,
    "codec": 8081,
    "temporal": 7233,
    "temporal_ui": 8233,
    "nbd": 10809,
    "metrics": 9464,
}
"""TCP port of each service before `port_offset` is added; OpenStack's own where it has one."""


def default_state_dir() -> Path:
    return Path(os.environ.get("KILONOVA_STATE_DIR", "var")).absolute()


def is_loopback(address: str) -> bool:
    """Whether nobody but this machine reaches it."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


class Settings(BaseSettings):
    """What a process must know about its cloud. Units are in the names; addresses are IPv4 or host names."""

    model_config = SettingsConfigDict(env_prefix="KILONOVA_", extra="ignore", env_nested_delimiter="__")

    state_dir: Path = Field(default_factory=default_state_dir)
    listen: str = "127.0.0.1"
    advertise: str = "127.0.0.1"  # host part of the catalog's URLs
    tls: bool = False  # HTTPS on every service; always where `listen` is not this machine's own loopback
    tls_dir: Path | None = None  # server-cert.pem, server-key.pem, ca-cert.pem; default: STATE/tls, made by `up`
    tls_terminated: bool = False  # a proxy in front does TLS, and alone reaches what listens here
    # moves every port, so that two clouds fit on one machine
    port_offset: int = Field(0, ge=0, le=65535 - max(PORTS.values()))
    region: str = "RegionOne"
    trusted_proxies: list[str] = []  # addresses or networks whose X-Forwarded-* headers are believed
    embedded: list[EmbeddedService] = ["identity", "image", "network", "volume"]

    # Identity: where tokens come from, and who this process is. A password file keeps secrets out of `ps`.
    auth_url: str = ""  # default: the embedded identity service
    service_username: str = ""
    service_password: SecretStr = SecretStr("")
    service_project: str = "service"
    token_cache_s: float = 3.0
    token_ttl_s: int = 3600  # how long a token of the embedded Keystone is valid

    # Images in the embedded Glance
    image_max_gib: int = 20  # one image
    image_quota_gib: int = 100  # all images of a project

    # Temporal
    temporal_address: str = ""  # default: the dev server of `kilonova up`
    temporal_namespace: str = "default"
    temporal_ui_url: str = ""
    temporal_tls_ca: Path | None = None  # who signed the frontend's certificate; set, it means TLS
    temporal_tls_cert: Path | None = None  # this process's own certificate and key, where the frontend asks for one
    temporal_tls_key: Path | None = None
    temporal_tls_name: str = ""  # name in the frontend's certificate; default: the address's
    temporal_api_key_file: Path | None = None  # a JWT that the frontend knows; read again when it changes
    codec_key_file: Path | None = None  # default: STATE/keys/codec.json

    # Builds
    build_deadline_s: float = 3600.0
    action_deadlines_s: dict[str, float] = {}  # action -> seconds; others keep that of workflows/actions.py
    build_max_hosts: int = 3  # hosts tried per build, the first one included
    build_failure_memory_s: float = 3600.0  # hosts that failed builds since come last; 0: they are not avoided
    park_failed_builds: bool = False
    park_deadline_s: float = 24 * 3600.0
    reclaim_instance_interval: int = 0  # seconds for which a deleted server can be restored; 0: it is gone at once
    shelved_offload_time: int = 0  # seconds after which a shelved server leaves its host; 0: at once, -1: never
    allow_resize_to_same_host: bool = (
        True  # False: each resize goes to another host, as Nova's do unless told otherwise
    )
    resize_confirm_window: int = 0  # seconds after which a resize that nobody reverted confirms itself; 0: never
    heal_instance_info_cache_interval: int = 60  # seconds between two looks at all servers' ports; 0 or less: none
    network_events: bool = True  # the embedded network service tells at once what changes of servers' ports
    audit_every_s: float = 300.0
    audit_repairs: bool = False  # the audit that runs by itself mends what it can prove; else it only tells
    host_down_after_s: float = 60.0  # no heartbeat for so long: the host is down
    router_wait_s: float = 3.0  # the answer that makes or changes a router waits so long for its host to carry it
    reserved_host_memory_mb: int = 512
    cpu_allocation_ratio: float = 4.0
    ram_allocation_ratio: float = 1.0
    disk_allocation_ratio: float = 1.0

    # Compute host
    host: str = Field(default_factory=socket.gethostname)
    libvirt_uri: str = "qemu:///system"
    virt_type: Literal["auto", "kvm", "qemu", "test"] = "auto"
    availability_zone: str = "nova"
    max_concurrent_builds: int = 4
    resume_guests_state_on_host_boot: bool = True  # guests that were active run again after the machine was booted
    shutdown_timeout_s: int = 60  # what a guest may take to shut itself down before it is ended
    detach_timeout_s: float = Field(60.0, gt=0, le=240)  # so long a guest is asked to give a device back
    heartbeat_s: float = 5.0
    netns: str = ""  # network namespace the guests live in; "" is the host's own
    bridge_mappings: dict[str, str] = {"provider": "br-provider"}  # physical network -> bridge
    host_networking: Literal["kilonova", "none"] = "kilonova"  # who plugs, filters and serves DHCP
    hosts_apart: bool = False  # of `up --driver test`: a namespace for each host, with VXLAN between them
    tunnel_ip: str = ""  # address of this host that carries VXLAN; "" keeps networks on one host
    lab_gateway: bool = False  # answer on the subnet's gateway address ourselves (no router on this network)
    short_ways: Literal["programs", "nftables"] = "programs"  # of noted flows; nftables also where the kernel is older
    way_out: Literal["slirp", "none"] = "slirp"  # of provider networks, with lab_gateway
    way_out_dns: list[str] = []  # name servers for the guests' questions; default: the machine's own
    vendor_data_file: Path | None = None  # a JSON object that every guest of this host reads as vendor_data.json
    image_certificates: Path | None = None  # a directory: certificates of images' signatures, each as ID.pem
    default_trusted_certificates: list[str] = []  # ids: trusted by servers whose request names none
    guest_uid: int = 0  # user of QEMU and owner of disks; 0: this host's own libvirt says, and owns
    guest_uid_first: int = 0  # each guest is a user of its own, from this one on; 0: all are guest_uid
    guest_uid_count: int = 0  # how many user ids from guest_uid_first on are for guests, and for nothing else
    guest_view: str = ""  # where libvirt sees this host's directory, when it has a mount namespace of its own
    apparmor: Literal["auto", "required", "off"] = "auto"  # around guests of `up`'s libvirtd; auto: where it can be
    vnc_listen: str = "socket"  # "socket": a UNIX socket beside the guest's disk; else an address of this host
    nbd_address: str = ""  # where other compute hosts reach volumes, by TLS only; "": this machine's, by a UNIX socket
    nbd_tls_dir: Path | None = None  # ca-cert.pem, server-cert.pem and server-key.pem for `nbd_address`

    failpoints: bool = False  # for chaos tests: a file STATE/failpoints/<step>.before|after kills the step's process

    # Watching
    otlp_endpoint: str = ""  # OpenTelemetry traces are sent there (OTLP over HTTP, http://HOST:4318) when set
    host_metrics_port: int = 0  # a compute worker serves its own metrics there; 0 does not
    log_level: str = "INFO"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = default_state_dir() / "kilonova.toml"
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=toml)

    @model_validator(mode="after")
    def volumes_are_not_exported_in_the_clear(self) -> Self:
        if self.nbd_address and self.nbd_tls_dir is None:
            raise ValueError("nbd_address needs nbd_tls_dir: volumes reach other machines by TLS only")
        return self

    @model_validator(mode="after")
    def who_is_trusted_is_known(self) -> Self:
        if self.default_trusted_certificates and self.image_certificates is None:
            raise ValueError("default_trusted_certificates needs image_certificates: none can be trusted without")
        return self

    @model_validator(mode="after")
    def guests_users_are_nobody_elses(self) -> Self:
        first, count = self.guest_uid_first, self.guest_uid_count
        if not first and not count:
            return self
        if min(first, count, self.guest_uid) <= 0 or first + count > 2**31:
            raise ValueError("guest_uid_first needs guest_uid_count and guest_uid, all above 0 and below 2^31")
        if self.guest_uid in range(first, first + count):
            raise ValueError("guest_uid is of all guests: it cannot be one of those from guest_uid_first on")
        return self

    @model_validator(mode="after")
    def nothing_is_served_in_the_clear(self) -> Self:
        if not (self.tls or self.tls_terminated or is_loopback(self.listen)):
            raise ValueError(
                f"listen={self.listen} is reached by others: set tls, or tls_terminated where a proxy in front does TLS"
            )
        return self

    def port(self, service: str) -> int:
        return PORTS[service] + self.port_offset

    def url(self, service: str, path: str = "") -> str:
        """Base URL of an embedded service, as the catalog publishes it."""
        secure = self.tls or (self.tls_terminated and not is_loopback(self.advertise))
        return f"{'https' if secure else 'http'}://{self.advertise}:{self.port(service)}{path}"

    @property
    def scheme(self) -> str:
        """What is spoken on `listen`."""
        return "https" if self.tls else "http"

    @property
    def tls_place(self) -> Path:
        return (self.tls_dir or self.state_dir / "tls").absolute()

    @property
    def tls_files(self) -> tuple[Path, Path] | None:
        """(certificate, key) of every server of this cloud on this machine; None without TLS."""
        return (self.tls_place / "server-cert.pem", self.tls_place / "server-key.pem") if self.tls else None

    @property
    def trusted(self) -> Path | None:
        """Certificates that the cloud's processes and clients believe, the machine's own included; None without TLS."""
        return self.state_dir.absolute() / "tls" / "trusted.pem" if self.tls else None

    @property
    def identity_url(self) -> str:
        return (self.auth_url or self.url("identity", "/v3")).rstrip("/")

    @property
    def temporal(self) -> str:
        return self.temporal_address or f"{self.listen}:{self.port('temporal')}"

    @property
    def temporal_place(self) -> str:
        """Network namespace of the Temporal server that `kilonova up` starts; "" when it is reached from here.

        The dev server admits whoever reaches it, so only the cloud's own user may. `up` writes the file."""
        file = self.run_dir / "temporal.netns"
        return file.read_text() if not self.temporal_address and file.exists() else ""

    @property
    def codec_keys(self) -> Path:
        return self.codec_key_file or self.state_dir / "keys" / "codec.json"

    @property
    def failpoints_dir(self) -> Path | None:
        return self.state_dir / "failpoints" if self.failpoints else None

    @property
    def run_dir(self) -> Path:
        return self.state_dir / "run"

    @property
    def log_dir(self) -> Path:
        return self.state_dir / "log"

    @property
    def host_dir(self) -> Path:
        """What a compute host keeps: image cache, disks, port files. One directory per host name."""
        return self.state_dir / "hosts" / self.host

    @property
    def host_report(self) -> Path:
        """Empty; touched whenever the control plane has taken a report of this host."""
        return self.host_dir / "reported"


@lru_cache
def settings() -> Settings:
    return Settings()
