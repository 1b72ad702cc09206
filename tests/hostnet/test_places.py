"""Where `kilonova exec` runs a command."""

import pytest

from infra.hostnet import netns
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
    assert find(host.settings, "private").namespace == host.home
    host.net.plug(host.port(11, network_name="private", network_id=OTHER, port_id=OTHER))
    for name in ("private", "nowhere"):
        with pytest.raises(NoSuchPlace, match=OTHER):
            find(host.settings, name)


def test_a_command_begun_before_the_provider_network_reaches_its_guests(host: Host) -> None:
    """Mechanism: the provider network moves into the namespace that waits for it; and into it again when made anew."""
    Layout(hosts=["h1"], netns=host.ns, netns_made=True).save(host.settings.state_dir)
    host.net.ensure_namespace()
    before = find(host.settings).namespace
    for number in (11, 12):
        port = host.port(number, network_name="provider", physical_network="provider")
        guest = host.boot(port, bridge="br-provider")
        host.net.apply_groups([filters(guest.plug, ingress(None))], {})
        guest.listen(80)
        assert find(host.settings).namespace != before
        assert netns.identity(find(host.settings).namespace) == netns.identity(before)
        assert reaches(before, f"10.9.0.{number}", 80)
        host.net.unplug(port.port_id)
        host.net.sync()
        assert find(host.settings).namespace == before
