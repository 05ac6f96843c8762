"""The openai engine before a server that misbehaves: busy, refusing, silent, breaking off, or not there."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from quill.embedded import free_port
from quill.errors import ContextLengthExceeded, EngineError, EngineFault, InvalidRequest
from quill.job import Message
from worker.engines.base import GenerationRequest, Sampling
from worker.engines.openai.engine import OpenAIEngine
from worker.engines.openai.settings import ServerSettings

WAIT_S = 20.0
SECRET = "the callers own words"


def chunk(text: str = "", **choice: object) -> bytes:
    data = {"choices": [{"index": 0, "delta": {"content": text}, **choice}]}
    return f"data: {json.dumps(data)}\n\n".encode()


END = chunk(finish_reason="stop") + b"data: [DONE]\n\n"


class Server:
    """Answers each request for a completion by the next of its scripts; the last one stays."""

    def __init__(self) -> None:
        self.scripts: list[Callable[[BaseHTTPRequestHandler], None]] = []
        self.bodies: list[dict[str, object]] = []
        self.keys: list[str | None] = []
        #: How many connections were found closed while their answer was being written.
        self.departures = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        here = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Nothing."""

            def do_GET(self) -> None:
                body = json.dumps({"data": [{"id": "only", "max_model_len": 100}]}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                here.keys.append(self.headers.get("authorization"))
                here.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                script = here.scripts.pop(0) if len(here.scripts) > 1 else here.scripts[0]
                try:
                    script(self)
                except OSError:
                    here.departures += 1

        return Handler


def answers(*pieces: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    def script(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for piece in pieces:
            handler.wfile.write(piece)
            handler.wfile.flush()

    return script


def refuses(status: int, words: str = "") -> Callable[[BaseHTTPRequestHandler], None]:
    def script(handler: BaseHTTPRequestHandler) -> None:
        body = json.dumps({"error": {"message": f"{words} {SECRET}"}}).encode()
        handler.send_response(status)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return script


def goes_on_for_ever(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(chunk("x"))
        handler.wfile.flush()
        time.sleep(0.005)


def says_nothing(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.flush()
    time.sleep(3)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def engine(server: Server) -> Iterator[OpenAIEngine]:
    engine = OpenAIEngine(ServerSettings(server.url, api_key="k-1", silence_s=1.0, tries=3))
    assert engine.start().context_tokens == 100
    yield engine
    engine.close()


def ask(**sampling: object) -> GenerationRequest:
    turns = (Message(role="user", content=SECRET),)
    return GenerationRequest(turns, Sampling(max_tokens=50, **sampling))  # type: ignore[arg-type]


def test_a_busy_server_is_asked_again(server: Server, engine: OpenAIEngine) -> None:
    server.scripts = [refuses(503), refuses(429), answers(chunk("Yes"), END)]
    assert engine.submit(ask()).result(WAIT_S).text == "Yes"
    assert len(server.bodies) == 3
    assert server.keys == ["Bearer k-1"] * 3
    assert server.bodies[0]["model"] == "only"


def test_a_server_that_stays_busy_costs_the_try(server: Server, engine: OpenAIEngine) -> None:
    server.scripts = [refuses(503)]
    with pytest.raises(EngineFault) as fault:
        engine.submit(ask()).result(WAIT_S)
    assert fault.value.retryable
    assert len(server.bodies) == 3


def test_a_silent_server_is_asked_again(server: Server, engine: OpenAIEngine) -> None:
    server.scripts = [says_nothing, answers(chunk("Yes"), END)]
    assert engine.submit(ask()).result(WAIT_S).text == "Yes"


def test_an_answer_that_breaks_off_is_not_glued_to_another(server: Server, engine: OpenAIEngine) -> None:
    server.scripts = [answers(chunk("Ye")), answers(chunk("No"), END)]
    with pytest.raises(EngineFault):
        engine.submit(ask()).result(WAIT_S)
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (refuses(400, "maximum context length is 100"), ContextLengthExceeded),
        (refuses(400, "no such field"), InvalidRequest),
        (refuses(422), InvalidRequest),
        (refuses(401), EngineFault),
        (answers(b'data: {"error": {"message": "the callers own words"}}\n\n'), EngineFault),
        (answers(b"data: nonsense\n\n"), EngineFault),
    ],
)
def test_a_refusal_is_told_in_our_words_alone(
    server: Server,
    engine: OpenAIEngine,
    caplog: pytest.LogCaptureFixture,
    script: Callable[[BaseHTTPRequestHandler], None],
    kind: type[Exception],
) -> None:
    server.scripts = [script]
    with pytest.raises(kind) as refusal:
        engine.submit(ask()).result(WAIT_S)
    assert SECRET not in str(refusal.value)
    assert SECRET not in caplog.text
    assert "k-1" not in caplog.text


def test_an_abort_closes_the_connection(server: Server, engine: OpenAIEngine) -> None:
    server.scripts = [goes_on_for_ever]
    handle = engine.submit(ask())
    while not handle.produced_tokens:
        time.sleep(0.01)
    handle.abort()
    result = handle.result(WAIT_S)
    assert result.finish_reason == "cancelled"
    assert result.text.strip("x") == ""
    deadline_s = time.monotonic() + WAIT_S
    while not server.departures:
        assert time.monotonic() < deadline_s, "the server was not told"
        time.sleep(0.01)


def test_a_stop_string_closes_the_connection_too(server: Server, engine: OpenAIEngine) -> None:
    server.scripts = [goes_on_for_ever]
    result = engine.submit(ask(stop=("xxx",))).result(WAIT_S)
    assert (result.text, result.finish_reason, result.stop_reason) == ("", "stop", "xxx")


def test_an_abort_right_after_the_submission_still_ends_the_request(
    server: Server, engine: OpenAIEngine
) -> None:
    server.scripts = [goes_on_for_ever]
    for _ in range(50):
        handle = engine.submit(ask())
        handle.abort()
        assert handle.result(WAIT_S).finish_reason == "cancelled"


def test_a_server_that_is_not_there_is_refused_at_the_start() -> None:
    engine = OpenAIEngine(ServerSettings(f"http://127.0.0.1:{free_port()}/v1"))
    with pytest.raises(EngineError, match="does not answer"):
        engine.start()
    with pytest.raises(EngineError):
        engine.submit(ask())
    engine.close()
