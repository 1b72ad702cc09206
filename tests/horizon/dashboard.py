"""Horizon as one user sees it, in headless Chromium: each page that is opened must be whole."""

import json
import time
from pathlib import Path

from tests.screenshots.browser import Browser

WIDTH, HEIGHT = 1280, 800
SETTLED = "document.readyState === 'complete' && (!window.jQuery || jQuery.active === 0)"
STATUS = "performance.getEntriesByType('navigation')[0].responseStatus"
FAILED = """performance.getEntriesByType('resource').filter(r => r.responseStatus >= 400)
  .map(r => [r.responseStatus, r.name])"""
EXPECTED = (
    (404, "action=row_update"),  # a row whose object is gone: Horizon takes it off the table
    (403, "/api/keystone/projects/"),  # the name of another project that owns an image: Keystone does not tell a tenant
)
"""What Horizon asks for in vain and shows nobody: status, part of the address."""
PANELS = "[...document.querySelectorAll('nav a[href], #sidebar a[href]')].map(a => a.getAttribute('href'))"
FILES = ("/project/api_access/openrc/", "/project/api_access/clouds.yaml/")
"""Of the user's menu: downloads, not pages."""
FAULTS = ("Error: ", "Unable to ", "Danger: ")
SET = """(() => {{ const field = document.querySelector({field}); field.value = {value};
  field.dispatchEvent(new Event('input')); field.dispatchEvent(new Event('change')); }})()"""
SEND = """(() => {{ const x = new XMLHttpRequest(), sent = new URLSearchParams(); x.open("POST", {path}, false);
  sent.set("action", {button}); sent.set("csrfmiddlewaretoken", document.cookie.match(/csrftoken=([^;]+)/)[1]);
  x.setRequestHeader("X-Requested-With", "XMLHttpRequest"); x.send(sent);
  return [x.status, x.getResponseHeader("X-Horizon-Messages")]; }})()"""


class Dashboard:
    """`address` ends with a slash; paths begin with one."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser, self._address = browser, address.rstrip("/")

    def sign_in(self, user: str, password: str) -> None:
        self.go("/auth/login/")
        self.browser.wait("!!document.querySelector('#id_password')", 60)
        values = {"id_username": user, "id_password": password}
        for field, value in values.items():
            self.browser.run(SET.format(field=json.dumps(f"#{field}"), value=json.dumps(value)))
        self.browser.run("document.getElementById('loginBtn').click()")
        self.browser.wait("!location.pathname.startsWith('/auth/') && document.readyState === 'complete'", 90)
        self._whole("after login")

    def sign_out(self) -> None:
        self.browser.run("""document.querySelector("form[action='/auth/logout/'] button").click()""")
        self.browser.wait("!!document.querySelector('#id_password')", 60)

    def panels(self) -> list[str]:
        """Paths of the pages that Horizon's own navigation shows to this user."""
        found = dict.fromkeys(str(path).partition("?")[0] for path in self.browser.run(PANELS))
        return [path for path in found if path.startswith(("/project/", "/admin/", "/identity/")) and path not in FILES]

    def open(self, path: str) -> str:
        """The page's text. AssertionError where its status is not 200, or a request of its own failed, or it says that
        something could not be had."""
        self.go(path)
        return self._whole(path)

    def picture(self, file: Path) -> None:
        self.browser.settle(2)
        self.browser.picture(file)

    def go(self, path: str) -> None:
        """Without a look at what it says, as for a page that leads elsewhere."""
        self.browser.run("window.left = true")
        self.browser.open(self._address + path, WIDTH, HEIGHT)
        self.browser.wait("!window.left && document.readyState === 'complete'", 90)

    def _whole(self, what: str) -> str:
        self.settle()
        status = self.browser.run(STATUS)
        assert status == 200, f"{what}: {status}"
        failed = [
            [status, name]
            for status, name in self.browser.run(FAILED)
            if not any(status == known and part in name for known, part in EXPECTED)
        ]
        text = str(self.browser.run("document.body.innerText"))
        said = [line for line in text.splitlines() if any(fault in line for fault in FAULTS)]
        assert not failed and not said, f"{what}: {failed} {said}"
        return text

    def settle(self) -> None:
        """Until nothing more was asked for during a second: pages of Angular fill themselves."""
        quiet, seen, end = time.monotonic(), -1, time.monotonic() + 60
        while time.monotonic() - quiet < 1:
            now = self.browser.run("performance.getEntriesByType('resource').length")
            if now != seen or self.browser.run(SETTLED) is not True:
                quiet, seen = time.monotonic(), now
            assert time.monotonic() < end, "the page never settles"
            time.sleep(0.2)

    def fill(self, path: str, **values: str) -> None:
        """Send the form of `path`; AssertionError where Horizon shows it again, or says that it failed."""
        self.open(path)
        for name, value in values.items():
            self.browser.run(SET.format(field=json.dumps(f"[name={name}]"), value=json.dumps(value)))
        self.browser.run("window.left = true")
        self.browser.run(f"document.querySelector('[name={next(iter(values))}]').form.requestSubmit()")
        self.browser.wait("!window.left && document.readyState === 'complete'", 90)
        text = self._whole(f"after {path}")
        assert self.browser.run("location.pathname") != path, text

    def act(self, table: str, path: str, action: str, id: str) -> None:
        """What the button of a row in a table sends; AssertionError with Horizon's words where it failed."""
        self.open(path)
        button = {"path": json.dumps(path), "button": json.dumps(f"{table}__{action}__{id}")}
        status, said = self.browser.run(SEND.format(**button))
        assert 200 <= status < 300 and "error" not in (said or ""), f"{action}: {status} {said}"
        self.open(path)
