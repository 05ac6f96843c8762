"""Which IP addresses a request may go to that a stranger asks for: the public internet, and nothing else."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# From IANA's special-purpose registries. `ipaddress.is_global` is not asked: what it answers depends on the
# Python (3.11.9 and 3.12.4 changed it), and it takes multicast and 6to4 for global.
_BLOCKED_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network; the host itself to Linux
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT, and a cloud's metadata
            "127.0.0.0/8",
            "168.63.129.16/32",  # a public number, but inside Azure the host's own services
            "169.254.0.0/16",  # link-local: most clouds' metadata
            "172.16.0.0/12",
            "192.0.0.0/24",  # IETF protocols
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)

#: All that IANA has given out as global unicast. Outside are loopback, v4-mapped, v4-compatible, NAT64
#: (64:ff9b::/96, 64:ff9b:1::/48), unique-local, link-local, site-local, multicast and the unassigned.
_GLOBAL_V6 = IPv6Network("2000::/3")
_BLOCKED_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # IETF protocols: Teredo, benchmarks, ORCHID
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)

#: ISATAP (RFC 5214, 6.1): an interface of [02]00:5efe:<IPv4> below any prefix.
_ISATAP, _ISATAP_MASK = 0x0000_5EFE, 0xFDFF_FFFF


def is_public(address: Address) -> bool:
    """Global unicast, and no IPv6 address with an IPv4 one inside, whichever that is."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _BLOCKED_V4)
    if address not in _GLOBAL_V6 or (int(address) >> 32) & _ISATAP_MASK == _ISATAP:
        return False
    return not any(address in network for network in _BLOCKED_V6)


def is_allowed(address: Address, allowed_networks: tuple[Network, ...]) -> bool:
    """``allowed_networks`` are a deployment's own, for receivers in there.

    They are taken as written: to allow 10.0.0.0/8 allows no v4-mapped spelling of it, and to allow
    64:ff9b::/96 allows every IPv4 address.
    """
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    return is_public(address) or any(address in network for network in allowed_networks)
