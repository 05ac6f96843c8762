from __future__ import annotations

import asyncio

import pytest

from gateway.patience import patience
from quill.errors import StoreUnavailable
from quill.settings import Settings


async def test_nobody_waits_for_the_store_longer_than_its_timeout_and_a_connection_take() -> None:
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(StoreUnavailable):
        async with patience(Settings(store_timeout_s=0.1)):
            await asyncio.sleep(60)
    assert asyncio.get_running_loop().time() - began_s < 3
