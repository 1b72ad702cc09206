"""Asks Kilonova and a real OpenStack the same.

    python -m tests.peer --ours ADMIN-OPENRC MEMBER-OPENRC --peer ADMIN-OPENRC MEMBER-OPENRC [--to FILE] [CLAUSE…]

Both clouds need an image service, a flat physical network `provider`, and nothing of what tests/peer/things.py makes;
what it made is left there. A member needs no role but `member`. What asks for an extension of the network API that
one of the two has not is left out and counted."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.peer import compute, edge, lacking, network, servers, things
from tests.peer.asks import Ask
from tests.peer.clouds import Answer, Cloud, opened
from tests.peer.compare import Difference, differences
from tests.peer.left import reason

ROUNDS = {"servers": servers.asks, "compute": compute.asks, "network": network.asks, "edge": edge.asks}


def main() -> int:
    given = _arguments()
    sides = opened(*map(Path, given.ours)), opened(*map(Path, given.peer))
    lacks = lacking.between(sides)
    kept = Path(given.ids) if given.ids else None
    with ThreadPoolExecutor(2) as both:
        for made in [both.submit(_made, side, kept, n, lacks.things) for n, side in enumerate(sides)]:
            made.result()
        newest = _newest(sides[0]), _newest(sides[1])
        counted: Counter[str] = Counter()
        for ask in lacks.asked(_chosen(given.rounds, given.every)):
            pair = [both.submit(_asked, side, ask) for side in sides]
            answers = pair[0].result(), pair[1].result()
            found = differences(*answers, sides, newest)
            counted["compared"] += 1
            counted[_judged(ask, found)] += 1
            if found and given.to:
                _keep(Path(given.to), ask, found)
            _print(ask, found)
    if lacks.absent:
        print(lacks)
    print(dict(counted))
    return 1 if counted["different"] else 0


def _arguments() -> Any:
    parser = argparse.ArgumentParser(
        prog="python -m tests.peer", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--ours", nargs=2, required=True)
    parser.add_argument("--peer", nargs=2, required=True)
    parser.add_argument("--to")
    parser.add_argument("--ids")
    parser.add_argument("--every", type=int, default=1, help="of malformed bodies, only each so manieth")
    parser.add_argument("rounds", nargs="*", choices=[*ROUNDS, []])
    return parser.parse_args()


def _made(cloud: Cloud, kept: Path | None, side: int, without: frozenset[str]) -> None:
    path = kept.with_suffix(f".{side}") if kept else None
    if path and path.exists():
        cloud.ids |= json.loads(path.read_text())
        return
    things.make(cloud, without)
    if path:
        path.write_text(json.dumps(cloud.ids))


def _newest(cloud: Cloud) -> str:
    return str(cloud.ask("member", "compute", "GET", "/v2.1/", None, {}).body["version"]["version"])


def _chosen(rounds: list[str], every: int) -> Iterator[Ask]:
    malformed = 0
    for name, asks in ROUNDS.items():
        for ask in asks() if not rounds or name in rounds else ():
            malformed += bool(ask.about)
            if not ask.about or malformed % every == 0:
                yield ask


def _asked(cloud: Cloud, ask: Ask) -> Answer:
    content = cloud.filled(ask.content.decode("latin-1")).encode("latin-1") if ask.content is not None else None
    path = cloud.filled(ask.path)
    answer = cloud.ask(ask.who, ask.service, ask.method, path, content, ask.sent)
    if ask.method == "POST" and answer.status < 300 and "/action" not in path:
        _tidied(cloud, ask, path, answer)
    return answer


def _tidied(cloud: Cloud, ask: Ask, path: str, answer: Answer) -> None:
    """What a request made is deleted, so that it is in no later answer."""
    for inner in answer.body.values() if isinstance(answer.body, dict) else ():
        for each in inner if isinstance(inner, list) else [inner]:
            if isinstance(each, dict) and (name := each.get("id") or each.get("port_id") or each.get("name")):
                cloud.ask(ask.who, ask.service, "DELETE", f"{path.partition('?')[0]}/{name}", None, ask.sent)


def _judged(ask: Ask, found: list[Difference]) -> str:
    if not found:
        return "equal"
    return "left" if reason(ask, found) else "different"


def _keep(path: Path, ask: Ask, found: list[Difference]) -> None:
    differences = [asdict(each) for each in found]
    with path.open("a") as log:
        log.write(json.dumps({"clause": ask.clause, "ask": str(ask), "left": reason(ask, found),
                              "differences": differences}) + "\n")  # fmt: skip


def _print(ask: Ask, found: list[Difference]) -> None:
    if found and not reason(ask, found):
        print(f"[{ask.clause}] {ask}")
        for each in found:
            print(f"    {each.kind} {each.place}\n      ours   {each.ours[:400]}\n      theirs {each.theirs[:400]}")


if __name__ == "__main__":
    sys.exit(main())
