"""What an `up` decides, and what its hosts see of it."""

import subprocess
import sys
from pathlib import Path

from infra.http_bounds import CONNECTIONS
from infra.settings import Settings
from workers.layout import Layout, decide, host_settings
from workers.processes import TEMPORAL_TUNING, build_plan


def test_a_host_without_guests_carries_networks_when_it_is_asked_to(tmp_path: Path) -> None:
    plain = Settings(state_dir=tmp_path)
    assert host_settings(plain, decide(plain, None, "test"), "node1").host_networking == "none"
    asked = Settings(state_dir=tmp_path, host_networking="kilonova")
    layout = decide(asked, None, "test")
    found = host_settings(asked, layout, "node1")
    assert layout.netns_made and found.netns == layout.netns
    assert (found.virt_type, found.host_networking, found.lab_gateway) == ("test", "kilonova", True)
    layout.save(tmp_path)
    assert decide(plain, None, None).netns == layout.netns, "a later up keeps it"
    assert decide(Settings(state_dir=tmp_path, host_networking="none"), None, None).netns == ""
    assert decide(plain, None, "qemu").netns == layout.netns


def test_hosts_that_are_apart_share_no_namespace_and_have_an_address_each(tmp_path: Path) -> None:
    asked = Settings(state_dir=tmp_path, host_networking="kilonova", hosts_apart=True)
    layout = decide(asked, 2, "test")
    one, two = (host_settings(asked, layout, host) for host in layout.hosts)
    assert [one.netns, two.netns] == [f"{layout.netns}-node1", f"{layout.netns}-node2"]
    assert [one.tunnel_ip, two.tunnel_ip] == ["198.18.0.1", "198.18.0.2"]
    assert not one.lab_gateway, "a gateway is a router's, as on machines of their own"
    real = host_settings(asked, decide(asked, 2, "qemu"), "node1")
    assert (real.netns, real.tunnel_ip) == (layout.netns, ""), "volumes are in one namespace for all real guests"


def test_temporal_has_room_for_every_request_that_may_wait() -> None:
    """Of 700 operations that began at once, 577 were refused ("workflow update was aborted") with room for 500."""
    (room,) = (
        value.partition("=")[2] for value in TEMPORAL_TUNING if value.startswith("history.hostLevelCacheMaxSize=")
    )
    assert int(room) > CONNECTIONS


THREADS_OF_THE_SDK = """
import glob, time
from temporalio.runtime import Runtime, TelemetryConfig
runtime = Runtime(telemetry=TelemetryConfig())
time.sleep(1)  # a thread has its name once it runs
print(sum(open(name).read().startswith("tokio") for name in glob.glob("/proc/self/task/*/comm")))
"""


def test_temporals_sdk_has_one_thread_in_each_of_a_clouds_processes(tmp_path: Path) -> None:
    plan = build_plan(Settings(state_dir=tmp_path), Layout(hosts=["node1"], driver="test"))
    asked = {name: plan.env[name] for name in plan.env if name.startswith("TOKIO")}

    def threads(env: dict[str, str]) -> int:
        run = [sys.executable, "-c", THREADS_OF_THE_SDK]
        return int(subprocess.run(run, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout)

    assert threads(dict.fromkeys(asked, "3")) == 3, "the SDK goes by another variable"
    assert threads(asked) == 1
