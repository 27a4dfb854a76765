"""``happyhorse-emulator``, also ``python -m airflow_provider_happyhorse.emulator``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from .settings import DEFAULT_ACCOUNTS, AccountSettings, Settings, require_loopback


def main(argv: Sequence[str] | None = None) -> int:
    """Start the emulator and return its exit code once it is told to stop."""
    # Until the server has its own handlers, stopping is a plain exit as well.
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    parser = _parser()
    asked = parser.parse_args(argv)
    try:
        host = require_loopback(asked.host)
        settings = Settings(
            accounts=tuple(asked.api_key or DEFAULT_ACCOUNTS),
            render_seconds=asked.render_seconds,
            time_scale=asked.time_scale,
            requests_per_minute=asked.requests_per_minute,
            window=asked.window,
            window_seconds=asked.window_seconds,
            list_freshness=asked.list_freshness,
        )
    except ValueError as error:
        parser.error(str(error))
    try:
        from .server import listen, serve
    except ModuleNotFoundError as error:
        parser.error(f"{error.name} is missing: pip install 'airflow-provider-happyhorse[emulator]'")
    try:
        listening = listen(host, asked.port)
    except OSError as error:
        parser.error(f"cannot listen on {asked.host} port {asked.port}: {error}")
    address, port = listening.getsockname()[:2]
    origin = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"

    def announce() -> None:
        print(f"happyhorse-emulator listening on {origin}")
        print(f"base URLs: happy-horse.ai {origin}/api/v1 | happyhorse.app {origin}")
        print("API keys: " + " | ".join(_described(account) for account in settings.accounts), flush=True)

    serve(settings, listening=listening, on_started=announce)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="happyhorse-emulator",
        description="A local server that speaks the wire formats of happy-horse.ai and happyhorse.app. Nothing costs anything.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on; others are refused")
    parser.add_argument("--port", type=_port, default=8731, help="port to listen on, 0 for a free one")
    parser.add_argument("--render-seconds", type=float, default=20.0, metavar="S", help="how long a generation takes")
    parser.add_argument("--time-scale", type=float, default=1.0, metavar="N", help="generations run N times faster than they say")
    parser.add_argument("--requests-per-minute", type=int, default=60, metavar="N", help="requests a key may make per window and service")
    parser.add_argument("--window", choices=("fixed", "sliding"), default="fixed", help="kind of rate limit window")
    parser.add_argument("--window-seconds", type=float, default=60.0, metavar="S", help="length of that window")
    parser.add_argument(
        "--list-freshness",
        choices=("fresh", "stale"),
        default="fresh",
        help="stale: GET /videos shows only what GET /videos/{id} has refreshed",
    )
    parser.add_argument(
        "--api-key",
        action="append",
        type=_account,
        metavar="KEY[:credits[:free]]",
        help="an account, repeatable, instead of the default ones; 'free' means without paid access",
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def _account(text: str) -> AccountSettings:
    try:
        return AccountSettings.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _described(account: AccountSettings) -> str:
    return (
        f"{account.key} ({account.credits} credit{'' if account.credits == 1 else 's'}{'' if account.paid_access else ', no paid access'})"
    )


def _exit(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
