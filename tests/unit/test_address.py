"""How a store behind sentinels is spelled, and what is told to who spells it wrongly."""

from __future__ import annotations

import pytest
from kombu.utils.url import url_to_parts

from quill.address import InvalidAddress, SentinelAddress, kombu_url, parse_address
from quill.settings import Settings

SECRET = "hunter2"


def test_every_part_of_a_sentinel_url_is_read() -> None:
    url = (
        f"sentinel://us%40er:p%2F%3B+{SECRET}@a.example:1,[fe80::1]:2,b/3"
        "?service=quill-store&sentinel_username=w&sentinel_password=s%26+"
    )
    assert parse_address(url) == SentinelAddress(
        sentinels=(("a.example", 1), ("fe80::1", 2), ("b", 26_379)),
        service="quill-store",
        db=3,
        username="us@er",
        password=f"p/;+{SECRET}",
        sentinel_username="w",
        sentinel_password="s&+",
    )


@pytest.mark.parametrize("path", ["", "/", "/0"])
def test_what_may_be_left_out_is_left_out(path: str) -> None:
    assert parse_address(f"sentinel://a{path}?service=m") == SentinelAddress((("a", 26_379),), "m")


@pytest.mark.parametrize("url", ["redis://:p@a/0", "rediss://a", "unix:///run/store.sock"])
def test_one_servers_url_is_the_client_librarys_to_read(url: str) -> None:
    assert parse_address(url) is None


WRONG = [
    ("redis+cluster://a", "Redis Cluster is not supported"),
    ("sentinels://a?service=m", "Redis Cluster is not supported"),
    ("", "give a redis://"),
    ("sentinel://a:26379/0", "service"),
    ("sentinel://a?service=", "each once"),
    ("sentinel://a?service=m%20n", "names the master"),
    ("sentinel://a?service=m%0an", "names the master"),
    ("sentinel://a?service=m&service=n", "each once"),
    ("sentinel://a?service=m&ssl=true", "each once"),
    ("sentinel://a?service=m&sentinel_username=u", "needs a sentinel_password"),
    ("sentinel://?service=m", "host:port"),
    ("sentinel://a,,b?service=m", "host:port"),
    ("sentinel://a:1;sentinel://b:1/0?service=m", "commas"),
    ("sentinel://a:0?service=m", "host:port"),
    ("sentinel://a:65536?service=m", "host:port"),
    ("sentinel://a:+1?service=m", "host:port"),
    ("sentinel://fe80::1?service=m", "host:port"),
    ("sentinel://[fe80::1?service=m", "brackets"),
    ("sentinel://a/x?service=m", "the database"),
    ("sentinel://a/-1?service=m", "the database"),
    ("sentinel://a/1/2?service=m", "the database"),
    ("sentinel://a/99999999999999999999?service=m", "the database"),
    ("sentinel://user@a?service=m", "user:password"),
    ("sentinel://user:@a?service=m", "user:password"),
    (f"sentinel://u:{SECRET}/x@a?service=m", "the database"),
    (f"sentinel://u:{SECRET}#x@a?service=m", "percent-encoded"),
    (f"sentinel://u:{SECRET} x@a?service=m", "percent-encoded"),
    (f"sentinel://u:{SECRET}\n@a?service=m", "percent-encoded"),
    (f"sentinel://u:{SECRET}\u0660@a?service=m", "percent-encoded"),
]


@pytest.mark.parametrize(("url", "told"), WRONG)
def test_a_wrong_spelling_is_refused_with_the_right_one_and_no_password(url: str, told: str) -> None:
    with pytest.raises(InvalidAddress, match=told) as refused:
        parse_address(url)
    assert "sentinel://[user:password@]host1:26379" in str(refused.value)
    with pytest.raises(ValueError, match=told) as refused_setting:
        Settings(redis_url=url)
    assert SECRET not in f"{refused.value}{refused_setting.value}"


def test_no_password_is_shown_with_the_address() -> None:
    address = parse_address(f"sentinel://:{SECRET}@a?service=m&sentinel_password={SECRET}")
    assert SECRET not in repr(address)


def test_celerys_spelling_means_the_same() -> None:
    address = parse_address("sentinel://u:p%3B%2F%40+@a:1,[fe80::1]:2/3?service=m")
    assert address is not None
    parts = [url_to_parts(url) for url in kombu_url(address).split(";")]
    assert [(part.hostname, part.port) for part in parts] == list(address.sentinels)
    assert {(part.username, part.password, part.path) for part in parts} == {("u", "p;/@+", "3")}
