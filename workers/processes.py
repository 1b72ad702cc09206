"""The processes that one machine's cloud consists of, as the supervisor's plan."""

import os
import shutil
import sys
from pathlib import Path

from infra.http_bounds import CONNECTIONS
from infra.settings import Settings
from workers import horizon, libvirtd
from workers.layout import Layout, host_overrides, host_settings, libvirt_run_dir, temporal_netns
from workers.plan import Plan
from workers.probes import Probe
from workers.process import Spec

KEPT_ENVIRONMENT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE")
"""Besides KILONOVA_*: no OS_* of a sourced openrc, no proxy that would catch calls to the cloud's own services."""
OPENSTACK = {"identity": "keystone", "image": "glance"}
"""Embedded services that are OpenStack's own, each in a process of its own."""
HAVE_A_STORE = ("api-services", "api-compute", "worker-control")
SEARCH_ATTRIBUTES = ("ServerId", "ProjectId", "HostName", "RequestId")
TEMPORAL_TUNING = (  # one history shard is read 20 times a second by default, and timers are a second coarse;
    # and what has ended stays in memory for an hour, some 30 KiB a workflow, and 256 MiB of events. Room there must be
    # for every request that waits for its operation: where there is none, Temporal aborts those that wait already
    "history.transferProcessorMaxPollRPS=2000",
    "history.timerProcessorMaxPollRPS=2000",
    "history.visibilityProcessorMaxPollRPS=2000",
    'history.timerProcessorMaxTimeShift="10ms"',
    f"history.hostLevelCacheMaxSize={2 * CONNECTIONS}",
    'history.cacheTTL="60s"',
    'history.cacheBackgroundEvict={"Enabled":true,"LoopInterval":"10s","MaxEntryPerCall":1000}',
    "history.eventsHostLevelCacheMaxSizeBytes=4194304",
    "matching.enableFairness=true",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
    "frontend.WorkflowPauseEnabled=true",
)

TEMPORAL_MEMORY = {"GOGC": "60"}
"""Its heap grows to 1.6 times what is in use before it is collected, not to twice. A limit (GOMEMLIMIT) would have it
collect without end once more than that is in use."""


def build_plan(settings: Settings, layout: Layout) -> Plan:
    env = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    ours = {name: value for name, value in os.environ.items() if name.startswith("KILONOVA_")}
    stores = {name: ours.pop(name) for name in list(ours) if name.startswith("KILONOVA_DATABASE_")}
    env |= ours
    env |= {"KILONOVA_STATE_DIR": str(settings.state_dir), "KILONOVA_PORT_OFFSET": str(settings.port_offset)}
    env |= {"KILONOVA_NETNS": layout.netns, "PYTHONUNBUFFERED": "1"}
    env |= {"MALLOC_ARENA_MAX": "2"}  # glibc gives threads eight arenas a processor, which keep what was freed
    env |= {"TOKIO_WORKER_THREADS": "1"}  # Temporal's SDK has one a processor, which wake each other for little work
    env.setdefault("PATH", os.defpath)
    if settings.trusted:  # for httpx, and for what uses requests: keystoneauth, Glance's own middleware
        trusted = str(settings.trusted)
        env |= {"KILONOVA_TLS": "true", "SSL_CERT_FILE": trusted, "REQUESTS_CA_BUNDLE": trusted}
    specs = [*_temporal(settings), *_openstack(settings), *_apis(settings), _control(settings), _console(settings)]
    specs += _network_side(settings, layout)
    for host in layout.hosts:
        specs += _compute_host(settings, layout, host)
    specs += [horizon.spec(settings, {*ours, *stores})] if layout.horizon else []
    for spec in specs:  # nothing that runs on a compute host may know where the stores are
        if spec.name in HAVE_A_STORE:
            spec.env.update(stores)
    names = {spec.name for spec in specs}
    for spec in specs:  # what is switched off cannot be waited for
        spec.after[:] = [name for name in spec.after if name in names]
        spec.awaits[:] = [name for name in spec.awaits if name in names]
    return Plan(settings.state_dir, env, specs)


def kilonova(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("kilonova")), *arguments]


def temporal_binary() -> str:
    """A `temporal` on PATH, else the one of our own environment."""
    own = str(Path(sys.executable).with_name("temporal"))
    return shutil.which("temporal") or own


def _temporal(settings: Settings) -> list[Spec]:
    if settings.temporal_address:
        return []
    ui = settings.port("temporal_ui")
    enter = ["ip", "netns", "exec", temporal_netns(settings)]
    argv = [*enter, temporal_binary(), "server", "start-dev", "--ip", settings.listen, "--ui-ip", settings.listen]
    argv += ["--port", str(settings.port("temporal")), "--ui-port", str(ui), "--log-level", "warn"]
    argv += ["--db-filename", str(settings.state_dir / "temporal.db"), "--ui-disable-news-fetch"]
    argv += ["--ui-codec-endpoint", f"{temporal_ui(settings)}/codec"]
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
        argv += ["--sqlite-pragma", pragma]
    for value in TEMPORAL_TUNING:
        argv += ["--dynamic-config-value", value]
    for name in SEARCH_ATTRIBUTES:
        argv += ["--search-attribute", f"{name}=Keyword"]
    probe = _asks_temporal(settings, f"/api/v1/namespaces/{settings.temporal_namespace}", "namespaceInfo")
    return [Spec("temporal", argv, env=dict(TEMPORAL_MEMORY), probe=probe, umask=0o077)]


def _asks_temporal(settings: Settings, path: str, text: str) -> Probe:
    """Of the server's own UI, behind the door that people come through."""
    place = "" if settings.temporal_address else temporal_netns(settings)
    base = settings.temporal_ui_url.rstrip("/") or temporal_inside(settings)
    return Probe("http", f"{base}{path}", text, place)


def temporal_inside(settings: Settings) -> str:
    """The dev server's own UI, where only the cloud's user reaches it."""
    return f"http://{settings.listen}:{settings.port('temporal_ui')}"


def temporal_ui(settings: Settings) -> str:
    return (
        settings.temporal_ui_url.rstrip("/") or f"{settings.scheme}://{settings.listen}:{settings.port('temporal_ui')}"
    )


def _openstack(settings: Settings) -> list[Spec]:
    """Keystone and Glance. They read the stores' URLs and passwords from their configuration files."""
    specs = []
    for service, process in OPENSTACK.items():
        if service in settings.embedded:
            ports: dict[str, int] = {service: settings.port(service)}
            argv = embedded_argv(settings, service)
            env = {"KILONOVA_OTLP_ENDPOINT": settings.otlp_endpoint} if settings.otlp_endpoint else {}
            probe = _answers(settings, service)
            specs.append(Spec(process, argv, env=env, probe=probe, ports=ports, umask=0o077))
    return specs


def embedded_argv(settings: Settings, service: str) -> list[str]:
    """The command that serves embedded Keystone (`identity`) or Glance (`image`)."""
    name = OPENSTACK[service]
    folder = settings.state_dir.absolute() / name
    place = [str(folder), settings.listen, str(settings.port(service))]
    return [sys.executable, "-m", "workers.embedded", name, *place, *map(str, settings.tls_files or ())]


def _apis(settings: Settings) -> list[Spec]:
    specs = []
    ours = [service for service in settings.embedded if service not in OPENSTACK]
    if ours:
        flags = [flag for service in ours for flag in ("--service", service)]
        ports: dict[str, int] = {service: settings.port(service) for service in ours}
        probe = _answers(settings, ours[-1])
        specs.append(Spec("api-services", kilonova("api", *flags), probe=probe, ports=ports, after=["nbd", "nbd-gate"]))
    # 50 MiB less than apart
    together = ["compute", "placement", "codec", *(() if settings.temporal_address else ("temporal_ui",))]
    compute = kilonova("api", *(flag for service in together for flag in ("--service", service)))
    ports = {service: settings.port(service) for service in together}
    probe = _answers(settings, "compute")
    return [*specs, Spec("api-compute", compute, probe=probe, ports=ports, after=["temporal"])]


def _answers(settings: Settings, service: str) -> Probe:
    url = f"{settings.scheme}://{settings.listen}:{settings.port(service)}/"
    return Probe("http", url, trusted=str(settings.trusted or ""))


def _polls(settings: Settings, queue: str) -> Probe:
    """A worker of workflows is ready once Temporal knows it as a poller; another address's UI may not be reachable."""
    if settings.temporal_address and not settings.temporal_ui_url:
        return Probe("running", "2")
    path = f"/api/v1/namespaces/{settings.temporal_namespace}/task-queues/{queue}?taskQueueType="
    return _asks_temporal(settings, f"{path}TASK_QUEUE_TYPE_WORKFLOW", '"pollers"')


def _control(settings: Settings) -> Spec:
    argv = kilonova("worker", "control")
    return Spec("worker-control", argv, after=["temporal"], probe=_polls(settings, "control"), stop_grace_s=15)


def _console(settings: Settings) -> Spec:
    port = settings.port("console")
    return Spec("console", kilonova("console"), probe=Probe("listen", str(port)), ports={"novnc": port})


def _network_side(settings: Settings, layout: Layout) -> list[Spec]:
    """What serves the guests' network namespace: volumes, and the API's own addresses."""
    specs = []
    enter = ["ip", "netns", "exec", layout.netns] if layout.netns else []
    if "volume" in settings.embedded:
        from infra.nbd import nbd_socket, storage_daemon_argv
        from infra.volume_doors import control_socket, gate_argv

        ports: dict[str, int] = {"nbd": settings.port("nbd")} if settings.nbd_address else {}
        probe = Probe("unix", str(nbd_socket(settings)))
        specs.append(Spec("nbd", [*enter, *storage_daemon_argv(settings)], probe=probe))
        probe = Probe("unix", str(control_socket(settings)))
        specs.append(Spec("nbd-gate", [*enter, *gate_argv(settings)], probe=probe, ports=ports))
    if layout.netns:
        from infra.hostnet.store import Store

        services = ["compute", "placement", "console", *settings.embedded]
        targets = [f"{settings.advertise}:{settings.port(service)}" for service in services]
        argv = [sys.executable, "-m", "infra.hostnet.forward", "--netns", layout.netns]
        argv += ["--netns", Store(settings.model_copy(update={"netns": layout.netns})).waiting, *targets]
        specs.append(Spec("forward", argv, probe=Probe("running", "0.3")))
    return specs


def _compute_host(settings: Settings, layout: Layout, host: str) -> list[Spec]:
    suffix = "" if len(layout.hosts) == 1 else f"-{host}"
    mine = host_settings(settings, layout, host)
    worker, daemon, keeper = f"worker-compute{suffix}", f"libvirtd{suffix}", f"keeper{suffix}"
    socket = libvirt_run_dir(settings, host) / "libvirt-sock"
    take_down = [sys.executable, "-m", "workers.guests", mine.libvirt_uri, str(mine.host_dir)]
    specs = [
        Spec(
            daemon,
            libvirtd.argv(settings, layout, host),
            env=libvirtd.environment(settings, layout, host),
            probe=Probe("unix", str(socket)),
            on_stop=take_down if layout.driver == "qemu" else [],
        )
    ]
    if layout.driver == "test":
        argv = [sys.executable, "-m", "workers.keeper", mine.libvirt_uri]
        specs.append(Spec(keeper, argv, after=[daemon], awaits=[daemon]))
    env = {f"KILONOVA_{name.upper()}": _text(value) for name, value in host_overrides(settings, layout, host).items()}
    specs.append(
        Spec(
            worker,
            kilonova("worker", "compute"),
            env=env | {"KILONOVA_HOST": host},
            after=[daemon, keeper, "temporal", *OPENSTACK.values(), "api-services", "api-compute"],
            awaits=[daemon, keeper],
            probe=Probe("reports", str(mine.host_report), str(settings.host_down_after_s)),
            stop_grace_s=15,
        )
    )
    return specs


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
