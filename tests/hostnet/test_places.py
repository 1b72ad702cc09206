"""Where `kilonova exec` runs a command."""

import pytest

from tests.hostnet.conftest import Host, filters, ingress, reaches
from workers.cli.places import NoSuchPlace, find
from workers.layout import Layout

OTHER = "0000beef-0000-4000-8000-000000000000"


def test_a_command_runs_in_the_network_that_is_named(host: Host) -> None:
    Layout(hosts=["h1"], netns=host.ns, netns_made=True).save(host.settings.state_dir)
    one = host.boot(host.port(11, network_name="provider", physical_network="provider"), bridge="br-provider")
    two = host.boot(host.port(11, network_name="private", network_id=OTHER))
    host.net.apply_groups([filters(guest.plug, ingress(None)) for guest in (one, two)], {})
    for guest, port in ((one, 80), (two, 81)):
        guest.listen(port)
    provider, private = find(host.settings), find(host.settings, "private")
    assert provider == find(host.settings, "provider") and "provider" in provider.label
    assert private == find(host.settings, OTHER)
    assert reaches(provider.namespace, "10.9.0.11", 80) and not reaches(provider.namespace, "10.9.0.11", 81)
    assert reaches(private.namespace, "10.9.0.11", 81) and not reaches(private.namespace, "10.9.0.11", 80)
    assert find(host.settings, bridges=True).namespace == host.ns


def test_a_name_that_two_networks_have_is_refused(host: Host) -> None:
    Layout(hosts=["h1"], netns=host.ns, netns_made=True).save(host.settings.state_dir)
    host.net.plug(host.port(11, network_name="private"))
    assert find(host.settings).namespace == host.home, "the only network there is"
    host.net.plug(host.port(11, network_name="private", network_id=OTHER, port_id=OTHER))
    assert find(host.settings).namespace == host.ns
    for name in ("private", "nowhere"):
        with pytest.raises(NoSuchPlace, match=OTHER):
            find(host.settings, name)
