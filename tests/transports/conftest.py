"""Certificates, and an environment that no developer's own settings reach into."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cdn import Certificates, certificates


@pytest.fixture(scope="session")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificates, Path]:
    """Give a certificate for 127.0.0.1, and the CA bundle that trusts it."""
    folder = tmp_path_factory.mktemp("tls")
    return certificates(folder, "127.0.0.1"), folder / "server.pem"


@pytest.fixture(scope="session")
def misnamed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificates, Path]:
    """Give a certificate for another host."""
    folder = tmp_path_factory.mktemp("tls")
    return certificates(folder, "elsewhere.example"), folder / "server.pem"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Forget bundles, proxies and ~/.netrc."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
