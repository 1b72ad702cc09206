"""Two clouds, as an openrc file describes each: signing in, and asking as one of its two users."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

SERVICES = {"compute": "/v2.1", "network": "", "placement": "", "image": ""}
NOVA_VERSIONS = ("OpenStack-API-Version", "X-OpenStack-Nova-API-Version")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any
    """JSON as it was parsed, else the text."""


@dataclass
class User:
    token: str
    user_id: str
    project_id: str


@dataclass
class Cloud:
    users: dict[str, User]
    """`admin` and `member`."""
    roots: dict[str, str]
    """Service -> URL without its version."""
    ids: dict[str, str] = field(default_factory=dict)
    """What was made in this cloud, by the same name in both."""
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=120, trust_env=False))

    def filled(self, given: Any) -> Any:
        """`given` with each `{name}` in its strings replaced by this cloud's id."""
        match given:
            case str():
                return re.sub(r"\{(\w+)\}", lambda m: self.ids.get(m[1], m[0]), given)
            case dict():
                return {name: self.filled(value) for name, value in given.items()}
            case list():
                return [self.filled(value) for value in given]
        return given

    def ask(
        self, who: str, service: str, method: str, path: str, content: bytes | None, headers: dict[str, str]
    ) -> Answer:
        sent = {"Accept": "application/json"}
        if who in self.users:
            sent["X-Auth-Token"] = self.users[who].token
        if content is not None:
            sent["Content-Type"] = "application/json"
        sent |= headers
        url = self.roots[service] + path
        try:
            given = self.http.request(method, url, content=content, headers={k: v for k, v in sent.items() if v})
        except httpx.TransportError as error:
            return Answer(0, {}, f"the connection broke: {error}")
        try:
            body = given.json()
        except ValueError:
            body = given.text
        return Answer(given.status_code, dict(given.headers.items()), body)


def opened(admin: Path, member: Path) -> Cloud:
    """The cloud of two openrc files, signed in as both users."""
    users, roots = {}, {}
    for who, path in (("admin", admin), ("member", member)):
        users[who], roots = _signed_in(_settings(path))
    ids = {f"{who}_project": user.project_id for who, user in users.items()}
    ids |= {f"{who}_user": user.user_id for who, user in users.items()}
    return Cloud(users, roots, ids)


def _settings(path: Path) -> dict[str, str]:
    pairs = re.findall(r"(OS_\w+)=(\"[^\"]*\"|'[^']*'|\S+)", path.read_text())
    return {name: value.strip("\"'") for name, value in pairs}


def _signed_in(given: dict[str, str]) -> tuple[User, dict[str, str]]:
    domain = {"name": given.get("OS_USER_DOMAIN_NAME", "Default")}
    who = {"name": given["OS_USERNAME"], "domain": domain, "password": given["OS_PASSWORD"]}
    scope = {"project": {"name": given["OS_PROJECT_NAME"], "domain": domain}}
    identity = {"methods": ["password"], "password": {"user": who}}
    url = given["OS_AUTH_URL"].rstrip("/")
    url = url if url.endswith("/v3") else f"{url}/v3"
    body = {"auth": {"identity": identity, "scope": scope}}
    answer = httpx.post(f"{url}/auth/tokens", json=body, timeout=60, trust_env=False).raise_for_status()
    token = answer.json()["token"]
    found = {each["type"]: each["endpoints"] for each in token["catalog"]}
    roots = {}
    for service in SERVICES:
        public = next(each["url"] for each in found[service] if each["interface"] == "public")
        roots[service] = re.sub(r"/v2(\.\d)?/?$", "", public.rstrip("/"))
    user = User(answer.headers["X-Subject-Token"], token["user"]["id"], token["project"]["id"])
    return user, roots | {"identity": url.removesuffix("/v3")}
