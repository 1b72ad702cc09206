"""How each test of a run ended, out of pytest's report."""

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


@dataclass(frozen=True)
class Outcome:
    """`test` is MODULE::CLASS::NAME below the functional tests; `words` is the last line of what it said."""

    test: str
    result: str
    words: str = ""


def read(report: Path) -> list[Outcome]:
    found = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        if not case.get("name"):
            continue  # it was running when the run was ended
        module, _, name = case.get("classname", "").rpartition(".")
        test = f"{module.partition('.functional.')[2] or module}::{name}::{case.get('name')}"
        found.append(_outcome(test, case))
    return found


SAID = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Mismatch\w*|Failed|Timeout)\b: (.*)$", re.MULTILINE)
STDERR = re.compile(r"stderr:\s+b?(?:'(.*)'|\"(.*)\")", re.MULTILINE)


def _outcome(test: str, case: ElementTree.Element) -> Outcome:
    for kind, result in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        if (element := case.find(kind)) is not None:
            text = element.text or ""
            told = [words for words in SAID.findall(text) if not words.startswith("Traceback")]
            told += ["".join(words).replace("\\n", " ") for words in STDERR.findall(text)]
            said = told[-1] if told and result == "failed" else element.get("message") or text
            return Outcome(test, result, re.sub(r"\s+", " ", said).strip()[:300])
    return Outcome(test, "passed")
