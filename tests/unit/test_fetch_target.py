"""How a URL may be spelled, and the spellings with which such guards are walked around."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fetch.errors import UnsafeTarget
from gateway.fetch.target import CHARACTERS_AT_MOST, Target, TargetPolicy, parse_target

POLICY = TargetPolicy()
WITH_HTTP = TargetPolicy(allow_http=True)


@pytest.mark.parametrize(
    ("url", "authority", "port", "path"),
    [
        ("https://example.com", "example.com", 443, "/"),
        ("https://example.com/", "example.com", 443, "/"),
        ("https://example.com:443/hook", "example.com", 443, "/hook"),
        ("https://example.com:8443/hook?a=1&b[]=%20", "example.com:8443", 8443, "/hook?a=1&b[]=%20"),
        ("https://example.com?a=1", "example.com", 443, "/?a=1"),
        ("https://example.com?https://other.example/", "example.com", 443, "/?https://other.example/"),
        ("HTTPS://EXAMPLE.com/A", "example.com", 443, "/A"),
        ("https://example.com/@other.example", "example.com", 443, "/@other.example"),
        ("https://a-b.c--d.example/", "a-b.c--d.example", 443, "/"),
        ("https://receiver/", "receiver", 443, "/"),
        ("https://1.example/", "1.example", 443, "/"),
        ("https://bücher.example/", "xn--bcher-kva.example", 443, "/"),
        ("https://例え.テスト/", "xn--r8jz45g.xn--zckzah", 443, "/"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/"),
        ("https://1.1.1.1/", "1.1.1.1", 443, "/"),
        ("https://[2606:4700::1111]:8443/", "[2606:4700::1111]:8443", 8443, "/"),
        ("https://[2606:4700::ABCD]/", "[2606:4700::abcd]", 443, "/"),
    ],
)
def test_a_plain_url_is_read(url: str, authority: str, port: int, path: str) -> None:
    target = parse_target(url, POLICY)
    assert (target.scheme, target.authority, target.port, target.path) == ("https", authority, port, path)


@pytest.mark.parametrize(("url", "port"), [("http://example.com", 80), ("http://example.com:8080/", 8080)])
def test_http_is_read_only_where_it_is_allowed(url: str, port: int) -> None:
    assert parse_target(url, WITH_HTTP).port == port
    with pytest.raises(UnsafeTarget, match="https"):
        parse_target(url, POLICY)


def test_a_literal_address_is_known_and_a_name_has_none() -> None:
    assert parse_target("https://[2606:4700::1]/", POLICY).address == ip_address("2606:4700::1")
    assert parse_target("https://example.com/", POLICY).address is None


SYNTAX = [
    "",
    "example.com",
    "//example.com/",
    "/hook",
    "https:example.com",
    "https:/example.com",
    "https://",
    "https:///example.com",
    "https://?a",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "httpſ://example.com/",
    "https+unix://example.com/",
    "https://user@example.com/",
    "https://user:pass@example.com/",
    "https://@example.com/",
    "https://example.com@1.1.1.1/",
    "https://1.1.1.1:443@example.com/",
    "https://example.com\\@1.1.1.1/",
    "https://example.com\\.other.example/",
    "https:\\\\example.com/",
    "https://example.com/a\\b",
    "https://example.com#",
    "https://example.com/#fragment",
    "https://example.com#@1.1.1.1/",
    "https://exam ple.com/",
    "https://example.com/a b",
    " https://example.com/",
    "https://example.com/ ",
    "https://example.com/\n",
    "https://exa\tmple.com/",
    "https://example.com/\r\nHost: other",
    "https://example.com/\x00",
    "https://example.com\x7f/",
    "https://example.com/\u00a0",
    "https://example.com/\u200b",
    "https://example\u00ad.com/",
    "https://example.com/\u2028",
    "https://example.com/\u202e",
    "https://example.com/\ud800",
    "https://example.com/é",
]
NAMES = [
    "https://example.com./",
    "https://.example.com/",
    "https://example..com/",
    "https://-example.com/",
    "https://example-.com/",
    "https://exa_mple.com/",
    "https://exa%6dple.com/",
    "https://127.0.0.1%2f.example.com/",
    "https://example.com%00.other.example/",
    "https://example.com,other.example/",
    "https://example.com;other/",
    "https://*.example.com/",
    "https://[example.com]/",
    "https://example.com[/",
    "https://" + "a" * 64 + ".example/",
    "https://" + "a." * 127 + "example/",
    "https://example\u3002com/",
    "https://ｅｘａｍｐｌｅ.com/",
    "https://ⓔⓧⓐⓜⓟⓛⓔ.com/",
    "https://\u212aelvin.example/",
    "https://BÜCHER.example/",
    "https://\u2100.example/",
    "https://a\u2044b.example/",
    "https://☃.example/",
]
PORTS = [
    "https://example.com:/",
    "https://example.com:0/",
    "https://example.com:22/",
    "https://example.com:80/",
    "https://example.com:6379/",
    "https://example.com:0443/",
    "https://example.com:+443/",
    "https://example.com:-443/",
    "https://example.com:4_43/",
    "https://example.com:0x1bb/",
    "https://example.com:443:443/",
    "https://example.com:65979/",
    "https://example.com:4294967739/",
    "https://example.com:\u0664\u0664\u0663/",
]
LITERALS = [
    # Other spellings of 127.0.0.1, and then of an address that is public.
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0X7F000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://127.0.0.01/",
    "https://127.0.0x1/",
    "https://127.0.1/",
    "https://127.1/",
    "https://0/",
    "https://0x/",
    "https://127.0.0.1./",
    "https://127.0.0.1.0x/",
    "https://127.0.0.256/",
    "https://127.0.0.0.1/",
    "https://１２７.0.0.1/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://1.1/",
    "https://16843009/",
    "https://01.1.1.1/",
    "https://0x1010101/",
    "https://[1.1.1.1]/",
    "https://[2606:4700:0::1111]/",
    "https://[2606:4700:0:0:0:0:0:1111]/",
    "https://[2606:4700::1%251]/",
    "https://[2606:4700::1%1]/",
    "https://[2606:4700::1/",
    "https://2606:4700::1/",
    "https://[]/",
    "https://[:]/",
    "https://[v1.fe80::a]/",
    # Spelled as they should be, but not public.
    "https://127.0.0.1/",
    "https://10.0.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://0.0.0.0/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:808:808]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::808:808]/",
    "https://[2002:7f00:1::]/",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1]/",
]


@pytest.mark.parametrize("url", SYNTAX + NAMES + PORTS + LITERALS)
@pytest.mark.parametrize("policy", [POLICY, WITH_HTTP], ids=["https", "http too"])
def test_any_other_spelling_is_refused(url: str, policy: TargetPolicy) -> None:
    with pytest.raises(UnsafeTarget):
        parse_target(url, policy)


def test_a_url_has_a_bounded_length() -> None:
    url = "https://example.com/".ljust(CHARACTERS_AT_MOST, "a")
    assert len(parse_target(url, POLICY).path) == CHARACTERS_AT_MOST - len("https://example.com")
    with pytest.raises(UnsafeTarget, match=str(CHARACTERS_AT_MOST)):
        parse_target(url + "a", POLICY)


def test_a_deployment_chooses_its_ports_and_networks() -> None:
    policy = replace(POLICY, https_ports=frozenset({9443}), allowed_networks=(ip_network("10.0.0.0/8"),))
    assert parse_target("https://10.1.2.3:9443/", policy).authority == "10.1.2.3:9443"
    for url in ("https://10.1.2.3/", "https://192.168.0.1:9443/"):
        with pytest.raises(UnsafeTarget):
            parse_target(url, policy)


@pytest.mark.parametrize("url", SYNTAX + NAMES + PORTS + LITERALS)
def test_a_refusal_repeats_nothing_of_the_url(url: str) -> None:
    secret = f"{url}?token=hunter2"
    with pytest.raises(UnsafeTarget) as refused:
        parse_target(secret, POLICY)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@given(st.text(max_size=40) | st.from_regex(r"https?://[\w.:@\[\]\\%/?#-]{0,30}", fullmatch=True))
def test_no_text_is_anything_but_a_target_or_a_refusal(text: str) -> None:
    try:
        target = parse_target(text, WITH_HTTP)
    except UnsafeTarget:
        return
    # What was read is a URL that reads as itself.
    assert parse_target(f"{target.scheme}://{target.authority}{target.path}", WITH_HTTP) == target


FROM = Target("https", "example.com", 443, "/a/b?c", None)


@pytest.mark.parametrize(
    ("location", "authority", "path"),
    [
        ("https://other.example/x", "other.example", "/x"),
        ("//other.example/x", "other.example", "/x"),
        ("/x?y", "example.com", "/x?y"),
        ("x", "example.com", "/a/x"),
        ("?y", "example.com", "/a/b?y"),
        ("/x#fragment", "example.com", "/x"),
    ],
)
def test_a_redirect_is_read_from_where_it_was_found(location: str, authority: str, path: str) -> None:
    target = FROM.redirected(location, POLICY)
    assert (target.authority, target.path) == (authority, path)


@pytest.mark.parametrize(
    "location",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "//127.1/",
        "//user@example.com/",
        "/\\127.0.0.1/",
        "\\\\127.0.0.1/",
        "https://[::1",
        "https://example.com:22/",
        "file:///etc/passwd",
        "data:text/plain,x",
    ],
)
def test_a_redirect_is_refused_as_any_url_is(location: str) -> None:
    with pytest.raises(UnsafeTarget):
        FROM.redirected(location, POLICY)
