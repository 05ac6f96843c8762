"""When a failed delivery is tried again."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.webhooks.schedule import asked_pause_s, life_s, pause_s
from quill.settings import GatewaySettings

SCHEDULE_S = GatewaySettings().webhook_schedule_s
NOW_S = 1_700_000_000.0
DAY_S = 86_400.0


def asked_s(text: str, status: int = 429) -> float | None:
    return asked_pause_s(status, {"retry-after": text}, NOW_S)


def test_there_are_ten_tries_over_three_days() -> None:
    pauses_s = [pause_s(tries, SCHEDULE_S, 0.5) for tries in range(1, 12)]
    assert pauses_s == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400, None, None]


@given(st.floats(0, 1))
def test_no_pause_is_off_by_more_than_a_fifth(draw: float) -> None:
    pause = pause_s(2, SCHEDULE_S, draw)
    assert pause is not None
    assert 240 <= pause <= 360


def test_a_delivery_lives_as_long_as_its_tries_take_at_most_and_no_less_than_the_specifications() -> None:
    longest_s = [pause_s(tries, SCHEDULE_S, 1.0) or 0.0 for tries in range(1, 10)]
    assert sum(longest_s) < life_s(SCHEDULE_S) == life_s((1.0,)) == 4 * DAY_S
    assert life_s((5 * DAY_S,)) == 6 * DAY_S


def test_what_the_receiver_asks_for_prolongs_a_pause_and_shortens_none() -> None:
    assert pause_s(1, SCHEDULE_S, 0.5, 120) == 120
    assert pause_s(3, SCHEDULE_S, 0.5, 1) == 1800
    assert pause_s(10, SCHEDULE_S, 0.5, 120) is None


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_whoever_is_too_busy_may_ask_for_a_pause(status: int) -> None:
    assert asked_s("120", status) == 120


@pytest.mark.parametrize("status", [200, 302, 400, 410, 500])
def test_nobody_else_may(status: int) -> None:
    assert asked_s("120", status) is None


def test_a_pause_may_be_asked_for_by_date() -> None:
    at = format_datetime(datetime.fromtimestamp(NOW_S + 90, UTC), usegmt=True)
    assert asked_s(at) == 90
    assert asked_s(format_datetime(datetime.fromtimestamp(NOW_S - 90, UTC), usegmt=True)) is None


@pytest.mark.parametrize("text", ["999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_nobody_may_ask_for_more_than_a_day(text: str) -> None:
    assert asked_s(text) == DAY_S


@given(st.text(max_size=60))
@example("")
@example("-1")
@example("1e400")
@example("Mon, 99 Foo 2024 99:99:99 +9999999")
@example("Thu, 01 Jan 0000 00:00:00 GMT")
@example("1 2 3 4 5 6")
def test_whatever_is_asked_for_is_a_bounded_pause_or_none(text: str) -> None:
    asked = asked_s(text)
    assert asked is None or 0 <= asked <= DAY_S
