"""Extensions of the network API that one of the two clouds has not: what is not made then, and what is not asked."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.peer.asks import Ask
from tests.peer.clouds import Cloud


@dataclass(frozen=True)
class Part:
    """`things`: what tests/peer/things.py makes of it; `path`: what stands in paths of requests about it;
    `attribute`: its name in bodies of other things."""

    things: tuple[str, ...]
    path: str
    attribute: str = ""


PARTS = {
    "qos": Part(("policy", "limit"), "/qos/", "qos_policy_id"),
    "trunk": Part(("trunk",), "/trunks"),
    "floating-ip-port-forwarding": Part(("forwarding",), "/port_forwardings"),
    "address-group": Part(("addresses",), "/address-groups"),
    "address-scope": Part(("scope",), "/address-scopes", "address_scope_id"),
    "subnet_allocation": Part(("pool",), "/subnetpools"),
    "rbac-policies": Part(("share",), "/rbac-policies"),
}


@dataclass
class Lacking:
    """`absent`: alias of an extension -> roots of the networks that have it not."""

    absent: dict[str, list[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def things(self) -> frozenset[str]:
        return frozenset(thing for alias in self.absent for thing in PARTS[alias].things)

    def asked(self, asks: Iterable[Ask]) -> Iterator[Ask]:
        """Those that both clouds can answer, without attributes that one of them does not know."""
        for ask in asks:
            if alias := next((alias for alias in self.absent if _is_about(ask, alias, PARTS[alias])), ""):
                self.left_out[alias] += 1
            else:
                yield replace(ask, body=_stripped(ask.body, {PARTS[alias].attribute for alias in self.absent} - {""}))

    def __str__(self) -> str:
        return "\n".join(
            f"{alias}: {self.left_out[alias]} requests are left out, since {' and '.join(roots)} has it not"
            for alias, roots in self.absent.items()
        )


def between(sides: Iterable[Cloud]) -> Lacking:
    """Asked as both users' networks tell their extensions."""
    absent: dict[str, list[str]] = {}
    for side in sides:
        answer = side.ask("member", "network", "GET", "/v2.0/extensions", None, {})
        has = {each["alias"] for each in answer.body["extensions"]}
        for alias in PARTS.keys() - has:
            absent.setdefault(alias, []).append(side.roots["network"])
    return Lacking(dict(sorted(absent.items())))


def _is_about(ask: Ask, alias: str, part: Part) -> bool:
    """Whether the extension, or a thing of it, is what the request asks for; not merely an attribute beside others."""
    if ask.service != "network":
        return False
    path = f"{ask.path.partition('?')[0]}/"
    if f"{part.path.rstrip('/')}/" in path or path.endswith(f"/extensions/{alias}/"):
        return True
    if part.attribute and (f"{part.attribute}=" in ask.path or part.attribute in ask.about):
        return True
    said = f"{ask.path} {json.dumps(_stripped(ask.body, {part.attribute}))}"
    return any(f"{{{thing}}}" in said for thing in part.things)


def _stripped(body: Any, names: set[str]) -> Any:
    match body:
        case dict():
            return {name: _stripped(value, names) for name, value in body.items() if name not in names}
        case list():
            return [_stripped(each, names) for each in body]
    return body
