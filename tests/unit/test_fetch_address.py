"""Which addresses a stranger may send us to."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from gateway.fetch.address import is_allowed, is_public


def table(text: str) -> list[str]:
    return text.split()


PUBLIC = table("""
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255
192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 203.0.112.255 203.0.114.0
223.255.255.255
2001:200::1 2001:4860:4860::8888 2003::1 2400:cb00::1 2606:4700:4700::1111 2620:fe::fe 2a00:1450:4001::1
""")

BLOCKED_V4 = table("""
0.0.0.0 0.0.0.1 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.100.100.200 100.127.255.255
127.0.0.0 127.0.0.1 127.255.255.255 168.63.129.16 169.254.0.0 169.254.169.254 169.254.170.2
172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.9 192.0.0.170 192.0.0.192 192.0.0.255 192.0.2.1 192.88.99.1
192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.1 203.0.113.1
224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.254 255.255.255.255
""")

BLOCKED_V6 = table("""
:: ::1 ::2 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1
64:ff9b::127.0.0.1 64:ff9b::169.254.169.254 64:ff9b::8.8.8.8 64:ff9b:1::10.0.0.1 64:ff9b:1:ffff::1
100::1 100:0:0:1::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1 2001:1ff::1
2001:db8::1 2002:7f00:1::1 2002:a9fe:a9fe::1 2002:808:808::1 3fff::1 4000::1 5f00::1
fc00::1 fd00:ec2::254 fdff::1 fe80::1 fe80::1%1 febf::1 fec0::1 feff::1 ff02::1 ff0e::1
2606:4700::5efe:a00:1 2606:4700::5efe:127.0.0.1 2606:4700::200:5efe:a00:1 2606:4700:4700::1111%1
ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
""")


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_is_allowed(address: str) -> None:
    assert is_allowed(ip_address(address), ())


@pytest.mark.parametrize("address", BLOCKED_V4 + BLOCKED_V6)
def test_what_is_not_the_public_internet_is_blocked(address: str) -> None:
    assert not is_allowed(ip_address(address), ())


@pytest.mark.parametrize("address", BLOCKED_V4)
@pytest.mark.parametrize("prefix", ["::", "::ffff:", "::ffff:0:", "64:ff9b::", "64:ff9b:1::"])
def test_no_blocked_address_is_reached_inside_another(prefix: str, address: str) -> None:
    assert not is_public(ip_address(prefix + address))


@pytest.mark.parametrize("address", ["10.1.2.3", "fd00::17"])
def test_a_deployment_allows_its_own_networks(address: str) -> None:
    assert is_allowed(ip_address(address), (ip_network("10.1.0.0/16"), ip_network("fd00::/64")))


@pytest.mark.parametrize(
    "address", ["10.2.0.1", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "127.0.0.1", "fd01::1"]
)
def test_an_allowed_network_allows_no_other_and_no_other_spelling_of_itself(address: str) -> None:
    assert not is_allowed(ip_address(address), (ip_network("10.1.0.0/16"), ip_network("fd00::/64")))


def test_an_address_of_one_interface_is_in_no_allowed_network() -> None:
    assert not is_allowed(ip_address("fe80::1%eth0"), (ip_network("fe80::/10"),))
