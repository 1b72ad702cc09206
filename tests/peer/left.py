"""Differences that are meant, each with its reason; docs/answers.md has the same list in prose."""

import re
from dataclasses import dataclass

from tests.peer.asks import Ask
from tests.peer.compare import Difference


@dataclass(frozen=True)
class Left:
    """`place`, `ours` and `theirs` are regular expressions, each matched from the beginning."""

    why: str
    kind: str
    place: str = ""
    ours: str = ""
    theirs: str = ""

    def fits(self, found: Difference) -> bool:
        pairs = ((self.place, found.place), (self.ours, found.ours), (self.theirs, found.theirs))
        return re.fullmatch(self.kind, found.kind) is not None and all(
            re.match(p, text, re.DOTALL) for p, text in pairs
        )


EXTENSIONS = (
    r".*/(dns_\w+|extra_dhcp_opts|qos_\w+|resource_request|flavor_id|distributed|ha|port_forwardings.*|target_project|"
    r"standard_attr_id|tags|revision_number|created_at|updated_at|shared|provider:segmentation_id|binding:.*)$"
)
NO_ROUTE = r".*\{'message': 'The resource could not be found|.*Extension with alias"
LEFT = (
    Left("each cloud's own", "value"),
    Left("a fault of theirs: a connection that broke, or a 5xx", "status", theirs=r"0 |5\d\d "),
    Left("not built, and said so", "status", ours="501 "),
    Left("a method that a path does not have is 405 with Allow (RFC 9110)", "status", ours="405 "),
    Left("a path that nobody has is told as any other error", "status|words|shape", theirs=NO_ROUTE),
    Left("a path that nobody has is told as any other error", "shape", ours=r"\{'(itemNotFound|NeutronError)'"),
    Left("each answer has a request id and tells its microversion", "header", ours=".+", theirs="$"),
    Left("an answer without a body has no type of content", "header", place="content-type", ours="$"),
    Left("the microversion that is answered at, never one that is not served", "header", place=".*version"),
    Left("rights are looked at before the body and the query", "status", ours="403 .*isallowed|403 Policy|403 Polic"),
    Left("what a caller may not see is not there, whatever is asked of it", "status",
        ours=r"404 Instance|404 HTTPNotFound"),
    Left("the two have other extensions of the network API", "shape", place=EXTENSIONS),
    Left("the two have other extensions of the network API", "status|words",
        theirs=".*is invalid attribute for filtering"),
    Left("diagnostics before 2.48 are the driver's own", "shape", place=r"/(cpu|vda|vnet|tap|memory)"),
    Left("a step of the control plane has no host", "shape", place=".*/events.*/host"),
    Left("an action's outcome is each cloud's own", "shape", place=r".*/instanceActions\[\]/message"),
    Left("an older Nova's words for a cell that it has not", "words",
        theirs=".*(has no mapping to a cell|mapped to any cell)"),
    Left("what is no base64 is refused, never cut", "status", ours=".*base64"),
    Left("a host, a network that is not to be had is refused at once", "status",
        ours="40[03] (Compute host|It is not all)"),
    Left("a rule that was made without a description has an empty one", "shape", place=".*/description"),
    Left("an image beside mappings without a root is the root", "status", ours="202 ", theirs=".*Boot sequence"),
    Left("a number is a number", "status", ours=".*is not an integer"),
    Left("an MTU that IPv4 cannot have is refused", "status", ours=".*mtu"),
)  # fmt: skip


def reason(_ask: Ask, found: list[Difference]) -> str:
    """Why all of what differs is meant; "" when something is not."""
    whys: list[str] = []
    for each in found:
        known = next((left.why for left in LEFT if left.fits(each)), "")
        if not known:
            return ""
        whys.append(known)
    return "; ".join(dict.fromkeys(whys))
