"""What we sign is what other people's libraries verify."""

from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import InvalidWebhookSignatureError, OpenAI
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.webhooks.message import message_of
from quill.store.webhooks import Delivery
from quill.webhooks import signing
from quill.webhooks.records import Endpoint, SigningSecret

OLD, NEW = signing.new_secret(), signing.new_secret()


def endpoint(*secrets: SigningSecret) -> Endpoint:
    url = "https://example.com/hook"
    return Endpoint(id="whe_1", tenant="acme", name="", url=url, secrets=secrets, created_at=1.0)


def delivery(*secrets: SigningSecret, subject: str = "job_1") -> Delivery:
    now_ms = time.time_ns() // 1_000_000
    return Delivery(
        id="msg_1",
        tries=1,
        tries_of_round=1,
        event_id="evt_1",
        type="job.succeeded",
        subject=subject,
        at_ms=1_700_000_000_123,
        endpoint=endpoint(*secrets),
        now_ms=now_ms,
    )


def test_a_secret_is_as_long_as_the_specification_wants() -> None:
    assert len(base64.b64decode(OLD.removeprefix("whsec_"), validate=True)) == 32
    assert OLD != NEW


@given(st.binary(min_size=24, max_size=64), st.text().map(str.encode))
def test_the_reference_library_signs_alike(key: bytes, body: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    headers = signing.headers_of([secret], "msg_1", int(time.time()), body)
    Webhook(secret).verify(body, headers, json_parse=False)


def test_the_body_says_what_happened_and_no_more() -> None:
    message = message_of(delivery(SigningSecret(text=NEW)))
    assert json.loads(message.body) == {
        "type": "job.succeeded",
        "id": "evt_1",
        "object": "event",
        "created_at": 1_700_000_000,
        "timestamp": "2023-11-14T22:13:20.123+00:00",
        "data": {"id": "job_1"},
    }
    assert message.headers["content-type"] == "application/json"
    assert message.headers["webhook-id"] == "msg_1"


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_while_a_rotation_goes_on_either_secret_verifies(secret: str) -> None:
    later_s = time.time() + 60
    message = message_of(delivery(SigningSecret(text=NEW), SigningSecret(text=OLD, until=later_s)))
    assert Webhook(secret).verify(message.body, message.headers)["data"] == {"id": "job_1"}
    event = OpenAI(api_key="none").webhooks.unwrap(message.body, message.headers, secret=secret)
    assert (event.id, event.type) == ("evt_1", "job.succeeded")


def test_a_secret_whose_time_is_over_signs_nothing() -> None:
    message = message_of(delivery(SigningSecret(text=NEW), SigningSecret(text=OLD, until=1.0)))
    assert " " not in message.headers["webhook-signature"]
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(message.body, message.headers)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_nothing_that_is_signed_can_be_changed(name: str) -> None:
    message = message_of(delivery(SigningSecret(text=NEW)))
    forged = message.headers | {name: str(int(time.time()) + 1)}
    with pytest.raises(InvalidWebhookSignatureError):
        OpenAI(api_key="none").webhooks.unwrap(message.body, forged, secret=NEW)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(message.body + b" ", message.headers)


def test_no_secret_is_shown_by_accident() -> None:
    assert NEW not in repr(endpoint(SigningSecret(text=NEW)))
