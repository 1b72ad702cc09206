"""Parameters by which providers are chosen, with Placement's words for what is wrong with them."""

import re
from dataclasses import dataclass, field
from functools import cache

import os_resource_classes
import os_traits

from api.common.parsers import INT32, is_uuid
from api.placement.call import PlacementCall
from api.placement.errors import bad_request
from api.placement.providers import Provider

CLASSES: tuple[str, ...] = tuple(os_resource_classes.STANDARDS)


@cache
def standard_traits() -> tuple[str, ...]:
    return tuple(sorted(os_traits.get_traits()))


@dataclass
class Wanted:
    """`any_of`: of each set one trait or aggregate is needed; `none_of`: none of these is."""

    resources: dict[str, int] = field(default_factory=dict)
    any_of: list[set[str]] = field(default_factory=list)
    none_of: set[str] = field(default_factory=set)
    in_any: list[set[str]] = field(default_factory=list)
    in_none: set[str] = field(default_factory=set)
    tree: str | None = None

    def fits(self, provider: Provider) -> bool:
        traits, groups = set(provider.traits), {group.replace("-", "") for group in provider.aggregates}
        return (
            provider.has_room(self.resources)
            and all(traits & wanted for wanted in self.any_of)
            and not traits & self.none_of
            and all(groups & wanted for wanted in self.in_any)
            and not groups & self.in_none
            and (self.tree is None or plain(self.tree) == plain(provider.id))
        )


def plain(uuid: str) -> str:
    """A UUID without what its writers disagree about."""
    return uuid.replace("-", "").lower()


def wanted(call: PlacementCall) -> Wanted:
    """What the query asks of a provider: `resources`, `required`, `member_of`, `in_tree`."""
    found = Wanted()
    if (text := call.one("resources")) is not None:
        found.resources = resources(text)
    _traits(call, "required", found)
    _traits(call, "root_required", found)  # every provider is a root
    groups = call.values("member_of")
    if len(groups) > 1 and not call.since(24):
        raise bad_request("Multiple member_of parameters are not supported")
    for text in groups:
        _member_of(call, text, found)
    if (tree := call.one("in_tree")) is not None:
        found.tree = uuid_of(tree, "in_tree")
    return found


def uuid_of(text: str, name: str) -> str:
    if not is_uuid(text.strip()):
        raise bad_request(
            f"Invalid query string parameters: Expected '{name}' parameter to be a format of uuid. Got: {text[:64]}"
        )
    return text.strip()


def resources(text: str) -> dict[str, int]:
    """`VCPU:2,MEMORY_MB:1024` as amounts by class; 400 for anything else and for a class that nobody knows."""
    form = "Badly formed resources parameter. Expected resources query string parameter in form: "
    form += "?resources=VCPU:2,MEMORY_MB:1024. Got: "
    if not text.strip():
        raise bad_request(form + "empty string.")
    found: dict[str, int] = {}
    for part in text.split(","):
        name, colon, amount = part.partition(":")
        if not colon or ":" in amount:
            raise bad_request(f"{form}{part[:64]}.")
        if not re.fullmatch(r"-?[0-9]{1,10}", amount) or int(amount) > INT32:
            raise bad_request(f"Requested resource {name[:64]} expected positive integer amount. Got: {amount[:64]}.")
        if int(amount) < 1:
            raise bad_request(f"Requested resource {name[:64]} requires amount >= 1. Got: {amount}.")
        found[name] = int(amount)
    for name in found:
        if name not in CLASSES:
            raise bad_request(f"Invalid resource class in resources parameter: No such resource class {name[:255]}.")
    return found


def _traits(call: PlacementCall, name: str, found: Wanted) -> None:
    """`A,!B`; from 1.39 several times, and `in:A,B` for one of them."""
    values = call.values(name)
    for text in values if call.since(39) else values[-1:]:
        either = text.startswith("in:")
        if either and not call.since(39):
            raise _bad(
                f"The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC' only supported since microversion 1.39. Got: {text[:64]}"
            )
        names = [part.strip() for part in text.removeprefix("in:").split(",")]
        barred = {part.lstrip("!") for part in names if part.startswith("!")}
        if not all(names) or not all(barred):
            raise _bad(
                f"Expected '{name}' parameter value of the form: HW_CPU_X86_VMX,!CUSTOM_MAGIC. "
                f"Got an empty trait in: {text[:64]}"
            )
        if barred and (either or not call.since(22)):
            raise _bad(f"Expected '{name}' parameter value of the form: HW_CPU_X86_VMX,CUSTOM_MAGIC. Got: {text[:64]}")
        plainly = [part for part in names if not part.startswith("!")]
        if unknown := sorted({*plainly, *barred} - set(standard_traits())):
            shown = ", ".join(unknown)[:255]
            raise bad_request(f'Invalid trait(s) in "{name}" parameter: No such trait(s): {shown}.')
        found.any_of += [set(plainly)] if either else [{part} for part in plainly]
        found.none_of |= barred


def _member_of(call: PlacementCall, text: str, found: Wanted) -> None:
    """A UUID, `in:` with several, or `!` before either."""
    barred = text.startswith("!")
    rest = text.removeprefix("!")
    if "," in rest and not rest.startswith("in:"):
        raise bad_request(
            "Multiple values for 'member_of' must be prefixed with the 'in:' or '!in:' keyword using the valid "
            f"microversion. Got: {text[:64]}"
        )
    groups = rest.removeprefix("in:").split(",")
    for group in groups:
        if not is_uuid(group):
            raise _bad(f"Expected 'member_of' parameter to contain valid UUID(s). Got: {group[:64]}")
    if barred and not call.since(32):
        raise bad_request("Forbidden member_of parameters are not supported in the specified microversion")
    if barred:
        found.in_none |= set(map(plain, groups))
    else:
        found.in_any.append(set(map(plain, groups)))


def _bad(words: str) -> Exception:
    return bad_request(f"Invalid query string parameters: {words}")
