"""What wakes who waits for a job."""

from __future__ import annotations

import asyncio

import pytest

from gateway.events import Bell

LONG_S = 60.0


async def waiting(bell: Bell) -> asyncio.Task[bool]:
    task = asyncio.create_task(bell.wait(LONG_S))
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_a_ring_ends_the_wait() -> None:
    bell = Bell()
    task = await waiting(bell)
    bell.ring()
    bell.ring()
    assert await task


async def test_rings_before_the_wait_are_remembered_once() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    assert await bell.wait(LONG_S)
    assert not await bell.wait(0.01)


@pytest.mark.parametrize("timeout_s", [-1.0, 0.0, 0.01])
async def test_a_silent_bell_is_waited_for_no_longer_than_said(timeout_s: float) -> None:
    assert not await asyncio.wait_for(Bell().wait(timeout_s), LONG_S)


async def test_who_stopped_waiting_misses_no_ring_when_it_comes_back() -> None:
    bell = Bell()
    task = await waiting(bell)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    bell.ring()
    assert await bell.wait(LONG_S)


async def test_the_time_of_an_earlier_wait_ends_no_later_one() -> None:
    bell = Bell()
    task = asyncio.create_task(bell.wait(0.05))
    await asyncio.sleep(0)
    bell.ring()
    assert await task
    again = await waiting(bell)
    await asyncio.sleep(0.1)
    assert not again.done()
    again.cancel()
