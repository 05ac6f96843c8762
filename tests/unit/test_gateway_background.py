from __future__ import annotations

import asyncio

from redis.exceptions import TimeoutError as RedisTimeout

from gateway.background import keep_doing


async def test_background_work_ends_even_if_the_library_swallows_the_cancellation() -> None:
    begun = asyncio.Event()

    async def swallowing() -> float:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise RedisTimeout from None
        return 0.0

    task = asyncio.create_task(keep_doing("test", swallowing))
    await begun.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=2)
    assert done


async def test_background_work_goes_on_after_any_surprise() -> None:
    surprises = [ValueError("one"), KeyError("two")]
    went_on = asyncio.Event()

    async def failing() -> float:
        if surprises:
            raise surprises.pop()
        went_on.set()
        return 60.0

    task = asyncio.create_task(keep_doing("test", failing))
    async with asyncio.timeout(5):
        await went_on.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
