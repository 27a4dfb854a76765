"""Where calls go and with which key; what both transports keep to."""

from __future__ import annotations

import ipaddress
import os
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from airflow_provider_happyhorse import __version__

#: Seconds to get a connection.
CONNECT_TIMEOUT = 10.0
#: No documented answer comes near this; a larger one is not the service's.
MAX_ANSWER_BYTES = 8 * 1024 * 1024
USER_AGENT = f"airflow-provider-happyhorse/{__version__}"


@dataclass(frozen=True)
class Endpoint:
    """A service's base URL and the key for it.

    :param base_url: https, or http to a loopback host (the emulator): over anything else the key would travel readable.
    :param api_key: the bearer key; in no repr.
    :param request_timeout: seconds one call may take from sending to the last byte of the answer.
    :param proxy: URL of an HTTP proxy; in no repr (passwords). None takes the environment's, and for a loopback host none at all.
    :raises ValueError: for a base URL or key that must not be used.
    """

    base_url: str
    api_key: str = field(repr=False)
    request_timeout: float = 60.0
    proxy: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError(f"the base URL must be like https://happy-horse.ai/api/v1, not {self._shown_url()!r}")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("the base URL must hold no user, password, query or fragment; the API key is the connection's password")
        if parts.scheme == "http" and not self.is_loopback:
            raise ValueError(f"the base URL {self._shown_url()!r} is plain http: the API key would be readable; use https")
        if not self.api_key:
            raise ValueError("the connection has no API key (its password)")
        if not self.api_key.isascii() or not self.api_key.isprintable() or " " in self.api_key:
            raise ValueError("the API key holds blanks or characters that no key has; it was probably pasted with something else")

    @property
    def is_loopback(self) -> bool:
        """The base URL leads to this machine, which is where the emulator is."""
        return is_loopback_host(urlsplit(self.base_url).hostname or "")

    def url(self, path: str) -> str:
        """Return the URL of a path below the base URL."""
        return self.base_url.rstrip("/") + path

    def proxy_url(self) -> str | None:
        """Return the proxy for this endpoint; loopback is reached directly, or the key would leave the machine in plain text."""
        if self.is_loopback:
            return None
        if self.proxy:
            return _with_scheme(self.proxy)
        parts = urlsplit(self.base_url)
        if urllib.request.proxy_bypass(parts.netloc):
            return None
        proxies = urllib.request.getproxies()
        found = proxies.get(parts.scheme) or proxies.get("all")
        return _with_scheme(found) if found else None

    def redacted(self, body: bytes) -> bytes:
        """Return an answer without the key, should the service echo it in a message."""
        return body.replace(self.api_key.encode(), b"***")

    def redacted_text(self, text: str) -> str:
        """Return a text (a header, the message of an exception) without the key."""
        return text.replace(self.api_key, "***")

    def without_key(self, problem: Exception) -> Exception | None:
        """Return the exception as the cause of ours, or None when it or one behind it quotes the key: a traceback shows them all."""
        behind: BaseException | None = problem
        while behind is not None:
            if self.api_key in f"{behind} {behind!r}":
                return None
            behind = behind.__cause__ or behind.__context__
        return problem

    def _shown_url(self) -> str:
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if parts.scheme else self.base_url[:80]


def is_loopback_host(host: str) -> bool:
    """Say whether a host is ``localhost`` or a loopback address; a name that merely resolves to one is not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def trusted_certificates() -> str:
    """Return the CA bundle (a file, or a folder of hashed certificates) that requests would use, so that both transports trust the same.

    :raises OSError: when the environment names one that is not there.
    """
    import certifi

    found = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
    if not Path(found).exists():
        raise FileNotFoundError(f"the CA bundle {found} (REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE) does not exist")
    return found


def checked_proxy(proxy: str) -> str:
    """Return a proxy that API calls and results can both go through, with its scheme.

    :raises ValueError: it is none; the text does not quote it, for it may hold a password.
    """
    url = _with_scheme(proxy)
    parts = urlsplit(url)
    try:
        usable = parts.scheme == "http" and parts.hostname and "@" not in parts.netloc and parts.port != 0
    except ValueError:  # it has a port that is no number
        usable = False
    if not usable:
        raise ValueError("`proxy` must be http://host:port without credentials")
    return url


def _with_scheme(proxy: str) -> str:
    """Return a proxy as both HTTP libraries take it; ``HTTPS_PROXY=proxy.example:3128`` is usual, and aiohttp refuses it."""
    return proxy if "://" in proxy else f"http://{proxy}"
