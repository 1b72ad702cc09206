"""Bodies of QoS policies and their bandwidth limits."""

from typing import Annotated, Literal

from pydantic import Field

from api.network.schemas.fields import Attributes, Tagged, Text

MOST_KBPS = 2**31 - 1
Kbps = Annotated[int, Field(ge=0, le=MOST_KBPS)]


class QosPolicyCreate(Tagged):
    """Source: Networking API v2.0, POST /v2.0/qos/policies."""

    name: Text
    shared: bool = False
    is_default: bool = False


class QosPolicyUpdate(Attributes):
    name: Text = ""
    description: Text = ""
    shared: bool = False
    is_default: bool = False


class BandwidthLimitCreate(Attributes):
    """Source: Networking API v2.0, POST /v2.0/qos/policies/{policy_id}/bandwidth_limit_rules."""

    max_kbps: Kbps
    max_burst_kbps: Kbps = 0
    direction: Literal["ingress", "egress"] = "egress"


class BandwidthLimitUpdate(Attributes):
    max_kbps: Kbps = 0
    max_burst_kbps: Kbps = 0
    direction: Literal["ingress", "egress"] = "egress"
