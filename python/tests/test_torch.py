"""Tensors: the real ones where torch is installed, and everywhere a stand-in that has what is used of it."""

from __future__ import annotations

import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import shmemo
from shmemo._codec import Codec
from shmemo._native import LARGE, decode_value, encode_value

NATIVE = Codec(use_pickle=False)


class StandIn:
    """What shmemo uses of a tensor, on an array."""

    layout: Any = "strided"

    def __init__(self, array: np.ndarray, device: str = "cpu", requires_grad: bool = False) -> None:
        self.array, self.device, self.requires_grad = array, types.SimpleNamespace(type=device), requires_grad

    def numpy(self) -> np.ndarray:
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.device.type != "cpu":
            raise TypeError("can't convert cuda:0 device type tensor to numpy.")
        return self.array

    def detach(self) -> StandIn:
        return StandIn(self.array, self.device.type)

    def cpu(self) -> StandIn:
        return StandIn(self.array, "cpu", self.requires_grad)


StandIn.__module__, StandIn.__qualname__ = "torch", "Tensor"


def stand_in() -> Any:
    module = types.ModuleType("torch")
    module.Tensor, module.strided, module.from_numpy = StandIn, "strided", StandIn  # type: ignore[attr-defined]
    return module


KINDS = ["stand-in"] + (["real"] if importlib.util.find_spec("torch") else [])


@pytest.fixture(params=KINDS)
def torch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    if request.param == "stand-in":
        monkeypatch.setitem(sys.modules, "torch", stand_in())
        yield sys.modules["torch"]
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
    yield torch


ARRAYS = [
    np.arange(6, dtype="f4").reshape(2, 3),
    np.arange(6, dtype="i8").reshape(3, 2).T,
    np.array(5, "u1"),
    np.zeros((0, 3), "f8"),
    np.array([True, False]),
    np.array([1j], "c8"),
    np.ones(LARGE, "f2"),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype.str}{array.shape}")
def test_a_tensor_comes_back_without_pickle(torch: Any, array: np.ndarray, cache: shmemo.Cache) -> None:
    tensor = torch.from_numpy(array)
    for again in (decode_value(encode_value(tensor, NATIVE), NATIVE), decode_value(encode_value([tensor], NATIVE), NATIVE)[0]):
        found = again.numpy()
        assert type(again) is torch.Tensor and found.dtype == array.dtype and found.shape == array.shape
        assert found.flags.writeable and found.flags.aligned
        np.testing.assert_array_equal(found, array)
    if array.nbytes < LARGE:
        cache["k"] = {"tensor": tensor}
        np.testing.assert_array_equal(cache["k"]["tensor"].numpy(), array)


def test_it_is_a_copy(torch: Any, cache: shmemo.Cache) -> None:
    cache["k"] = torch.from_numpy(np.zeros(3))
    cache["k"].numpy()[:] = 1
    assert not cache["k"].numpy().any()


def test_tensors_as_arguments(torch: Any, cache: shmemo.Cache) -> None:
    calls = []

    @cache.memoize
    def total(tensor: Any) -> float:
        calls.append(tensor)
        return float(tensor.numpy().sum())

    assert [total(torch.from_numpy(np.arange(n % 3 + 1.0))) for n in range(6)] == [0, 1, 3, 0, 1, 3] and len(calls) == 3


def test_without_torch_a_tensor_is_a_miss(torch: Any, cache: shmemo.Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache["k"] = torch.from_numpy(np.zeros(3))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.warns(shmemo.UndecodableWarning, match="torch"):
        assert cache.get("k", "none") == "none"


def test_what_is_more_than_its_numbers_is_not_taken_for_them() -> None:
    module = stand_in()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", module)
        for tensor in (StandIn(np.zeros(2), requires_grad=True), StandIn(np.zeros(2), "cuda")):
            with pytest.raises(shmemo.UnsupportedValue, match="Tensor"):
                encode_value(tensor, NATIVE)


if "real" in KINDS:

    @pytest.mark.parametrize("torch", ["real"], indirect=True)
    def test_other_real_tensors_are_pickled(torch: Any, cache: shmemo.Cache) -> None:
        others = {
            "grad": torch.ones(2, requires_grad=True),
            "parameter": torch.nn.Parameter(torch.ones(2)),
            "bfloat16": torch.ones(2, dtype=torch.bfloat16),
            "sparse": torch.ones(2, 2).to_sparse(),
            "conjugate": torch.tensor([1j]).conj(),
        }
        for name, tensor in others.items():
            with pytest.raises(shmemo.UnsupportedValue, match="torch"):
                encode_value(tensor, NATIVE)
            cache[name] = tensor
            again = cache[name]
            assert type(again) is type(tensor) and again.dtype == tensor.dtype and again.requires_grad == tensor.requires_grad
            assert again.layout == tensor.layout and torch.equal(again.to_dense(), tensor.to_dense())
