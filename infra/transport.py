"""Connections to other services: `requests`, with short ways for what a cloud asks all the time."""

import io
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from keystoneauth1 import session as ks_session
from requests.cookies import RequestsCookieJar
from requests.hooks import default_hooks
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

from infra.readable import readable

IDLE = 10
"""Connections to one server that are kept when nobody uses them."""


class Plain(ks_session.TCPKeepAliveAdapter):
    """Requests without TLS and without a proxy, whose body and answer are held in memory, by the standard library's
    client: what urllib3 does around it is a fifth of a small request's CPU. Everything else goes urllib3's way."""

    def __init__(self) -> None:
        super().__init__()
        self._idle: dict[tuple[str | None, int], list[HTTPConnection]] = {}

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._options = self.poolmanager.connection_pool_kw["socket_options"]

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        if stream or proxies or not isinstance(request.body, bytes | str | None):
            return super().send(request, stream, timeout, verify, cert, proxies)
        connecting, reading = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        body = request.body.encode() if isinstance(request.body, str) else request.body
        where = urlsplit(str(request.url))
        idle = self._idle.setdefault((where.hostname, where.port or 80), [])
        connection = _alive(idle) or HTTPConnection(str(where.hostname), where.port or 80)
        try:
            if connection.sock is None:
                connection.timeout = connecting
                self._connect(connection)
            connection.sock.settimeout(reading)
            headers = {**(request.headers or {}), "Accept-Encoding": "identity"}
            connection.request(str(request.method), request.path_url, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise requests.exceptions.Timeout(error, request=request) from error
            if isinstance(error, OSError | HTTPException):
                raise requests.exceptions.ConnectionError(error, request=request) from error
            raise
        if connection.sock is not None and len(idle) < IDLE:
            idle.append(connection)
        else:
            connection.close()
        return _response(request, answer, content)

    def _connect(self, connection: HTTPConnection) -> None:
        connection.connect()
        for option in self._options:
            connection.sock.setsockopt(*option)

    def close(self) -> None:
        super().close()
        for idle in self._idle.values():
            while idle:
                idle.pop().close()


def _alive(idle: list[HTTPConnection]) -> HTTPConnection | None:
    """A connection that its server has not ended: from one that waits for nothing there is nothing to read."""
    while True:
        try:
            connection = idle.pop()
        except IndexError:
            return None
        if not readable(connection.sock):
            return connection
        connection.close()


class _Whole(io.BytesIO):
    """An answer's body; `_original_response` is where requests looks for cookies."""

    _original_response: HTTPResponse | None = None


def _response(request: requests.PreparedRequest, answer: HTTPResponse, content: bytes) -> requests.Response:
    made = requests.Response()
    made.status_code, made.reason, made.request, made.url = answer.status, answer.reason, request, str(request.url)
    for name, value in answer.headers.raw_items():
        made.headers[name] = f"{made.headers[name]}, {value}" if name in made.headers else value
    made.encoding = get_encoding_from_headers(made.headers)
    if "Content-Encoding" in made.headers:  # it was not asked for
        content = urllib3.HTTPResponse(io.BytesIO(content), made.headers).data
    made.raw = raw = _Whole(content)
    if "Set-Cookie" in made.headers:
        raw._original_response = answer
    return made


class Transport(requests.Session):
    """Connections to other services, for keystoneauth1. Which proxy and which certificates the environment names for a
    server is looked up once, where requests does it each time, for a third of a small request's CPU."""

    def __init__(self) -> None:
        super().__init__()
        self._environment: dict[tuple[Any, ...], Any] = {}
        self.auth = _unchanged
        self.mount("http://", Plain())
        self.mount("https://", ks_session.TCPKeepAliveAdapter())

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """As requests does it. What has nothing but headers goes the short way: to merge what is empty, and to ask its
        types, is a fifth of a small request's CPU."""
        more = request.data, request.json, request.files, request.params, request.auth, request.cookies, self.cookies
        headers = {**self.headers, **(request.headers or {})}
        if any(more) or None in headers.values():
            return super().prepare_request(request)
        prepared = requests.PreparedRequest()
        prepared.prepare(request.method, request.url, headers, cookies=self.cookies)
        return prepared

    def ask(
        self, method: str, url: str, headers: dict[str, str], timeout: float | None, body: bytes | None = None
    ) -> requests.Response:
        """Ask for `url`, which needs no quoting, as it is: no redirects, and for a session that has cookies not the
        way."""
        prepared = requests.PreparedRequest()
        if body is not None:
            headers = {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))}
            prepared.body = body
        prepared.method, prepared.url, prepared.headers = method, url, CaseInsensitiveDict(headers)
        prepared.hooks, prepared._cookies = default_hooks(), RequestsCookieJar()
        around = self.merge_environment_settings(url, {}, None, None, None)
        return self.send(prepared, timeout=timeout, allow_redirects=False, **around)

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        if proxies:
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        key = (*urlsplit(url)[:2], stream, verify, cert)
        if key not in self._environment:
            self._environment[key] = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return dict(self._environment[key])


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """In place of ~/.netrc, whose passwords are for none of these services: tokens are in headers."""
    return request
