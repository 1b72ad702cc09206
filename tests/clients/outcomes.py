"""How each test of a run ended, out of the journal that `functional/journal.py` writes."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """`test` is MODULE::CLASS::NAME below the functional tests; `words` is the last line of what it said."""

    test: str
    result: str
    words: str = ""
    seconds: float = 0


@dataclass(frozen=True)
class Run:
    """What was reached, and the names of the tests that were not."""

    outcomes: Sequence[Outcome]
    unreached: Sequence[str] = ()


def read(journal: Path) -> Run:
    """A run that was broken off and went on is one."""
    collected: list[str] = []
    ended: dict[str, Outcome] = {}
    for line in journal.read_text().splitlines() if journal.exists() else ():
        entry = json.loads(line)
        collected = entry.get("collected", collected)
        if test := entry.get("test"):
            words = _words(entry["result"], entry["said"])
            ended[test] = Outcome(test, entry["result"], words, entry["seconds"])
    return Run(list(ended.values()), [test for test in collected if test not in ended])


def prepare(journal: Path, mode: str) -> None:
    """A run begins anew, unless it is to continue; `--again` forgets what did not pass."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    if mode == "--continue":
        return
    kept = [line for line in journal.read_text().splitlines() if _passed(line)] if mode == "--again" else []
    journal.write_text("".join(f"{line}\n" for line in kept))


def _passed(line: str) -> bool:
    return json.loads(line).get("result") == "passed"


SAID = re.compile(r"^(?:E +)?(?:\w+\.)*\w*(?:Error|Exception|Mismatch\w*|Failed|Timeout)\b: (.*)$", re.MULTILINE)
STDERR = re.compile(r"stderr:\s+b?(?:'(.*)'|\"(.*)\")", re.MULTILINE)


def _words(result: str, text: str) -> str:
    told = [words for words in SAID.findall(text) if not words.startswith("Traceback")]
    told += ["".join(words).replace("\\n", " ") for words in STDERR.findall(text)]
    said = told[-1] if told and result == "failed" else text
    return re.sub(r"\s+", " ", said).strip()[:300]
