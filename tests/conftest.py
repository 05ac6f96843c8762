from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from quill.settings import Settings
from quill.store.run import Store
from tests.processes import Fleet
from tests.sentinels import Watched
from tests.tenancy import Tenancy
from tests.valkey import ValkeyServer


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="also run what takes minutes")
    parser.addoption("--store", metavar="BINARY", help="run against this server, a Redis or another Valkey")


def pytest_configure(config: pytest.Config) -> None:
    ValkeyServer.binary = config.getoption("--store")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --soak, what is marked so is left out, not skipped: it is run by hand before a release."""
    if config.getoption("--soak"):
        return
    left_out = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True, scope="session")
def plain_environment() -> Iterator[None]:
    """A developer's own settings must not reach a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("QUILL_"):
                patch.delenv(name)
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="session")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def valkey(shared_valkey: ValkeyServer) -> ValkeyServer:
    """An empty server that a test must leave running; see `own_valkey` for the others."""
    shared_valkey.empty()
    return shared_valkey


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server that a test may kill and restart."""
    server = ValkeyServer(tmp_path / "valkey")
    server.data_dir.mkdir()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """A master, its replica and sentinels that a test may end."""
    watched = Watched(tmp_path)
    yield watched
    watched.stop()


@pytest.fixture
def settings(valkey: ValkeyServer) -> Settings:
    return Settings(redis_url=valkey.url)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = Store.connect(settings)
    yield store
    store.close()


@pytest.fixture
def connect() -> Iterator[Callable[[str], Store]]:
    opened: list[Store] = []

    def connect_to(url: str) -> Store:
        opened.append(Store.connect(Settings(redis_url=url)))
        return opened[-1]

    yield connect_to
    for store in opened:
        store.close()


@pytest.fixture
def fleet(valkey: ValkeyServer, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, valkey.url)
    yield fleet
    fleet.stop()


@pytest.fixture(scope="module")
def lasting_fleet(shared_valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """For a module whose tests leave its processes as they were. Gateways go on when the store is emptied."""
    shared_valkey.empty()
    fleet = Fleet(tmp_path_factory.mktemp("fleet"), shared_valkey.url)
    yield fleet
    fleet.stop()


@pytest.fixture(scope="module")
def gateway_url(lasting_fleet: Fleet) -> str:
    """A module whose gateway is set otherwise has a fixture of this name."""
    return lasting_fleet.gateway()[1]


@pytest.fixture
def http(valkey: ValkeyServer, gateway_url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=gateway_url, timeout=30) as client:
        yield client


@pytest.fixture
def own_fleet(own_valkey: ValkeyServer, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, own_valkey.url)
    yield fleet
    fleet.stop()


@pytest.fixture
def tenancy(valkey: ValkeyServer) -> Tenancy:
    return Tenancy(valkey.url)


@pytest.fixture(scope="module")
def keyed_url(lasting_fleet: Fleet) -> str:
    return lasting_fleet.gateway(auth="keys")[1]


@pytest.fixture
def keyed(valkey: ValkeyServer, keyed_url: str) -> Iterator[httpx2.Client]:
    """A client, without a key, of a gateway that asks for keys."""
    with httpx2.Client(base_url=keyed_url, timeout=30) as client:
        yield client
