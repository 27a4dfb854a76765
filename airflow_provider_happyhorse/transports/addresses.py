"""Pure: which IP addresses a result may be fetched from.

A result's URL is data from outside: without this check a service (or whoever answers in its place) could make a worker fetch the cloud's
metadata service or the database next door. ``ipaddress.is_global`` alone is not enough: it is True for multicast, for
``::127.0.0.1``, for the NAT64 and 6to4 forms of private addresses (``64:ff9b::7f00:1``, ``2002:7f00:1::``), and for Azure's host.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

Reach = Literal["public", "private", "loopback", "never"]

_GLOBAL_UNICAST = IPv6Network("2000::/3")  # the only IPv6 range that IANA gives out
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052; on IPv6-only networks DNS64 answers with these for every IPv4-only CDN
_SIX_TO_FOUR = IPv6Network("2002::/16")  # RFC 3056
_DOCUMENTATION = IPv6Network("3fff::/20")  # RFC 9637, newer than some Pythons
_PRIVATE_4 = tuple(IPv4Network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
_PRIVATE_6 = IPv6Network("fc00::/7")
#: Addresses at which clouds hand out credentials, outside the link-local range: AWS over IPv6, Alibaba, Azure.
_METADATA = frozenset(ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16"))


def reach(address: str) -> Reach:
    """Return how far an address reaches: ``public``, ``private`` (RFC 1918, ULA, CGNAT), ``loopback``, or ``never`` to be connected to.

    Forms of IPv4 addresses inside IPv6 count as the IPv4 address they lead to; of those, only public ones are anything but ``never``,
    except the mapped form (``::ffff:10.0.0.1``), which the operating system connects to as plain IPv4.

    :param address: as text, without brackets; a zone (``%eth0``) makes it ``never``.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return "never"
    return _reach_4(parsed) if isinstance(parsed, IPv4Address) else _reach_6(parsed)


def _reach_4(address: IPv4Address) -> Reach:
    if address in _METADATA:
        return "never"
    if address.is_loopback:
        return "loopback"
    if any(address in net for net in _PRIVATE_4):
        return "private"
    return "public" if address.is_global and not address.is_multicast else "never"


def _reach_6(address: IPv6Address) -> Reach:
    if address.scope_id is not None or address in _METADATA:
        return "never"
    if address.is_loopback:
        return "loopback"
    if address in _PRIVATE_6:
        return "private"
    if address.ipv4_mapped is not None:
        return _reach_4(address.ipv4_mapped)
    embedded = None
    if address in _NAT64:
        embedded = IPv4Address(int(address) & 0xFFFFFFFF)
    elif address in _SIX_TO_FOUR:
        embedded = address.sixtofour
    if embedded is not None:
        return "public" if _reach_4(embedded) == "public" else "never"
    return "public" if address in _GLOBAL_UNICAST and address not in _DOCUMENTATION and address.is_global else "never"
