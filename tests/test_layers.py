"""Layers, losses and activations beyond the tutorial's are torch's: values, gradients, state, draws, refusals."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minitrain
from minitrain import nn, ops
from minitrain.autograd import check_gradients

RANDOM = np.random.RandomState


def outcome(library: Any, build: Callable[[Any], Any], inputs: list[Any], dtype: str, steps: int = 1) -> list[Any]:
    """A Module's result, the gradients of its inputs and Parameters, and its buffers, after forward and backward."""
    library.manual_seed(0)
    module = build(library)
    module = module.to(getattr(library, dtype))
    tensors = []
    for array in inputs:
        is_float = array.dtype.kind == "f"
        tensor = library.tensor(array.astype(dtype) if is_float else array)
        tensors.append(tensor.requires_grad_() if is_float else tensor)
    for _ in range(steps):
        y = module(*tensors)
    weights = library.tensor(np.asarray(RANDOM(1).randn(*y.shape), dtype))
    (y * weights).sum().backward()
    grads = [x.grad for x in (*tensors, *module.parameters()) if x.requires_grad]
    state = [x.detach().numpy() for x in module.state_dict().values()]
    return [y.detach().numpy(), *[None if g is None else g.numpy() for g in grads], *state]


def assert_torchs(build: Callable[[Any], Any], *inputs: Any, steps: int = 1, dtype: str = "float64") -> None:
    ours = outcome(minitrain, build, list(inputs), dtype, steps)
    theirs = outcome(torch, build, list(inputs), dtype, steps)
    assert len(ours) == len(theirs)
    relative = 1e-7 if dtype == "float64" else 3e-5  # torch has some constants in float32 alone
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=relative, atol=relative * max(1.0, float(np.abs(b).max(initial=0))))


def x(*shape: int) -> np.ndarray:
    return RANDOM(0).randn(*shape)


def target(*shape: int) -> np.ndarray:
    return RANDOM(2).rand(*shape)


ACTIVATIONS = {
    "LeakyReLU()": lambda t: t.nn.LeakyReLU(),
    "LeakyReLU(0.2)": lambda t: t.nn.LeakyReLU(0.2),
    "ELU(0.7)": lambda t: t.nn.ELU(0.7),
    "SELU": lambda t: t.nn.SELU(),
    "SiLU": lambda t: t.nn.SiLU(),
    "Mish": lambda t: t.nn.Mish(),
    "Softplus": lambda t: t.nn.Softplus(),
    "Softplus(2, 1)": lambda t: t.nn.Softplus(2.0, 1.0),
    "Hardtanh": lambda t: t.nn.Hardtanh(),
    "Hardtanh(-0.5, 2)": lambda t: t.nn.Hardtanh(-0.5, 2.0),
    "ReLU6": lambda t: t.nn.ReLU6(),
    "Hardsigmoid": lambda t: t.nn.Hardsigmoid(),
    "Hardswish": lambda t: t.nn.Hardswish(),
    "LogSigmoid": lambda t: t.nn.LogSigmoid(),
    "Softsign": lambda t: t.nn.Softsign(),
    "Tanhshrink": lambda t: t.nn.Tanhshrink(),
    "Threshold": lambda t: t.nn.Threshold(0.1, 20.0),
    "PReLU": lambda t: t.nn.PReLU(),
    "PReLU(4)": lambda t: t.nn.PReLU(4),
    "GLU": lambda t: t.nn.GLU(1),
    "Softmin": lambda t: t.nn.Softmin(1),
    "Identity": lambda t: t.nn.Identity(3, unused=True),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str, dtype: str) -> None:
    assert_torchs(ACTIVATIONS[name], x(3, 4, 5) * 3, dtype=dtype)
    assert repr(ACTIVATIONS[name](minitrain)) == repr(ACTIVATIONS[name](torch))


@pytest.mark.parametrize("name", ["leaky_relu", "elu", "selu", "silu", "relu6", "hardtanh", "softplus", "logsigmoid"])
def test_activations_at_their_corners_are_torchs(name: str) -> None:
    values = np.array([0.0, -0.0, 1.0, -1.0, 6.0, np.inf, -np.inf, 1e30, -1e30, 20.0, 100.0])
    results = []
    for library in (minitrain, torch):
        inputs = library.tensor(values, requires_grad=True)
        y = getattr(library.nn.functional, name)(inputs)
        y.backward(library.ones(len(values), dtype=library.float64))
        results.append((y.detach().numpy(), inputs.grad.numpy()))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("name", ["leaky_relu", "elu", "relu6", "silu", "hardtanh", "celu", "selu", "mish"])
def test_activations_in_place_write_into_their_input(name: str) -> None:
    a, b = minitrain.tensor(x(5)), torch.tensor(x(5))
    result = getattr(nn.functional, name)(a, inplace=True)
    getattr(torch.nn.functional, name)(b, inplace=True)
    assert result is a
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)


# --- losses -----------------------------------------------------------------------------------------------------------

LOSSES = {
    "L1Loss": lambda t, r: t.nn.L1Loss(reduction=r),
    "SmoothL1Loss": lambda t, r: t.nn.SmoothL1Loss(reduction=r),
    "SmoothL1Loss(beta=0.3)": lambda t, r: t.nn.SmoothL1Loss(reduction=r, beta=0.3),
    "SmoothL1Loss(beta=0)": lambda t, r: t.nn.SmoothL1Loss(reduction=r, beta=0.0),
    "HuberLoss(delta=0.5)": lambda t, r: t.nn.HuberLoss(reduction=r, delta=0.5),
    "BCEWithLogitsLoss": lambda t, r: t.nn.BCEWithLogitsLoss(reduction=r),
    "BCEWithLogitsLoss(pos_weight)": lambda t, r: t.nn.BCEWithLogitsLoss(
        reduction=r, pos_weight=t.tensor([1.0, 2.0, 0.5], dtype=t.float64)
    ),
    "BCEWithLogitsLoss(weight)": lambda t, r: t.nn.BCEWithLogitsLoss(
        reduction=r, weight=t.tensor([1.0, 2.0, 0.5], dtype=t.float64)
    ),
    "KLDivLoss": lambda t, r: t.nn.KLDivLoss(reduction=r),
    "KLDivLoss(log_target)": lambda t, r: t.nn.KLDivLoss(reduction=r, log_target=True),
    "MSELoss": lambda t, r: t.nn.MSELoss(reduction=r),
}


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str, reduction: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of KLDivLoss's mean
        assert_torchs(lambda t: LOSSES[name](t, reduction), x(4, 3), target(4, 3))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_binary_cross_entropy_of_probabilities(reduction: str) -> None:
    assert_torchs(lambda t: t.nn.BCELoss(reduction=reduction), np.clip(target(4, 3), 0.01, 0.99), target(4, 3))
    edges, wanted = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])
    assert_torchs(lambda t: t.nn.BCELoss(reduction=reduction), edges, wanted)


def test_binary_cross_entropy_refuses_what_is_no_probability() -> None:
    for library in (minitrain, torch):
        with pytest.raises(RuntimeError, match="between 0 and 1"):
            library.nn.functional.binary_cross_entropy(library.tensor([1.5]), library.tensor([1.0]))
        with pytest.raises(ValueError, match="target size"):
            library.nn.BCELoss()(library.tensor([[0.5]]), library.tensor([1.0]))


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_shapes_that_broadcast_are_compared_with_torchs_warning(name: str) -> None:
    values = []
    for library in (minitrain, torch):
        with pytest.warns(UserWarning, match="different to the input size"):
            values.append(getattr(library.nn.functional, name)(library.ones(2, 1), library.zeros(2)).item())
    assert values[0] == pytest.approx(values[1])


PAIRS = {  # losses of two vectors or scores, and a target that is 1 or -1
    "MarginRankingLoss": lambda t, r: t.nn.MarginRankingLoss(0.3, reduction=r),
    "CosineEmbeddingLoss": lambda t, r: t.nn.CosineEmbeddingLoss(0.2, reduction=r),
    "TripletMarginLoss": lambda t, r: t.nn.TripletMarginLoss(reduction=r),
    "TripletMarginLoss(p=1, swap)": lambda t, r: t.nn.TripletMarginLoss(0.5, p=1.0, swap=True, reduction=r),
    "HingeEmbeddingLoss": lambda t, r: t.nn.HingeEmbeddingLoss(0.8, reduction=r),
    "SoftMarginLoss": lambda t, r: t.nn.SoftMarginLoss(reduction=r),
    "GaussianNLLLoss": lambda t, r: t.nn.GaussianNLLLoss(reduction=r),
    "GaussianNLLLoss(full)": lambda t, r: t.nn.GaussianNLLLoss(full=True, eps=0.2, reduction=r),
}


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", PAIRS)
def test_losses_with_a_margin_or_a_variance(name: str, reduction: str) -> None:
    signs = np.array([1, -1, 1, -1, -1])
    third = {"Margin": signs, "Cosine": signs, "Triple": x(5, 3)[::-1] * 2, "Gaussi": target(5, 3)}.get(name[:6])
    if third is None:
        inputs = [x(5), signs]
    else:
        inputs = [x(5), x(5)[::-1] * 2, third] if name.startswith("Margin") else [x(5, 3), x(5, 3)[:, ::-1] * 2, third]
    assert_torchs(lambda t: PAIRS[name](t, reduction), *inputs)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_losses_of_several_classes_and_of_counts(reduction: str) -> None:
    labels, several, counts = np.array([2, 0, 1, 1]), (target(4, 3) > 0.5) * 1.0, np.array([0, 1, 2, 7])
    weight = [0.5, 1.0, 2.0]
    for p in (1, 2):
        assert_torchs(lambda t, p=p: t.nn.MultiMarginLoss(p, 0.7, reduction=reduction), x(4, 3), labels)
    for build in (
        lambda t: t.nn.MultiMarginLoss(weight=t.tensor(weight, dtype=t.float64), reduction=reduction),
        lambda t: t.nn.MultiLabelSoftMarginLoss(t.tensor(weight, dtype=t.float64), reduction=reduction),
    ):
        assert_torchs(build, x(4, 3), labels if "MultiMargin" in repr(build(torch)) else several)
    for full in (True, False):
        assert_torchs(lambda t, full=full: t.nn.PoissonNLLLoss(full=full, reduction=reduction), x(4), counts)
        assert_torchs(lambda t, full=full: t.nn.PoissonNLLLoss(False, full, reduction=reduction), target(4), counts)


def test_one_variance_for_a_row_and_for_all() -> None:
    for variance in (0.5, target(4), target(4, 1)):
        a, b = (
            t.nn.GaussianNLLLoss()(t.tensor(x(4, 3)), t.tensor(x(4, 3)[::-1].copy()), v).item()
            for t in (minitrain, torch)
            for v in [variance if isinstance(variance, float) else t.tensor(variance)]
        )
        assert a == pytest.approx(b)
    for t in (minitrain, torch):
        with pytest.raises(ValueError, match="var has negative"):
            t.nn.GaussianNLLLoss()(t.ones(2), t.ones(2), -t.ones(2))
        with pytest.raises(ValueError, match="var is of incorrect size"):
            t.nn.GaussianNLLLoss()(t.ones(2, 3), t.ones(2, 3), t.ones(3))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_the_distance_of_pairs(p: float) -> None:
    assert_torchs(lambda t: t.nn.PairwiseDistance(p, keepdim=True), x(4, 3), x(4, 3)[::-1] * 2)


OLD_ARGUMENTS = [
    {"size_average": True},
    {"size_average": False},
    {"reduce": True},
    {"reduce": False},
    {"size_average": True, "reduce": False},
    {"size_average": False, "reduce": True},
]


@pytest.mark.parametrize("old", OLD_ARGUMENTS, ids=str)
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "binary_cross_entropy", "kl_div"])
def test_the_old_arguments_of_losses_mean_what_they_mean_in_torch(name: str, old: dict[str, bool]) -> None:
    results = []
    for library in (minitrain, torch):
        input, wanted = library.tensor(target(4, 3)), library.tensor(target(3, 4).reshape(4, 3))
        with pytest.warns(UserWarning, match=r"size_average and reduce args will be deprecated") as caught:
            loss = getattr(library.nn.functional, name)(input, wanted, **old)
        with pytest.warns(UserWarning, match=r"size_average and reduce args will be deprecated"):
            module = library.nn.MSELoss(**old)
        results.append((loss.tolist(), str(caught[0].message), module.reduction))
    (ours, *said), (theirs, *torchs) = results
    np.testing.assert_allclose(ours, theirs)
    assert said == torchs


def test_the_old_arguments_come_third_and_fourth_or_after_the_weight() -> None:
    values = []
    for library in (minitrain, torch):
        F, labels = library.nn.functional, library.tensor([0, 2])
        with pytest.warns(UserWarning, match=r"reduction='sum'"):
            values.append(F.cross_entropy(library.tensor(x(2, 3)), labels, None, False).item())
        with pytest.warns(UserWarning, match=r"reduction='none'"):
            values.append(library.nn.NLLLoss(reduce=False)(library.tensor(x(2, 3)), labels).sum().item())
    assert values[:2] == pytest.approx(values[2:])


# --- convolution and pooling ------------------------------------------------------------------------------------------


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[tuple[int, ...], dict[str, Any]]:
    groups = draw(st.sampled_from([1, 1, 2]))
    channels, out = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 2))
    size = st.integers(1, 3)
    kernel, dilation = (draw(st.tuples(size, size)) for _ in range(2))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    reach = [d * (k - 1) + 1 - 2 * p for k, d, p in zip(kernel, dilation, padding, strict=True)]
    H, W = (max(r, 1) + draw(st.integers(0, 4)) for r in reach)
    options = {"stride": draw(st.tuples(size, size)), "padding": padding, "dilation": dilation, "groups": groups}
    batch = draw(st.sampled_from([(), (1,), (2,)]))
    return (*batch, channels, H, W), {"args": (channels, out, kernel), **options, "bias": draw(st.booleans())}


@given(convolutions())
def test_convolution(drawn: tuple[tuple[int, ...], dict[str, Any]]) -> None:
    shape, options = drawn
    args = options.pop("args")
    assert_torchs(lambda t: t.nn.Conv2d(*args, **options), x(*shape))


@given(st.data())
def test_pooling(data: st.DataObject) -> None:
    size = st.integers(1, 3)
    kernel = data.draw(st.tuples(size, size))
    options = {
        "stride": data.draw(st.none() | st.tuples(size, size)),
        "padding": tuple(data.draw(st.integers(0, k // 2)) for k in kernel),
        "ceil_mode": data.draw(st.booleans()),
    }
    shape = (2, 2, data.draw(st.integers(3, 7)), data.draw(st.integers(3, 7)))
    assert_torchs(lambda t: t.nn.MaxPool2d(kernel, **options), x(*shape))
    include = data.draw(st.booleans())
    assert_torchs(lambda t: t.nn.AvgPool2d(kernel, count_include_pad=include, **options), x(*shape))


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name(padding: str) -> None:
    assert_torchs(lambda t: t.nn.Conv2d(2, 3, 3, padding=padding), x(2, 2, 5, 4))


def test_sequences_and_adaptive_pooling() -> None:
    assert_torchs(lambda t: t.nn.Conv1d(3, 4, 3, stride=2, padding=1), x(2, 3, 9))
    assert_torchs(lambda t: t.nn.MaxPool1d(2), x(2, 3, 9))
    for size in (1, (3, 2), (None, 4), 7):
        assert_torchs(lambda t, size=size: t.nn.AdaptiveAvgPool2d(size), x(2, 3, 7, 5))
    assert_torchs(lambda t: t.nn.AdaptiveMaxPool2d((3, 2)), x(2, 3, 7, 5))


def test_of_equal_values_the_first_gets_the_gradient_and_nan_is_the_largest() -> None:
    assert_torchs(lambda t: t.nn.MaxPool2d(2), np.round(x(2, 2, 6, 6)))
    image = x(1, 1, 4, 4)
    image[0, 0, 1, 0] = np.nan
    inputs = {t: t.tensor(image, requires_grad=True) for t in (minitrain, torch)}
    for t, input in inputs.items():
        pooled = t.nn.functional.max_pool2d(input, 2)
        assert pooled.detach()[0, 0, 0, 0].isnan()
        pooled.sum().backward()
    np.testing.assert_array_equal(inputs[minitrain].grad.numpy(), inputs[torch].grad.numpy())


@pytest.mark.parametrize("bias", [True, False])
def test_the_result_of_a_convolution_is_contiguous_and_can_be_viewed(bias: bool) -> None:
    images = minitrain.tensor(x(2, 3, 5, 4))
    y = minitrain.nn.Conv2d(3, 4, 2, bias=bias, dtype=images.dtype)(images)
    assert y.is_contiguous()
    assert y.view(2, -1).shape == (2, 48)


def test_a_batch_of_no_images() -> None:
    assert_torchs(lambda t: t.nn.Conv2d(2, 4, 3, groups=2), x(0, 2, 5, 5))


@pytest.mark.parametrize(
    ("operation", "inputs", "options"),
    [
        (ops.Conv2d, [x(2, 2, 5, 4), x(3, 2, 2, 3), x(3)], {"stride": (2, 1), "padding": (1, 0)}),
        (ops.MaxPool2d, [x(2, 2, 5, 4)], {"size": (2, 3), "stride": (2, 1), "padding": (1, 0), "ceil": (0, 0)}),
        (ops.Normalize, [x(4, 3), x(1, 3), x(1, 3)], {"dim": (0,), "eps": 1e-5}),
        (ops.LeakyReLU, [x(3, 4)], {"slope": 0.1}),
        (ops.ELU, [x(3, 4)], {"alpha": 0.7, "scale": 1.1, "rate": 0.9}),
        (ops.SiLU, [x(3, 4)], {}),
        (ops.Softplus, [x(3, 4)], {"beta": 2.0, "threshold": 3.0}),
        (ops.LogSigmoid, [x(3, 4)], {}),
        (ops.BCELoss, [np.clip(target(3, 4), 0.1, 0.9), target(3, 4)], {}),
        (ops.BCEWithLogitsLoss, [x(3, 4), target(3, 4), None], {}),
        (ops.SmoothL1Loss, [x(3, 4), target(3, 4)], {"beta": 0.5}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_gradients_are_the_slopes(operation: Any, inputs: list[Any], options: dict[str, Any]) -> None:
    if operation is ops.Conv2d:
        options = options | {"dilation": (1, 1), "groups": 1}
    if operation is ops.MaxPool2d:
        options = options | {"dilation": (1, 1)}
    report = check_gradients(operation, inputs, options=options)
    assert report.ok, str(report)


def plain_convolution(image: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """Convolution as its formula has it, number by number."""
    N, C, H, W = image.shape
    out, _, kH, kW = weight.shape
    rows, columns = (H - kH) // stride + 1, (W - kW) // stride + 1
    y = np.zeros((N, out, rows, columns))
    for n, o, i, j in np.ndindex(*y.shape):
        for c, p, q in np.ndindex(C, kH, kW):
            y[n, o, i, j] += weight[o, c, p, q] * image[n, c, i * stride + p, j * stride + q]
    return y


def test_convolution_is_its_plain_twin() -> None:
    ours = nn.functional.conv2d(minitrain.tensor(x(2, 3, 5, 6)), minitrain.tensor(x(4, 3, 2, 3)), stride=2)
    np.testing.assert_allclose(ours.numpy(), plain_convolution(x(2, 3, 5, 6), x(4, 3, 2, 3), 2), rtol=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.nn.Conv2d(3, 4, 3)(t.ones(2, 2, 5, 5)),
        lambda t: t.nn.Conv2d(1, 1, 5)(t.ones(1, 1, 3, 3)),
        lambda t: t.nn.Conv2d(1, 1, 1)(t.ones(3, 3)),
        lambda t: t.nn.Conv2d(3, 4, 3, groups=2),
        lambda t: t.nn.MaxPool2d(5)(t.ones(1, 1, 3, 3)),
        lambda t: t.nn.MaxPool2d(2, padding=2)(t.ones(1, 1, 3, 3)),
        lambda t: t.nn.BatchNorm2d(3)(t.ones(2, 3)),
        lambda t: t.nn.BatchNorm1d(3)(t.ones(1, 3)),
        lambda t: t.nn.BatchNorm1d(3)(t.ones(2, 4)),
        lambda t: t.nn.LayerNorm(3)(t.ones(2, 4)),
        lambda t: t.nn.Embedding(3, 2)(t.tensor([3])),
        lambda t: t.nn.Embedding(3, 2)(t.tensor([1.0])),
        lambda t: t.nn.Embedding(3, 2, padding_idx=5),
        lambda t: t.nn.Hardtanh(1, 0),
        lambda t: t.nn.ModuleList([1]),
        lambda t: t.nn.ModuleDict({"a": 1}),
        lambda t: t.nn.Sequential(t.nn.ReLU())[1],
        lambda t: t.nn.functional.huber_loss(t.ones(2), t.ones(2), delta=0),
    ],
)
def test_refusals_are_torchs(call: Callable[[Any], Any]) -> None:
    kinds = []
    for library in (torch, minitrain):
        with pytest.raises(Exception) as raised:  # noqa: PT011, the class is what is compared
            call(library)
        kinds.append(type(raised.value).__name__)
    assert kinds[0] == kinds[1] or {"AssertionError", "ValueError"} >= set(kinds)


# --- normalization, embedding, dropout --------------------------------------------------------------------------------

NORMALIZATIONS: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "BatchNorm1d": (lambda t: t.nn.BatchNorm1d(3), x(5, 3)),
    "BatchNorm1d of sequences": (lambda t: t.nn.BatchNorm1d(3), x(5, 3, 4)),
    "BatchNorm2d": (lambda t: t.nn.BatchNorm2d(3), x(4, 3, 5, 2)),
    "BatchNorm2d(momentum=None)": (lambda t: t.nn.BatchNorm2d(3, momentum=None), x(4, 3, 5, 2)),
    "BatchNorm2d(affine=False)": (lambda t: t.nn.BatchNorm2d(3, affine=False, eps=0.1), x(4, 3, 5, 2)),
    "BatchNorm2d(track_running_stats=False)": (lambda t: t.nn.BatchNorm2d(3, track_running_stats=False), x(4, 3, 5, 2)),
    "BatchNorm1d.eval()": (lambda t: t.nn.BatchNorm1d(3).eval(), x(5, 3)),
    "LayerNorm": (lambda t: t.nn.LayerNorm(4), x(5, 3, 4)),
    "LayerNorm of two axes": (lambda t: t.nn.LayerNorm((3, 4)), x(5, 3, 4)),
    "LayerNorm(elementwise_affine=False)": (lambda t: t.nn.LayerNorm(4, elementwise_affine=False), x(5, 3, 4)),
    "LayerNorm(bias=False)": (lambda t: t.nn.LayerNorm(4, bias=False), x(5, 3, 4)),
}


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalization(name: str, steps: int) -> None:
    build, inputs = NORMALIZATIONS[name]
    assert_torchs(build, inputs, steps=steps)


def test_normalization_in_float32() -> None:
    for build, inputs in NORMALIZATIONS.values():
        assert_torchs(build, inputs, dtype="float32")


# --- transposed convolution and interpolation -------------------------------------------------------------------------


@st.composite
def transposed_convolutions(draw: st.DrawFn) -> tuple[tuple[int, ...], dict[str, Any]]:
    sizes = [draw(st.integers(1, 3)) for _ in range(2)]
    groups = draw(st.integers(1, 2))
    stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    padding = draw(st.integers(0, min(2, dilation * (min(sizes) - 1) + 1)))
    options = {
        "in_channels": 2 * groups,
        "out_channels": 3 * groups,
        "kernel_size": tuple(sizes),
        "stride": stride,
        "padding": padding,
        "output_padding": draw(st.integers(0, max(stride, dilation) - 1)),
        "dilation": dilation,
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    return (2, 2 * groups, draw(st.integers(3, 5)), draw(st.integers(3, 5))), options


@given(transposed_convolutions())
def test_transposed_convolution(drawn: tuple[tuple[int, ...], dict[str, Any]]) -> None:
    shape, options = drawn
    assert_torchs(lambda t: t.nn.ConvTranspose2d(**options), x(*shape))
    assert repr(nn.ConvTranspose2d(**options)) == repr(torch.nn.ConvTranspose2d(**options))


def test_a_transposed_convolution_is_the_transpose_of_a_convolution() -> None:
    kernel, image, small = (
        minitrain.tensor(x(3, 2, 3, 3)),
        minitrain.tensor(x(1, 2, 7, 7)),
        minitrain.tensor(x(1, 3, 3, 3)),
    )
    there = (nn.functional.conv2d(image, kernel, stride=2) * small).sum()
    back = (nn.functional.conv_transpose2d(small, kernel, stride=2) * image).sum()
    assert there.item() == pytest.approx(back.item())


def test_a_transposed_convolution_to_a_wanted_size() -> None:
    sizes = []
    for library in (minitrain, torch):
        layer = library.nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)
        sizes.append([tuple(layer(library.ones(1, 1, 4, 4), output_size=(n, n)).shape) for n in (7, 8)])
        with pytest.raises(ValueError, match="requested an output size of"):
            layer(library.ones(1, 1, 4, 4), output_size=(9, 9))
        with pytest.raises(RuntimeError, match="output padding must be smaller than either stride or dilation"):
            library.nn.functional.conv_transpose2d(library.ones(1, 1, 2, 2), library.ones(1, 1, 2, 2), output_padding=1)
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(
    "options",
    [
        {"scale_factor": 2},
        {"scale_factor": 1.7},
        {"scale_factor": (2, 0.6)},
        {"size": 3},
        {"size": (7, 4)},
        {"scale_factor": 2, "mode": "bilinear"},
        {"scale_factor": 1.7, "mode": "bilinear"},
        {"scale_factor": 1.7, "mode": "bilinear", "recompute_scale_factor": True},
        {"size": (9, 3), "mode": "bilinear", "align_corners": False},
        {"size": (9, 3), "mode": "bilinear", "align_corners": True},
        {"size": (1, 8), "mode": "bilinear", "align_corners": True},
    ],
    ids=str,
)
def test_upsampling(options: dict[str, Any]) -> None:
    assert_torchs(lambda t: t.nn.Upsample(**options), x(2, 3, 4, 5))
    assert repr(nn.Upsample(**options)) == repr(torch.nn.Upsample(**options))


def test_interpolation_of_sequences_and_areas_and_what_is_refused() -> None:
    assert_torchs(lambda t: t.nn.Upsample(scale_factor=2, mode="linear"), x(2, 3, 5))
    assert_torchs(lambda t: t.nn.Upsample(size=8), x(2, 3, 5))
    assert_torchs(lambda t: t.nn.Upsample(size=(3, 2), mode="area"), x(2, 3, 4, 5))
    for library in (minitrain, torch):
        with pytest.raises(ValueError, match="only one of size or scale_factor"):
            library.nn.functional.interpolate(library.ones(1, 1, 2, 2), size=2, scale_factor=2)
        with pytest.raises(ValueError, match="align_corners option can only be set"):
            library.nn.functional.interpolate(library.ones(1, 1, 2, 2), size=2, align_corners=True)
    with pytest.raises(NotImplementedError, match=r"modes are nearest"):
        nn.functional.interpolate(minitrain.ones(1, 1, 2, 2), size=3, mode="bicubic")


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_with_the_inputs_own_values(mode: str) -> None:
    assert_torchs(lambda t: lambda_module(t, lambda z: t.nn.functional.pad(z, (2, 1, 0, 3), mode=mode)), x(2, 3, 4, 5))
    assert_torchs(lambda t: lambda_module(t, lambda z: t.nn.functional.pad(z, (2, 1), mode=mode)), x(2, 3, 5))
    for library in (minitrain, torch):
        with pytest.raises(NotImplementedError):
            library.nn.functional.pad(library.ones(3, 3), (1, 1, 1, 1), mode=mode)
    with pytest.raises(RuntimeError, match="Padding size should be less"):
        nn.functional.pad(minitrain.ones(1, 1, 2, 2), (2, 2, 2, 2), mode="reflect")


def lambda_module(library: Any, function: Callable[[Any], Any]) -> Any:
    class Applied(library.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, input: Any) -> Any:
            return function(input)

    return Applied()


SHAPE_LAYERS = {
    "ReflectionPad2d((1, 2, 0, 1))": (2, 3, 4, 5),
    "ReplicationPad2d(2)": (2, 3, 4, 5),
    "ConstantPad2d(1, 0.5)": (2, 3, 4, 5),
    "ReflectionPad1d(2)": (2, 3, 5),
    "ReplicationPad1d((0, 1))": (2, 3, 5),
    "ConstantPad1d(1, 0.5)": (2, 3, 5),
    "ZeroPad1d(2)": (2, 3, 5),
    "AvgPool1d(2)": (2, 3, 5),
    "AvgPool1d(3, 2, padding=1, ceil_mode=True)": (2, 3, 6),
    "AdaptiveAvgPool1d(3)": (2, 3, 5),
    "AdaptiveMaxPool1d(2)": (2, 3, 5),
    "GroupNorm(2, 4)": (3, 4, 2, 3),
    "GroupNorm(4, 4, affine=False)": (3, 4),
    "GroupNorm(1, 4, eps=0.1, bias=False)": (3, 4, 2),
    "InstanceNorm2d(4)": (3, 4, 2, 3),
    "InstanceNorm1d(4, affine=True)": (3, 4, 5),
}


@pytest.mark.parametrize("layer", SHAPE_LAYERS)
def test_layers_that_pad_pool_or_normalize(layer: str) -> None:
    assert_torchs(lambda t: eval(f"t.nn.{layer}", {"t": t}), x(*SHAPE_LAYERS[layer]))
    assert repr(eval(f"nn.{layer}")) == repr(eval(f"torch.nn.{layer}"))


def test_groups_must_divide_the_channels() -> None:
    for library in (minitrain, torch):
        with pytest.raises(ValueError, match="must be divisible by num_groups"):
            library.nn.GroupNorm(3, 4)
        with pytest.raises(RuntimeError, match="divisible by num_groups"):
            library.nn.functional.group_norm(library.ones(2, 4), 3)
        with pytest.raises(ValueError, match="Expected more than 1 spatial element"):
            library.nn.InstanceNorm2d(2)(library.ones(2, 2, 1, 1))


@pytest.mark.parametrize("padding_idx", [None, 0, 2])
def test_embedding(padding_idx: int | None) -> None:
    numbers = np.array([[0, 2, 2], [1, 0, 3]])
    assert_torchs(lambda t: t.nn.Embedding(4, 3, padding_idx=padding_idx), numbers)


def test_embedding_from_pretrained_vectors() -> None:
    for library in (minitrain, torch):
        layer = library.nn.Embedding.from_pretrained(library.ones(3, 2))
        assert not layer.weight.requires_grad
        assert layer(library.tensor([1])).tolist() == [[1, 1]]


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 4)])
def test_dropout_of_channels_draws_torchs(shape: tuple[int, ...]) -> None:
    name = "Dropout2d" if len(shape) == 4 else "Dropout1d"
    assert_torchs(lambda t: getattr(t.nn, name)(0.4), np.ones(shape))


# --- containers, lazy layers, hooks, clipping -------------------------------------------------------------------------


def test_containers_print_and_hold_what_torchs_do() -> None:
    texts = []
    for t in (minitrain, torch):
        stack = t.nn.Sequential(t.nn.ReLU(), t.nn.Tanh())
        stack.insert(1, t.nn.Linear(1, 2))
        stack.extend([t.nn.Sigmoid()])
        popped = stack.pop(0)
        both = stack + t.nn.Sequential(popped)
        layers = t.nn.ModuleList([t.nn.Linear(2, 2) for _ in range(3)])
        layers.append(t.nn.ReLU())
        layers[0] = t.nn.Identity()
        del layers[1]
        named = t.nn.ModuleDict({"a": t.nn.Linear(1, 1), "b": t.nn.ReLU()})
        parameters = t.nn.ParameterList([t.nn.Parameter(t.ones(2, 2)), t.ones(3)])
        names = [sorted(container.state_dict()) for container in (layers, parameters)]
        shown = [repr(part) for part in (stack, both, layers, layers[1:], named, t.nn.Unflatten(1, (2, 3)))]
        texts.append([shown, names, list(named), len(parameters)])
    assert texts[0] == texts[1]


def test_lists_find_their_members_by_number() -> None:
    for t in (minitrain, torch):
        layers = t.nn.ModuleList([t.nn.ReLU()])
        layers.add_module("2", t.nn.Tanh())
        layers.add_module("1", t.nn.Sigmoid())
        parameters = t.nn.ParameterList([t.ones(1), t.ones(2)])
        parameters[-1] = t.ones(3)
        assert [repr(layers[index]) for index in (0, 1, -1)] == ["ReLU()", "Sigmoid()", "Tanh()"]
        assert [parameters[index].numel() for index in (0, 1, -2)] == [1, 3, 1]
        for members in (layers, parameters, t.nn.ModuleList()):
            for index in (len(members), -len(members) - 1):
                with pytest.raises(IndexError, match=f"index {index} is out of range"):
                    members[index]


def test_a_model_of_a_thousand_layers_needs_no_recursion() -> None:
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(1000)))
    optimizer = minitrain.optim.SGD(model.parameters(), lr=0.01)
    model.train().eval()
    again = copy.deepcopy(model)
    again.load_state_dict(model.state_dict())
    again(minitrain.ones(1, 2)).sum().backward()
    model(minitrain.ones(1, 2)).sum().backward()
    optimizer.step()
    assert all(parameter.grad is not None for parameter in again.parameters())
    assert len(repr(model).splitlines()) == 1002
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_lazy_layers_learn_their_size_from_the_first_input() -> None:
    def build(t: Any) -> Any:
        model = t.nn.Sequential(t.nn.LazyLinear(4), t.nn.ReLU(), t.nn.LazyLinear(2))
        t.manual_seed(0)
        model(t.ones(1, 3))
        return model

    assert_torchs(build, x(2, 3))
    assert repr(build(minitrain)) == repr(build(torch))


def test_parts_are_found_by_their_dotted_names() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.BatchNorm1d(2)))
    assert model.get_submodule("1.0") is model[1][0]
    assert model.get_parameter("0.bias") is model[0].bias
    assert model.get_buffer("1.0.running_mean") is model[1][0].running_mean
    for find, name in ((model.get_submodule, "1.3"), (model.get_parameter, "0.weights"), (model.get_buffer, "0.x")):
        with pytest.raises(AttributeError):
            find(name)


def test_a_buffer_that_is_not_persistent_is_not_saved() -> None:
    model = nn.Linear(1, 1)
    model.register_buffer("mask", minitrain.ones(1), persistent=False)
    assert list(model.state_dict(prefix="a.")) == ["a.weight", "a.bias"]
    assert [name for name, _ in model.named_buffers()] == ["mask"]


def test_hooks_before_a_forward_see_and_replace_its_arguments() -> None:
    seen: list[Any] = []
    model = nn.ReLU()
    handle = model.register_forward_pre_hook(lambda module, args: (args[0] - 1,))
    model.register_forward_pre_hook(lambda module, args: seen.append(args[0].item()), prepend=True)
    assert model(minitrain.tensor(3.0)).item() == 2
    handle.remove()
    assert model(minitrain.tensor(3.0)).item() == 3
    assert seen == [3, 3]


def test_an_unknown_keyword_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(TypeError, match=r"minitrain does not offer it; did you mean bias=\?"):
        nn.Linear(2, 3, bais=True)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping_by_norm(norm_type: float, max_norm: float) -> None:
    results = []
    for t in (minitrain, torch):
        params = [t.nn.Parameter(t.ones(2, 3, dtype=t.float64)), t.nn.Parameter(t.ones(4, dtype=t.float64))]
        for i, param in enumerate(params):
            param.grad = t.tensor(x(*param.shape)) * (i + 1)
        total = t.nn.utils.clip_grad_norm_(params, max_norm, norm_type)
        results.append([total.item(), *[param.grad.numpy() for param in params]])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_clipping_by_value_and_parameters_as_a_vector() -> None:
    results = []
    for t in (minitrain, torch):
        model = t.nn.Linear(3, 2).double()
        t.nn.utils.vector_to_parameters(t.arange(8, dtype=t.float64), model.parameters())
        model.weight.grad = t.tensor(x(2, 3))
        t.nn.utils.clip_grad_value_(model.parameters(), 0.5)
        vector = t.nn.utils.parameters_to_vector(model.parameters())
        results.append([model.weight.grad.numpy(), vector.detach().numpy()])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs)


def test_a_norm_that_is_not_finite_can_be_an_error() -> None:
    for t in (minitrain, torch):
        param = t.nn.Parameter(t.ones(1))
        param.grad = t.tensor([float("nan")])
        with pytest.raises(RuntimeError, match="non-finite"):
            t.nn.utils.clip_grad_norm_([param], 1.0, error_if_nonfinite=True)


def test_a_wrong_convolution_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ops.Conv2d.backward

    def halved(ctx: Any, grad_y: Any) -> Any:
        grad_x, grad_weight, grad_bias = right(ctx, grad_y)
        return grad_x, grad_weight * 0.5, grad_bias

    monkeypatch.setattr(ops.Conv2d, "backward", staticmethod(halved))
    with pytest.raises(AssertionError):
        assert_torchs(lambda t: t.nn.Conv2d(2, 3, 3), x(2, 2, 5, 5))
