"""The supervisor with real processes: order, restarts, adoption, an end that leaves nothing."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.cli.conftest import Cloud, wait_for
from workers import procfs, supervisor
from workers.cli.cloud import NotReady, wait_until_ready
from workers.layout import Layout
from workers.plan import Plan
from workers.probes import Probe, http_answers
from workers.process import Place, Process, Spec
from workers.processes import build_plan


def test_starts_in_order_each_as_session_leader(cloud: Cloud) -> None:
    cloud.start()
    wait_for(cloud.ready)
    pids = {name: cloud.pid(name) for name in ("web", "child", "last")}
    assert all(os.getsid(pid) == pid for pid in pids.values())
    assert procfs.started(pids["last"]) > procfs.started(pids["web"])
    assert (cloud.state_dir / "log" / "web.log").stat().st_mode & 0o777 == 0o600
    assert http_answers(f"http://127.0.0.1:{cloud.port}/", "listing")


def test_restarts_what_is_killed(cloud: Cloud) -> None:
    cloud.start()
    wait_for(cloud.ready)
    before = {name: cloud.pid(name) for name in ("web", "child")}
    orphan = [pid for pid in procfs.session_members(before["child"]) if pid != before["child"]]
    assert orphan
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: all(cloud.pid(name) != pid for name, pid in before.items()) and cloud.ready())
    assert cloud.unit("web")["restarts"] == 1
    assert not procfs.alive(orphan[0]), "what the dead process had started is gone before it is started anew"
    wait_for(lambda: http_answers(f"http://127.0.0.1:{cloud.port}/"))


def test_the_umask_is_not_that_of_who_typed_up(tmp_path: Path) -> None:
    place = Place(run=tmp_path, log=tmp_path, env=os.environ)
    before = os.umask(0o077)
    try:
        started = [
            Process.start(Spec("open", ["/bin/sh", "-c", "umask"]), place),
            Process.start(Spec("closed", ["/bin/sh", "-c", "umask"], umask=0o077), place),
        ]
    finally:
        os.umask(before)
    wait_for(lambda: not any(procfs.alive(process.pid) for process in started))
    assert (tmp_path / "open.log").read_text() == "0022\n"
    assert (tmp_path / "closed.log").read_text() == "0077\n"


def test_a_host_is_ready_once_it_has_reported(cloud: Cloud, tmp_path: Path) -> None:
    """At each start of its worker: a report of the one before is not its own. Who waits is told what is missing."""
    plan = build_plan(Settings(state_dir=tmp_path), Layout(hosts=["node1", "node2"], driver="test"))
    workers = [spec for spec in plan.specs if spec.name.startswith("worker-compute")]
    report = Settings(state_dir=tmp_path, host="node2").host_report
    assert workers[1].probe == Probe("reports", str(report), "60.0")
    report.parent.mkdir(parents=True)
    report.touch()
    cloud.specs.append(Spec("worker", ["sleep", "300"], probe=workers[1].probe))
    cloud.save()
    cloud.start()
    wait_for(lambda: cloud.unit("last").get("state") == "ready")
    with pytest.raises(NotReady, match=r"Not ready: worker \(the compute API has no report of its host\)"):
        wait_until_ready(cloud.plan, 1.0)
    report.touch()
    wait_until_ready(cloud.plan, 10.0)
    os.utime(report, (0, time.time() - 61))
    assert not workers[1].probe.passes(cloud.pid("worker")), "`status` takes a host that reports no longer for silent"


def test_only_processes_with_a_store_are_told_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = "postgresql+psycopg://me:secret@db/kilonova_{service}"
    monkeypatch.setenv("KILONOVA_DATABASE_URL", url)
    plan = build_plan(Settings(state_dir=tmp_path), Layout(hosts=["node1", "node2"], driver="test"))
    assert url not in plan.env.values()
    told = {spec.name for spec in plan.specs if url in spec.env.values()}
    assert told == {"api-services", "api-compute", "worker-control"}
    assert {"worker-compute-node1", "worker-compute-node2"} <= {spec.name for spec in plan.specs}


def test_backs_off_from_what_always_dies(cloud: Cloud) -> None:
    cloud.specs.append(Spec("dying", ["/bin/sh", "-c", "echo no; exit 3"]))
    cloud.specs.append(Spec("absent", ["/no/such/program"]))
    cloud.save()
    cloud.start()
    wait_for(lambda: int(str(cloud.unit("dying").get("restarts", 0))) >= 2)
    assert cloud.unit("dying")["last_exit"] == 3
    log = (cloud.state_dir / "log" / "dying.log").read_text()
    assert log.count("no\n") <= 5
    wait_for(lambda: cloud.unit("web").get("state") == "ready")


def test_next_supervisor_adopts_what_runs(cloud: Cloud) -> None:
    first = cloud.start()
    wait_for(cloud.ready)
    before = {spec.name: cloud.pid(spec.name) for spec in cloud.specs}
    first.kill()
    first.wait()
    assert all(procfs.alive(pid) for pid in before.values())
    os.kill(before["web"], signal.SIGKILL)
    wait_for(lambda: not procfs.alive(before["web"]))
    cloud.start()
    wait_for(lambda: cloud.pid("web") != before["web"] and cloud.ready())
    assert cloud.pid("child") == before["child"]
    assert cloud.pid("last") == before["last"]
    os.kill(before["last"], signal.SIGKILL)  # an adopted process is restarted as well
    wait_for(lambda: cloud.pid("last") != before["last"] and cloud.ready())


def test_down_leaves_nothing(cloud: Cloud) -> None:
    started = cloud.start()
    wait_for(cloud.ready)
    everything = cloud.everything()
    assert len(everything) == 4
    started.terminate()
    assert started.wait(20) == 0
    assert not any(procfs.alive(pid) for pid in everything)
    assert not list((cloud.state_dir / "run").glob("*.pid"))


def test_orphans_are_stopped_without_a_supervisor(cloud: Cloud) -> None:
    started = cloud.start()
    wait_for(cloud.ready)
    everything = [pid for pid in cloud.everything() if pid != started.pid]
    started.kill()
    started.wait()
    supervisor.stop_orphans(cloud.plan)
    assert not any(procfs.alive(pid) for pid in everything)


def test_stops_in_reverse_order_and_runs_the_stop_command(cloud: Cloud) -> None:
    trace = cloud.state_dir / "trace"
    say = f"trap 'echo %s >>{trace}; exit' TERM; while :; do sleep 0.05; done"
    cloud.specs += [
        Spec("one", ["/bin/sh", "-c", say % "one"], on_stop=["/bin/sh", "-c", f"echo before >>{trace}"]),
        Spec("two", ["/bin/sh", "-c", say % "two"], after=["one"], awaits=["one"]),
    ]
    cloud.save()
    started = cloud.start()
    wait_for(cloud.ready)
    started.terminate()
    started.wait(20)
    assert trace.read_text().split() == ["two", "before", "one"]


def test_a_stubborn_process_is_killed(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path, {"PATH": os.environ["PATH"]})
    stubborn = Process.start(Spec("stubborn", ["/bin/sh", "-c", "trap '' TERM; sleep 300 & wait; wait"]), place)
    wait_for(lambda: len(procfs.session_members(stubborn.pid)) >= 2)
    stubborn.stop(0.3)
    assert not procfs.session_members(stubborn.pid)


def test_a_second_supervisor_is_refused(cloud: Cloud) -> None:
    first = cloud.start()
    wait_for(cloud.ready)
    assert supervisor.running(cloud.state_dir) == first.pid
    second = cloud.start()
    assert second.wait(10) != 0
    assert cloud.ready()


def test_a_pid_that_was_given_out_anew_is_not_adopted(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path, {})
    stranger = subprocess.Popen(["sleep", "300"])
    try:
        place.pid_file("web").write_text(f"{stranger.pid}\n")
        assert Process.find("web", place) is None
    finally:
        stranger.kill()
        stranger.wait()
    assert Process.find("web", place) is None


def test_long_logs_are_cut_while_written(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 2000)
        supervisor.rotate(tmp_path, cap=1000)
        writer.write(b"more\n")
    assert log.read_text() == "more\n"
    assert (tmp_path / "web.log.1").read_bytes() == b"x" * 2000


@pytest.mark.parametrize(
    "probe", [Probe("http", "http://127.0.0.1:1/"), Probe("unix", "/nowhere"), Probe("listen", "1")]
)
def test_probes_of_what_is_not_there_fail(probe: Probe) -> None:
    assert not probe.passes(os.getpid())


def test_plan_survives_its_file(cloud: Cloud) -> None:
    assert Plan.load(cloud.state_dir).specs == cloud.specs
    assert [[spec.name for spec in level] for level in cloud.plan.levels()] == [["web", "child"], ["last"]]
    assert (cloud.state_dir / "run" / "plan.json").stat().st_mode & 0o777 == 0o600
