"""Where `kilonova exec` runs a command: the namespace of a network, or the one with bridges and taps."""

from dataclasses import dataclass

from infra.settings import Settings
from workers.layout import Layout, host_settings


class NoSuchPlace(Exception):
    """No namespace fits; the text says which there are."""


@dataclass(frozen=True)
class Place:
    """`namespace` "" is the machine's own; `label` says what it is, for people."""

    namespace: str
    label: str


def find(settings: Settings, network: str = "", *, bridges: bool = False) -> Place:
    """The namespace of `network`, a name or an id. Without one: of the network that leads out of the cloud (a provider
    network), now or when it is made."""
    layout = Layout.load(settings.state_dir)
    if layout is not None:
        settings = host_settings(settings, layout, layout.hosts[0])
    if not settings.netns and not network:
        return Place("", "the machine's own network")
    outer = Place(settings.netns, "bridges and taps")
    if bridges:
        return outer
    from infra.hostnet import netns
    from infra.hostnet.store import Store

    known = _known(settings)
    if network:
        fitting = [place for names, _, place in known if network in names]
        if len(fitting) == 1:
            return fitting[0]
        listed = ", ".join(sorted(place.label for _, _, place in known)) or "none"
        problem = "more than one network is named" if fitting else "no network here is named"
        raise NoSuchPlace(f"{problem} {network}; here are: {listed}")
    provider = [place for _, leads_out, place in known if leads_out]
    if provider:
        return provider[0]
    waiting = Store(settings).waiting
    if netns.path(waiting).exists():
        return Place(waiting, "of the provider, which has none yet")
    return known[0][2] if len(known) == 1 else outer


def _known(settings: Settings) -> list[tuple[set[str], bool, Place]]:
    """Names, whether it is a provider network, and place of every network that has a namespace here."""
    from infra.hostnet.store import Store

    mapped = set(settings.bridge_mappings.values())
    return [
        ({network_id, record.label}, record.bridge in mapped, Place(record.name, f"{record.label} ({network_id})"))
        for network_id, record in Store(settings).spaces().items()
    ]
