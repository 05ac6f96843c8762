"""A profile fills in what nobody set."""

from __future__ import annotations

import pytest

from quill.settings import WorkerSettings


def test_the_edge_profile_is_small_and_stays_on_the_cpu() -> None:
    settings = WorkerSettings(profile="edge")
    assert (settings.device, settings.quantization, settings.slots) == ("cpu", "int8", 4)
    assert settings.context_tokens == 2048
    assert settings.threads


def test_what_is_set_goes_before_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUILL_PROFILE", "edge")
    monkeypatch.setenv("QUILL_SLOTS", "2")
    settings = WorkerSettings(quantization="nf4")
    assert (settings.device, settings.quantization, settings.slots) == ("cpu", "nf4", 2)


def test_without_a_profile_nothing_is_filled_in() -> None:
    assert WorkerSettings().quantization is None
