"""A store that speaks TLS only: `rediss://`, certificate checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from quill.errors import StoreUnavailable
from quill.settings import Settings
from quill.store import calls
from quill.store.run import Store
from tests.processes import Fleet
from tests.tls import REDIS_SERVER, TlsRedis, TlsTerminator, certificate
from tests.valkey import PASSWORD, ValkeyServer


@pytest.fixture(scope="module")
def certificate_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls") / "store.pem", "DNS:localhost")


def terminator(_: Path, certificate_file: Path, valkey: ValkeyServer) -> TlsTerminator:
    return TlsTerminator(certificate_file, valkey.port)


def whole_redis(data_dir: Path, certificate_file: Path, _: ValkeyServer) -> TlsRedis:
    return TlsRedis(data_dir, certificate_file)


needs_redis = pytest.mark.skipif(not REDIS_SERVER, reason="takes a redis-server on the path")


@pytest.fixture(params=[terminator, pytest.param(whole_redis, marks=needs_redis)])
def server(
    request: pytest.FixtureRequest, tmp_path: Path, certificate_file: Path, valkey: ValkeyServer
) -> Iterator[TlsTerminator | TlsRedis]:
    server: TlsTerminator | TlsRedis = request.param(tmp_path, certificate_file, valkey)
    server.start()
    yield server
    server.stop()


def url_of(server: TlsTerminator | TlsRedis, role: str, ca_file: Path, host: str = "localhost") -> str:
    user = f"quill-{role}:{PASSWORD}"
    return f"rediss://{user}@{host}:{server.tls_port}/0?ssl_cert_reqs=required&ssl_ca_certs={ca_file}"


@pytest.mark.timeout(60)
def test_a_job_runs_over_a_store_behind_tls(
    server: TlsTerminator | TlsRedis, certificate_file: Path, fleet: Fleet
) -> None:
    _, url = fleet.gateway(redis_url=url_of(server, "gateway", certificate_file))
    fleet.worker(redis_url=url_of(server, "worker", certificate_file), simulated_step_s=0.001)
    body, prefer = {"prompt": "x", "max_tokens": 3}, {"Prefer": "wait=20"}
    reply = httpx2.post(f"{url}/v1/jobs", json=body, headers=prefer, timeout=30)
    assert (reply.status_code, reply.json()["state"]) == (200, "succeeded")
    assert server.handshakes > 2


@pytest.mark.parametrize("trusts", ["another authority", "another name"])
def test_a_store_that_cannot_prove_who_it_is_gets_nothing(
    server: TlsTerminator | TlsRedis, certificate_file: Path, tmp_path: Path, trusts: str
) -> None:
    other = certificate(tmp_path / "other.pem", "DNS:localhost")
    ca_file = other if "authority" in trusts else certificate_file
    host = "127.0.0.1" if "name" in trusts else "localhost"
    store = Store.connect(Settings(redis_url=url_of(server, "gateway", ca_file, host)))
    with pytest.raises(StoreUnavailable):
        store.run(calls.sweep())
    store.close()
