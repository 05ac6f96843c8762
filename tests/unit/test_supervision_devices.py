"""Which GPU each supervised worker sees."""

from __future__ import annotations

import pytest

from quill.supervision.devices import NoDevice, pinned


def test_every_named_gpu_gets_a_worker_that_sees_only_it() -> None:
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in pinned("0, 3")] == ["0", "3"]


def test_all_means_those_that_are_installed() -> None:
    environments = pinned("all", installed=lambda: ["0", "1"])
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == ["0", "1"]


def test_several_gpus_may_share_one_model() -> None:
    environments = pinned("0,1,2,3", together=2)
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == ["0,1", "2,3"]
    with pytest.raises(NoDevice, match="3 GPUs do not make groups of 2"):
        pinned("0,1,2", together=2)


def test_without_gpus_one_worker_sees_none() -> None:
    assert pinned("") == [{"QUILL_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": ""}]


@pytest.mark.parametrize("gpus", [",", "0,", "1,1", " "])
def test_a_list_that_names_no_gpu_or_one_twice_is_refused(gpus: str) -> None:
    with pytest.raises(NoDevice, match="--gpus"):
        pinned(gpus)


def test_all_without_any_is_refused() -> None:
    with pytest.raises(NoDevice):
        pinned("all", installed=list)
