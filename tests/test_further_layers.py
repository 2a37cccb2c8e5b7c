"""Unfold, Fold, PixelShuffle, RMSNorm, LocalResponseNorm, shrinkage, ParameterDict and old names: torch's numbers."""

import warnings
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch

import minitrain

BOUND = {"float32": 1e-4, "float64": 1e-11}
CALLS: dict[str, tuple[tuple[int, ...], Any]] = {
    "unfold": ((2, 3, 5, 6), lambda t, x: t.nn.functional.unfold(x, (2, 3))),
    "unfold of one image": ((3, 5, 6), lambda t, x: t.nn.Unfold(2, padding=1, stride=(2, 1))(x)),
    "unfold with dilation": ((1, 2, 7, 6), lambda t, x: t.nn.Unfold((2, 3), dilation=2, padding=(1, 0))(x)),
    "fold": ((2, 12, 20), lambda t, x: t.nn.functional.fold(x, (5, 6), 2)),
    "fold of one image": ((12, 9), lambda t, x: t.nn.Fold((4, 4), (2, 2), stride=2, padding=1)(x)),
    "pixel_shuffle": ((2, 8, 3, 2), lambda t, x: t.nn.PixelShuffle(2)(x)),
    "pixel_shuffle of more axes": ((2, 2, 9, 1, 2), lambda t, x: t.nn.functional.pixel_shuffle(x, 3)),
    "pixel_unshuffle": ((2, 4, 6), lambda t, x: t.nn.PixelUnshuffle(2)(x)),
    "rms_norm": ((4, 3, 5), lambda t, x: t.nn.functional.rms_norm(x, (3, 5), eps=0.1)),
    "rms_norm with its own eps": ((4, 5), lambda t, x: t.nn.functional.rms_norm(x * 1e-4, (5,))),
    "local_response_norm": ((2, 7, 3), lambda t, x: t.nn.LocalResponseNorm(3, alpha=0.5, beta=0.6, k=2.0)(x)),
    "local_response_norm of images": ((2, 6, 3, 4), lambda t, x: t.nn.functional.local_response_norm(x, 4, alpha=2.0)),
    "hardshrink": ((40,), lambda t, x: t.nn.Hardshrink()(x)),
    "softshrink": ((40,), lambda t, x: t.nn.functional.softshrink(x, 0.3)),
    "UpsamplingNearest2d": ((1, 2, 3, 4), lambda t, x: t.nn.UpsamplingNearest2d(scale_factor=2)(x)),
    "UpsamplingBilinear2d": ((1, 2, 3, 4), lambda t, x: t.nn.UpsamplingBilinear2d(size=(5, 7))(x)),
    "upsample": ((1, 2, 3, 4), lambda t, x: t.nn.functional.upsample(x, scale_factor=2)),
    **{
        name: ((40,), lambda t, x, name=name, options=options: getattr(t.nn.functional, name)(x * 1, *options))
        for name, options in {
            "relu_": (),
            "leaky_relu_": (0.2,),
            "elu_": (0.7,),
            "celu_": (0.5,),
            "selu_": (),
            "hardtanh_": (-0.5, 0.7),
            "threshold_": (0.1, -2.0),
        }.items()
    },
}


@pytest.mark.filterwarnings("ignore:.*upsample. is deprecated")
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients_are_torchs(name: str, dtype: str) -> None:
    shape, call = CALLS[name]
    random = np.random.default_rng(len(name))
    x, results = random.normal(size=shape), []
    for t in (minitrain, torch):
        leaf = t.tensor(x.tolist(), dtype=getattr(t, dtype), requires_grad=True)
        y = call(t, leaf)
        weight = np.random.default_rng(1).normal(size=tuple(y.shape))
        (y * t.tensor(weight.tolist(), dtype=getattr(t, dtype))).sum().backward()
        results.append((y.detach(), leaf.grad))
    for ours, theirs in zip(*results, strict=True):
        assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=BOUND[dtype], atol=BOUND[dtype])


REFUSED: dict[str, Any] = {
    "no window fits": lambda t: t.nn.Unfold(3)(t.ones(1, 1, 2, 2)),
    "rows that are no windows": lambda t: t.nn.Fold(4, 2)(t.ones(1, 5, 9)),
    "another number of windows": lambda t: t.nn.Fold(4, 2)(t.ones(1, 8, 8)),
    "channels that are no squares": lambda t: t.nn.PixelShuffle(2)(t.ones(3, 2, 2)),
    "too few axes": lambda t: t.nn.PixelShuffle(2)(t.ones(2, 2)),
    "a height that is not divisible": lambda t: t.nn.PixelUnshuffle(2)(t.ones(1, 3, 4)),
    "another normalized_shape": lambda t: t.nn.RMSNorm(3)(t.ones(2, 4)),
    "a negative lambda": lambda t: t.nn.functional.softshrink(t.ones(2), -1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_refuses_is_refused_in_its_words(name: str) -> None:
    messages = []
    for t in (minitrain, torch):
        with pytest.raises(RuntimeError) as error:
            REFUSED[name](t)
        messages.append(str(error.value)[:60])
    assert messages[0] == messages[1]


def test_local_response_norm_wants_channels() -> None:
    for t in (minitrain, torch):
        with pytest.raises(ValueError, match="Expected 3D or higher dimensionality"):
            t.nn.LocalResponseNorm(2)(t.ones(2, 3))


def test_reprs_and_states_are_torchs() -> None:
    def shown(t: Any) -> Any:
        n = t.nn
        modules = [n.RMSNorm(4), n.RMSNorm((2, 3), 0.1, False), n.LocalResponseNorm(2), n.PixelShuffle(2), n.Unfold(2)]
        modules += [n.PixelUnshuffle(3), n.Fold(4, 2), n.Softshrink(), n.Hardshrink(0.1)]
        modules += [n.UpsamplingNearest2d(scale_factor=2), n.UpsamplingBilinear2d(size=4)]
        return [(repr(module), [*module.state_dict()]) for module in modules]

    assert shown(minitrain) == shown(torch)


def test_upsample_warns_as_torchs() -> None:
    for t in (minitrain, torch):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            t.nn.functional.upsample(t.ones(1, 1, 2, 2), scale_factor=2)
        assert "upsample` is deprecated. Use `nn.functional.interpolate` instead." in str(caught[0].message)


def test_an_in_place_activation_writes_into_its_input() -> None:
    x = minitrain.tensor([-1.0, 2.0])
    assert minitrain.nn.functional.relu_(x) is x
    assert x.tolist() == [0.0, 2.0]


def test_a_parameter_dict_is_torchs() -> None:
    def used(t: Any) -> Any:
        d = t.nn.ParameterDict({"b": t.nn.Parameter(t.ones(2)), "a": t.zeros(1, 3)})
        seen: list[Any] = [list(d), [*d.keys()], len(d), "a" in d, d["a"].requires_grad, [*d.state_dict()]]
        d["c"] = t.nn.Parameter(t.ones(1))
        d.update(OrderedDict([("z", t.ones(1)), ("y", t.ones(1))]))
        seen += [[name for name, _ in d.items()], len(list(d.parameters())), [tuple(p.shape) for p in d.values()]]
        del d["z"]
        seen += [tuple(d.pop("b").shape), list(d), d.get("b"), list(t.nn.ParameterDict(d)), len([*d.values()])]
        d.clear()
        return [*seen, len(d)]

    assert used(minitrain) == used(torch)
    with pytest.raises(TypeError, match="a ParameterDict holds Tensors, but 'n' is a int"):
        minitrain.nn.ParameterDict({"n": 3})
