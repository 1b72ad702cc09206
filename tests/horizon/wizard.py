"""Horizon's Launch Instance wizard, step by step as a person clicks through it."""

import json
from pathlib import Path

from tests.horizon.dashboard import SET, Dashboard

WIZARD = "document.querySelector('.ng-wizard')"
STEP = f"[...{WIZARD}.querySelectorAll('.step:not(.ng-hide)')].at(-1)"
GO = """[...document.querySelectorAll('.ng-wizard .nav-item a')]
  .find(a => a.innerText.trim().startsWith({name})).click()"""
ROW = """[...{step}.querySelectorAll('tr')].find(row => row.innerText.includes({text})
  && row.querySelector('.fa-arrow-{way}'))"""
OPTION = """[...document.querySelectorAll('#boot-source-type option')].find(o => o.label === {label}).value"""


class Wizard:
    """Opened on the page of instances; `launch` ends it."""

    def __init__(self, page: Dashboard, path: str) -> None:
        self._page, self._browser = page, page.browser
        page.open(path)
        self._browser.run("document.querySelector('[id=instances__action_launch-ng]').click()")
        self._browser.wait(f"!!{WIZARD}", 60)
        page.settle()

    def name(self, name: str) -> None:
        self._step("Details")
        self._browser.run(SET.format(field=json.dumps(".ng-wizard input[name=name]"), value=json.dumps(name)))

    def source(self, kind: str, name: str) -> None:
        """`kind`: Image or Volume, in Horizon's words. Of an image no volume is made."""
        self._step("Source")
        label = self._browser.run(OPTION.format(label=json.dumps(kind)))
        self._browser.run(SET.format(field=json.dumps("#boot-source-type"), value=json.dumps(label)))
        if kind == "Image":
            self._browser.run(
                f"[...{STEP}.querySelectorAll('#vol-create')].find(x => x.innerText.trim() === 'No').click()"
            )
        self._take(name)

    def take(self, step: str, name: str) -> None:
        """The row of that name among those that are available; nothing where the wizard has taken it by itself."""
        self._step(step)
        if not self._browser.run(f"!!({ROW.format(step=STEP, text=json.dumps(name), way='down')})"):
            self._take(name)

    def launch(self, picture: Path | None = None) -> None:
        if picture:
            self._page.picture(picture)
        finish = f"{WIZARD}.querySelector('.modal-footer .finish')"
        self._browser.wait(f"!{finish}.disabled", 30)
        self._browser.run(f"{finish}.click()")
        self._browser.wait(f"!{WIZARD}", 90)

    def _step(self, name: str) -> None:
        self._browser.run(GO.format(name=json.dumps(name)))
        self._browser.wait(
            f"[...{WIZARD}.querySelectorAll('.nav-item.active')][0].innerText.trim().startsWith({json.dumps(name)})"
        )

    def _take(self, name: str) -> None:
        row = ROW.format(step=STEP, text=json.dumps(name), way="up")
        self._browser.wait(f"!!({row})")
        self._browser.run(f"({row}).querySelector('.fa-arrow-up').click()")
        self._browser.wait(f"!!({ROW.format(step=STEP, text=json.dumps(name), way='down')})")
