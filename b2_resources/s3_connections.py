"""The connections to one endpoint: kept open, with TLS, through a proxy where the machine has one.

What goes over them is in s3_wire.py.
"""

import socket
import ssl
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
from urllib3 import HTTPConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse
from urllib3.util import make_headers

from outreach_core.errors import SettingsError

CONNECT_SECONDS = 10
KEPT = 64
KEEP_ALIVE_SECONDS = 30
"""Middle boxes forget an idle connection without a word; the system speaks up before that."""


def connections_to(endpoint: str) -> HTTPConnectionPool:
    """None is opened yet. Raises SettingsError for a proxy that is none."""
    parts = urlsplit(endpoint)
    proxy = _proxy_for(parts)
    options: dict[str, object] = {"maxsize": KEPT, "socket_options": _socket_options()}
    manager = PoolManager()
    if parts.scheme == "https":
        context = _tls_context()
        options["ssl_context"] = context
        manager = _through(proxy, context) if proxy else manager
    connections = manager.connection_from_url(endpoint, pool_kwargs=options)
    connections.ConnectionCls = _TlsConnection if parts.scheme == "https" else _Connection
    return connections


class _Connection(HTTPConnection):
    """Not used again after a 5xx: B2 says that another one may reach another pod."""

    _was_in_trouble = False

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3
        response = super().getresponse()
        self._was_in_trouble = response.status >= 500
        return response

    @property
    def is_connected(self) -> bool:
        """Asked by the pool before it hands the connection out again; it closes one that is not."""
        return not self._was_in_trouble and super().is_connected


class _TlsConnection(_Connection, HTTPSConnection):
    """The same with TLS."""


def _proxy_for(endpoint: SplitResult) -> str | None:
    proxy = getproxies().get("https")
    if endpoint.scheme == "http" or not proxy or proxy_bypass(endpoint.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _through(proxy: str, context: ssl.SSLContext) -> ProxyManager:
    try:
        parts = urlsplit(proxy)
        user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        headers = make_headers(proxy_basic_auth=user) if parts.username else None
        return ProxyManager(proxy, proxy_headers=headers, proxy_ssl_context=context)
    except (HTTPError, ValueError):  # neither is shown: it may hold a password
        raise SettingsError("HTTPS_PROXY is no proxy: expected http://<host>:<port>") from None


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:  # a slim container without any
        context.load_verify_locations(certifi.where())
    return context


def _socket_options() -> list[tuple[int, int, int]]:
    kept = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    if hasattr(socket, "TCP_KEEPIDLE"):  # not everywhere
        kept.append((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE_SECONDS))
    return kept
