"""What `python -m tests.peer` leaves out where one of two networks lacks an extension, and what it asks still; and what
it takes for the same words."""

import json

from tests.peer import compute, network, servers
from tests.peer.clouds import Answer, Cloud
from tests.peer.compare import differences
from tests.peer.lacking import PARTS, Lacking
from tests.peer.things import THINGS


def test_what_a_peer_has_not_is_left_out_and_counted() -> None:
    lacking = Lacking({"qos": ["there"], "trunk": ["there"]})
    every = list(network.asks())
    asked = list(lacking.asked(every))
    said = [f"{ask.path} {json.dumps(ask.body)}" for ask in asked]
    assert not [each for each in said if any(word in each for word in ("/qos/", "/trunks", "{trunk}", "qos_policy_id"))]
    assert len(asked) + sum(lacking.left_out.values()) == len(every)
    assert set(lacking.left_out) == {"qos", "trunk"}
    creates = [ask for ask in asked if ask.clause == "networks: create" and not ask.about.startswith("body")]
    assert any("admin_state_up" in str(ask.body) for ask in creates)
    assert "trunk" in str(lacking) and "there has it not" in str(lacking)


def test_what_a_network_lacks_keeps_no_question_of_compute_out() -> None:
    lacking = Lacking({alias: ["there"] for alias in PARTS})
    for asks in (servers.asks, compute.asks):
        assert list(lacking.asked(asks())) == list(asks())


def test_nothing_is_left_out_where_nothing_lacks() -> None:
    lacking = Lacking()
    assert list(lacking.asked(network.asks())) == list(network.asks()) and not lacking.left_out


def test_two_ways_to_say_that_a_name_is_unknown_are_one() -> None:
    """JSON Schema's words depend on whether names may have a pattern."""
    said = ("Additional properties are not allowed ('x' was unexpected)", "'x' does not match any of the regexes: '^_'")
    sides = Cloud({}, {}), Cloud({}, {})
    ours, theirs = (Answer(400, {}, {"badRequest": {"code": 400, "message": words}}) for words in said)
    assert differences(ours, theirs, sides, ("2.104", "2.93")) == []
    other = Answer(400, {}, {"badRequest": {"code": 400, "message": "'x' does not match '^y$'"}})
    assert [each.kind for each in differences(ours, other, sides, ("2.104", "2.93"))] == ["words"]


def test_all_that_an_extension_makes_is_known() -> None:
    made = {name for name, *_ in THINGS} | {"forwarding"}
    assert {thing for part in PARTS.values() for thing in part.things} <= made
