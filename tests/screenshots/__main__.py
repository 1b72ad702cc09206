"""`make screenshots`: runs `kilonova demo` and takes the README's two pictures of what it leaves running.

A cloud of its own in a directory that is removed afterwards; with KILONOVA_STATE_DIR set, the cloud of that directory,
which keeps running. The guest is the 64 MiB one where its kernel is in the cache, else Debian's."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.ports import free_offset
from tests.screenshots.browser import Browser

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
LARGEST = 300_000
KILONOVA = str(Path(sys.executable).with_name("kilonova"))
CLICK = "[...document.querySelectorAll('button')].find(b => b.textContent.trim() === '{}').click()"
SCROLL_INPUT = """[...document.querySelectorAll('*')]
  .filter(e => e.querySelector('.cm-content, .cm-line') && e.scrollHeight > e.clientHeight + 50 && e.clientHeight < 400)
  .forEach(e => { e.scrollTop = 150 })"""
TEXT = "document.body.innerText.includes('{}')"


def kilonova(*arguments: str) -> str:
    done = subprocess.run([KILONOVA, *arguments], capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        sys.exit(f"kilonova {' '.join(arguments)}:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    return done.stdout


def addresses(printed: str) -> tuple[str, str]:
    """The workflow's page and the console's, as `kilonova demo` prints them."""
    found = [re.search(rf"^ +{what}  (http\S+)", printed, re.MULTILINE) for what in ("workflow", "console")]
    if not all(found):
        sys.exit(f"no addresses in:\n{printed[-3000:]}")
    page, console = [match[1] for match in found if match]
    return page, console


def take_build(browser: Browser, page: str, file: Path) -> None:
    """The build's timeline, oldest step first; its input as the codec server shows it, below the caller's token."""
    browser.open(page.removesuffix("/history") + "/timeline", 1560, 1090)
    browser.wait(TEXT.format("COMPLETED"))
    browser.wait(TEXT.format('"name": "demo-instance"'))
    browser.wait(TEXT.format("spawn on"))
    browser.run(CLICK.format("Descending"))
    browser.wait(TEXT.format("Ascending"))
    browser.settle()
    browser.run(SCROLL_INPUT)
    browser.settle()
    browser.picture(file)


def take_console(browser: Browser, console: str, file: Path) -> None:
    """The guest's screen once noVNC shows it; the one-time token is used up by this."""
    browser.open(console, 800, 450)
    browser.wait("document.querySelector('canvas')?.width >= 640")
    browser.settle(3)
    browser.picture(file)


def pictures() -> None:
    page, console = addresses(kilonova("demo"))
    with Browser() as browser:
        take_build(browser, page, PICTURES / "build.png")
        take_console(browser, console, PICTURES / "console.png")
    for file in sorted(PICTURES.glob("*.png")):
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size} bytes")
        if file.stat().st_size > LARGEST:
            sys.exit(f"{file.name} is larger than {LARGEST} bytes")


def main() -> None:
    if "KILONOVA_STATE_DIR" in os.environ:
        pictures()
        return
    with tempfile.TemporaryDirectory(prefix="kilonova-pictures-") as state_dir:
        os.environ |= {"KILONOVA_STATE_DIR": state_dir, "KILONOVA_PORT_OFFSET": str(free_offset())}
        try:
            pictures()
        finally:
            kilonova("down")


if __name__ == "__main__":
    main()
