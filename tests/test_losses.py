"""The losses are torch's: every option crossed with every other, values and gradients, and what they refuse.

How far apart floats may be is derived in comparing.py from the terms that are added. A loss over classes is
-Σ a·log p with coefficients a made of class weights, smoothing and reduction; log p = x - max x - ln Σ exp(x - max x)
is off by at most a few units of max(|log p|, 1). So the terms are a·max(|log p|, 1) in the loss, and a and p·Σa in
its gradient a - p·Σa.
"""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minitrain
from minitrain import nn, ops
from minitrain.nn import functional as F
from minitrain.ops import Array, Context
from minitrain.tensor import Tensor, apply, wrap
from tests import strategies as own
from tests.comparing import (
    MINITRAIN,
    TORCH,
    Library,
    Outcome,
    assert_agree,
    evaluate,
    refused,
    refused_as_in_torch,
    same_as_in_torch,
)
from tests.strategies import Classification

# --- the coefficients of log p, from the definition -------------------------------------------------------------------


def class_axis(scores: Array) -> int:
    return 0 if scores.ndim == 1 else 1


def coefficients(problem: Classification) -> Array:
    """a in -Σ a·log p, in the shape of the scores; for reduction "none" of each loss by itself."""
    scores, target, weight, options = problem
    axis, classes = class_axis(scores), scores.shape[class_axis(scores)]
    smoothing = options.get("label_smoothing", 0.0)
    by_class = [-1 if dim == axis else 1 for dim in range(scores.ndim)]
    w = np.ones(classes) if weight is None else weight.astype(np.float64)
    if target.shape == scores.shape:
        hard, kept, count = target, np.ones((), bool), scores.size / classes
    else:
        kept = target != options["ignore_index"]
        labels = np.where(kept, target, 0)
        hard = np.moveaxis(np.eye(classes)[labels], -1, axis)
        count = np.where(kept, w[labels], 0).sum()
        kept = np.expand_dims(kept, axis)
    shares = (1 - smoothing) * hard + smoothing / classes
    with np.errstate(all="ignore"):
        return kept * shares * w.reshape(by_class) / (count if options["reduction"] == "mean" else 1)


def log_softmax(scores: Array) -> Array:
    return torch.log_softmax(torch.from_numpy(scores.astype(np.float64)), class_axis(scores)).numpy()


def magnitude(problem: Classification, log_p: Array, p: Array, grad_y: Array) -> Outcome:
    """Σ|terms| of the loss and of its gradients with respect to scores, target and weight, as comparing.py needs it."""
    axis, reduced = class_axis(problem.scores), problem.options["reduction"] != "none"
    others = tuple(dim for dim in range(problem.scores.ndim) if dim != axis)
    g = np.abs(grad_y.astype(np.float64))
    g = g if reduced else np.expand_dims(g, axis)
    a = coefficients(problem)
    of_target = coefficients(problem._replace(target=np.ones_like(problem.scores)))
    of_weight = coefficients(problem._replace(weight=None))
    with np.errstate(all="ignore"):
        size = np.fmax(np.abs(log_p), 1)
        terms = np.where(a == 0, 0, a * size)
        return Outcome(
            np.asarray(terms.sum() if reduced else terms.sum(axis)),
            [
                g * (a + p * a.sum(axis, keepdims=True)),
                g * of_target * size,
                np.asarray((g * of_weight * size).sum(others)),
            ],
        )


# --- values and gradients ---------------------------------------------------------------------------------------------


def loss_of(library: Library, name: str, options: dict[str, Any], as_module: bool) -> Any:
    """The loss as a function of scores, target and weight, by its Module or by its function."""
    nn = library.module.nn
    if as_module:
        return lambda x, target, weight: getattr(nn, name)(weight=weight, **options)(x, target)
    function = {"CrossEntropyLoss": "cross_entropy", "NLLLoss": "nll_loss"}[name]
    return lambda x, target, weight: getattr(nn.functional, function)(x, target, weight=weight, **options)


def compare_with_torch(data: st.DataObject, name: str, problem: Classification, log_p: Array, p: Array) -> None:
    _, target, weight, options = problem
    probable = target.dtype.kind == "f"
    asks = [True, probable and data.draw(st.booleans()), probable and weight is not None and data.draw(st.booleans())]
    value = evaluate(MINITRAIN, loss_of(MINITRAIN, name, options, True), problem[:3], [False] * 3).value
    grad_y = data.draw(own.arrays(value.shape, value.dtype.name, finite=True))
    sizes = magnitude(problem, log_p, p, grad_y)
    as_module = data.draw(st.booleans())
    assert_agree(
        evaluate(MINITRAIN, loss_of(MINITRAIN, name, options, as_module), problem[:3], asks, grad_y),
        evaluate(TORCH, loss_of(TORCH, name, options, as_module), problem[:3], asks, grad_y),
        Outcome(sizes.value, [size if ask else None for size, ask in zip(sizes.gradients, asks, strict=True)]),
    )


every_reduction = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


@every_reduction
@given(data=st.data())
def test_cross_entropy_of_labels_is_torchs(data: st.DataObject, reduction: str) -> None:
    problem = data.draw(own.classifications(reduction=reduction, label_smoothing=True))
    log_p = log_softmax(problem.scores)
    compare_with_torch(data, "CrossEntropyLoss", problem, log_p, np.exp(log_p))


@every_reduction
@given(data=st.data())
def test_cross_entropy_of_probabilities_is_torchs(data: st.DataObject, reduction: str) -> None:
    problem = data.draw(own.classifications(reduction=reduction, probabilities=True, label_smoothing=True))
    log_p = log_softmax(problem.scores)
    compare_with_torch(data, "CrossEntropyLoss", problem, log_p, np.exp(log_p))


@every_reduction
@given(data=st.data())
def test_nll_loss_is_torchs(data: st.DataObject, reduction: str) -> None:
    problem = data.draw(own.classifications(reduction=reduction))
    compare_with_torch(data, "NLLLoss", problem, problem.scores.astype(np.float64), np.zeros(()))


@given(st.data(), own.shapes, own.float_dtypes, own.reductions)
def test_mse_loss_is_torchs(data: st.DataObject, shape: tuple[int, ...], dtype: str, reduction: str) -> None:
    inputs = [data.draw(own.arrays(shape, dtype)) for _ in range(2)]
    asks = data.draw(st.sampled_from([[True, False], [False, True], [True, True]]))
    as_module = data.draw(st.booleans())

    def loss(library: Library) -> Any:
        nn = library.module.nn
        if as_module:
            return nn.MSELoss(reduction=reduction)
        return lambda x, target: nn.functional.mse_loss(x, target, reduction=reduction)

    grad_y = data.draw(own.arrays(shape if reduction == "none" else (), dtype, finite=True))
    ours, theirs = (evaluate(library, loss(library), inputs, asks, grad_y) for library in (MINITRAIN, TORCH))
    assert_agree(ours, theirs)


@given(own.classifications("float64", label_smoothing=True, finite=True))
def test_float64_losses_agree_to_1e_10(problem: Classification) -> None:
    asks, grad_y = [True, False, False], np.ones(problem.target.shape if problem.options["reduction"] == "none" else ())
    ours, theirs = (
        evaluate(library, loss_of(library, "CrossEntropyLoss", problem.options, True), problem[:3], asks, grad_y)
        for library in (MINITRAIN, TORCH)
    )
    np.testing.assert_allclose(ours.value, theirs.value, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(ours.gradients[0], theirs.gradients[0], rtol=1e-10, atol=1e-10)


# --- what is known without torch --------------------------------------------------------------------------------------


def with_gradient(loss: Any, scores: Any, target: Any) -> tuple[float, Any]:
    x = minitrain.tensor(scores, requires_grad=True)
    y = loss(x, minitrain.tensor(target))
    y.backward()
    assert x.grad is not None
    return y.item(), x.grad.tolist()


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes() -> None:
    value, gradient = with_gradient(nn.CrossEntropyLoss(), [[7.0, 7.0, 7.0, 7.0]], [2])
    assert value == pytest.approx(np.log(4), rel=1e-6)
    assert gradient == [[0.25, 0.25, -0.75, 0.25]]


def test_the_mean_of_squares_is_over_elements_not_rows() -> None:
    value, gradient = with_gradient(nn.MSELoss(), [[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]])
    assert value == (1 + 4 + 9 + 16) / 4
    assert gradient == [[0.5, 1.0], [1.5, 2.0]]


def test_class_weights_divide_by_their_own_sum() -> None:
    loss = nn.NLLLoss(weight=minitrain.tensor([1.0, 3.0]))
    assert with_gradient(loss, [[-2.0, 0.0], [0.0, -4.0]], [0, 1]) == ((2 + 12) / 4, [[-0.25, 0.0], [0.0, -0.75]])


@pytest.mark.parametrize("weight", [None, [0.5, 2.0, 3.0]])
def test_each_row_that_counts_gets_its_own_gradient(weight: list[float] | None) -> None:
    def gradient(torch: Any) -> list[list[float]]:
        x = torch.zeros(4, 3, requires_grad=True)
        loss = torch.nn.NLLLoss(weight=weight and torch.tensor(weight), reduction="none")
        loss(x, torch.tensor([-100, 2, -100, 0])).backward(torch.tensor([1.0, 2.0, 4.0, 8.0]))
        return x.grad.tolist()  # type: ignore[no-any-return]

    assert gradient(minitrain) == gradient(torch)


@pytest.mark.parametrize("loss", [nn.NLLLoss(), nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.5)])
def test_when_all_labels_are_ignored_the_loss_is_nan_and_the_gradient_zero(loss: nn.Module) -> None:
    value, gradient = with_gradient(loss, [[-1.0, -2.0], [-3.0, -4.0]], [-100, -100])
    assert np.isnan(value)
    assert gradient == [[0, 0], [0, 0]]


def test_what_an_ignored_row_holds_does_not_matter() -> None:
    value, gradient = with_gradient(nn.NLLLoss(), [[-np.inf, np.nan], [-1.0, -2.0]], [-100, 1])
    assert (value, gradient) == (2.0, [[0, 0], [0, -1]])


def test_large_logits_do_not_overflow() -> None:
    assert with_gradient(nn.CrossEntropyLoss(), [[1e38, -1e38]], [0]) == (0.0, [[0, 0]])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_of_an_empty_batch_the_mean_is_nan_and_the_sum_is_zero(reduction: Any) -> None:
    scores, labels = minitrain.zeros(0, 3, requires_grad=True), minitrain.zeros(0, dtype=minitrain.long)
    losses = [
        nn.CrossEntropyLoss(reduction=reduction)(scores, labels),
        nn.CrossEntropyLoss(reduction=reduction)(scores, minitrain.zeros(0, 3)),
        nn.NLLLoss(reduction=reduction)(scores, labels),
        nn.MSELoss(reduction=reduction)(scores, minitrain.zeros(0, 3)),
    ]
    for loss in losses:
        if reduction == "none":
            assert loss.numel() == 0
        else:
            assert str(loss.item()) == {"mean": "nan", "sum": "0.0"}[reduction]
        loss.sum().backward()
    assert scores.grad is not None
    assert scores.grad.shape == (0, 3)


@given(own.classifications(finite=True))
def test_cross_entropy_is_log_softmax_followed_by_nll_loss(problem: Classification) -> None:
    scores, target, weight, options = problem
    inputs = [wrap(scores), wrap(target), None if weight is None else wrap(weight)]
    log_p = F.log_softmax(inputs[0], class_axis(scores))
    together = F.cross_entropy(*inputs, **options)
    assert F.nll_loss(log_p, *inputs[1:], **options).array.tobytes() == together.array.tobytes()


@same_as_in_torch
def test_labels_may_be_bytes(torch: Any) -> Any:
    return torch.nn.NLLLoss(ignore_index=1)(torch.eye(3), torch.tensor([1, 2, 0], dtype=torch.uint8)).item()


@same_as_in_torch
def test_both_sides_of_a_squared_difference_have_a_gradient(torch: Any) -> Any:
    x, t = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([5.0, 8.0], requires_grad=True)
    torch.nn.MSELoss()(x, t).backward()
    return x.grad.tolist(), t.grad.tolist()


# --- what is refused --------------------------------------------------------------------------------------------------


@refused_as_in_torch(ValueError, r"Expected input batch_size \(2\) to match target batch_size \(4\)")
def test_a_batch_and_labels_of_different_lengths_are_refused(torch: Any) -> None:
    torch.nn.CrossEntropyLoss()(torch.zeros(2, 3), torch.tensor([0, 1, 2, 0]))


@refused_as_in_torch(IndexError, r"Target 3 is out of bounds: labels must be from 0 to 2 .*-100.* row 1, 2 in all")
def test_a_label_out_of_range_is_named_with_its_row_and_the_range(torch: Any) -> None:
    torch.nn.CrossEntropyLoss()(torch.zeros(4, 3), torch.tensor([0, 3, 2, -1]))


@refused_as_in_torch(IndexError, r"Target -1 is out of bounds: .*index \[0, 1\], 1 in all")
def test_a_label_out_of_range_is_named_with_its_index(torch: Any) -> None:
    torch.nn.NLLLoss()(torch.zeros(1, 3, 2), torch.tensor([[0, -1]]))


@pytest.mark.parametrize("dtype", ["int32", "bool", "float32"])
def test_labels_of_another_dtype_are_refused(dtype: str) -> None:
    @refused_as_in_torch(RuntimeError, rf"expected labels of dtype int64, but got {dtype}.*\.long\(\)")
    def program(torch: Any) -> None:
        torch.nn.CrossEntropyLoss()(torch.zeros(2, 3), torch.zeros(2, dtype=getattr(torch, dtype)))

    program()


@refused_as_in_torch(RuntimeError, r"Expected floating point type for target with class probabilities, got int64")
def test_one_hot_labels_of_integers_are_refused(torch: Any) -> None:
    torch.nn.CrossEntropyLoss()(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64))


@refused_as_in_torch(RuntimeError, r"expected labels of shape \[2\] for an input of shape \[2, 3\].* got \[2, 1\]")
def test_labels_in_a_column_are_refused(torch: Any) -> None:
    torch.nn.CrossEntropyLoss()(torch.zeros(2, 3), torch.zeros(2, 1, dtype=torch.int64))


@refused_as_in_torch(ValueError, r"expected labels of shape \[2\]")
def test_one_label_for_a_batch_is_refused(torch: Any) -> None:
    torch.nn.NLLLoss()(torch.zeros(2, 3), torch.tensor(1))


@refused_as_in_torch(ValueError, r"expected labels of shape \[\] for an input of shape \[2\]")
def test_several_labels_for_one_sample_are_refused(torch: Any) -> None:
    torch.nn.NLLLoss()(torch.zeros(2), torch.tensor([1, 1]))


@refused_as_in_torch(RuntimeError, r"expected labels of shape \[2, 4\]")
def test_labels_of_another_size_are_refused(torch: Any) -> None:
    torch.nn.CrossEntropyLoss()(torch.zeros(2, 3, 4), torch.zeros(2, 5, dtype=torch.int64))


@refused_as_in_torch(ValueError, r"input of shape \(N, C\).* 0-d")
def test_a_single_number_has_no_classes(torch: Any) -> None:
    torch.nn.NLLLoss()(torch.tensor(1.0), torch.tensor(0))


@refused_as_in_torch(RuntimeError, "floating point logits")
def test_integers_have_no_cross_entropy(torch: Any) -> None:
    torch.nn.CrossEntropyLoss()(torch.zeros(2, 3, dtype=torch.int64), torch.tensor([0, 1]))


@refused_as_in_torch(RuntimeError, "floating point log.*, but got int64")
def test_integers_are_no_log_probabilities(torch: Any) -> None:
    torch.nn.NLLLoss()(torch.zeros(2, 3, dtype=torch.int64), torch.tensor([0, 1]))


@refused_as_in_torch(RuntimeError, r"either for all 3 classes or no classes.* shape \[2\]")
def test_a_weight_for_some_classes_is_refused(torch: Any) -> None:
    torch.nn.CrossEntropyLoss(weight=torch.ones(2))(torch.zeros(2, 3), torch.tensor([0, 1]))


@refused_as_in_torch(RuntimeError, "in the input's dtype float32, but .* dtype float64")
def test_a_weight_of_another_dtype_is_refused(torch: Any) -> None:
    torch.nn.CrossEntropyLoss(weight=torch.ones(3, dtype=torch.float64))(torch.zeros(2, 3), torch.tensor([0, 1]))


@refused_as_in_torch(RuntimeError, "not differentiable with respect to")
def test_a_weight_of_labels_cannot_be_learned(torch: Any) -> None:
    torch.nn.NLLLoss(weight=torch.ones(3, requires_grad=True))(torch.zeros(2, 3), torch.tensor([0, 1]))


@refused_as_in_torch(RuntimeError, "ignore_index is not supported for floating point target")
def test_probabilities_cannot_be_ignored(torch: Any) -> None:
    torch.nn.CrossEntropyLoss(ignore_index=0)(torch.zeros(2, 3), torch.zeros(2, 3))


@refused_as_in_torch(RuntimeError, r"label_smoothing must be between 0.0 and 1.0. Got: 1.5")
def test_smoothing_is_a_share(torch: Any) -> None:
    torch.nn.CrossEntropyLoss(label_smoothing=1.5)(torch.zeros(2, 3), torch.tensor([0, 1]))


@pytest.mark.parametrize("name", ["mse_loss", "nll_loss", "cross_entropy"])
def test_a_reduction_has_one_of_three_names(name: str) -> None:
    @refused_as_in_torch(ValueError, "average is not a valid value for reduction.* 'none', 'mean' or 'sum'")
    def program(torch: Any) -> None:
        getattr(torch.nn.functional, name)(torch.zeros(1, 1), torch.zeros(1, 1), reduction="average")

    program()


@pytest.mark.parametrize("loss", ["NLLLoss", "CrossEntropyLoss"])
@pytest.mark.parametrize("target", [np.array([0, 1]), [0, 1]], ids=["array", "list"])
def test_arrays_and_lists_are_no_targets(loss: str, target: Any) -> None:
    @refused_as_in_torch(TypeError, r"argument 'target' must be Tensor, not (ndarray|list); wrap it")
    def program(torch: Any) -> None:
        getattr(torch.nn, loss)()(torch.zeros(2, 3), target)

    program()


# Where minitrain refuses and torch does not.


@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 3), ()])
def test_a_squared_difference_that_broadcasts_is_torchs_with_its_warning(shape: tuple[int, ...]) -> None:
    losses = []
    for library in (minitrain, torch):
        with pytest.warns(UserWarning, match="different to the input size"):
            losses.append(library.nn.MSELoss()(library.arange(3.0).reshape(3, 1), library.ones(shape)).item())
    assert losses[0] == pytest.approx(losses[1])


@refused(RuntimeError, "floating point input and target, but got input float32 and target int64.*float")
def test_a_squared_difference_of_mixed_dtypes_is_refused(torch: Any) -> None:
    torch.nn.MSELoss()(torch.zeros(3), torch.zeros(3, dtype=torch.int64))


@same_as_in_torch
def test_probabilities_of_another_dtype_decide_the_losss_dtype(torch: Any) -> Any:
    loss = torch.nn.CrossEntropyLoss()(torch.zeros(2, 4), torch.full((2, 4), 0.25, dtype=torch.float64))
    return str(loss.dtype).removeprefix("torch."), round(loss.item(), 6)


# --- these tests can fail ---------------------------------------------------------------------------------------------


class SumInsteadOfMean(ops.NLLLoss):
    """Its gradient lacks 1/N."""

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Any:
        ctx.reduction = "sum"
        return ops.NLLLoss.backward(ctx, grad_y)


def without_dividing(x: Tensor, target: Tensor) -> Tensor:
    return F.nll_loss(x, target, reduction="sum")


def gradient_without_dividing(x: Tensor, target: Tensor) -> Tensor:
    return apply(SumInsteadOfMean, x, target, None, ignore_index=-100, reduction="mean")


def counting_ignored_rows(x: Tensor, target: Tensor) -> Tensor:
    return F.nll_loss(x, target, reduction="sum") / float(target.numel())


def taking_ignored_rows_as_class_0(x: Tensor, target: Tensor) -> Tensor:
    return F.nll_loss(x, target * (target >= 0).long())


def a_hundred_thousandth_off(x: Tensor, target: Tensor) -> Tensor:
    return F.nll_loss(x, target) * 1.00001


@pytest.mark.parametrize(
    "wrong",
    [
        without_dividing,
        gradient_without_dividing,
        counting_ignored_rows,
        taking_ignored_rows_as_class_0,
        a_hundred_thousandth_off,
    ],
)
def test_a_wrong_loss_is_noticed(wrong: Any) -> None:
    scores, target = np.log(np.array([[0.2, 0.8], [0.5, 0.5], [0.7, 0.3]])), np.array([1, -100, 0])
    right = evaluate(TORCH, torch.nn.NLLLoss(), [scores, target], [True, False], np.ones(()))
    assert_agree(evaluate(MINITRAIN, nn.NLLLoss(), [scores, target], [True, False], np.ones(())), right)
    with pytest.raises(AssertionError, match="torch has"):
        assert_agree(evaluate(MINITRAIN, wrong, [scores, target], [True, False], np.ones(())), right)


def test_the_coefficients_of_these_tests_are_the_losses_own() -> None:
    problem = Classification(
        np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]]),
        np.array([2, 0]),
        np.array([1.0, 2.0, 4.0]),
        {"ignore_index": -100, "reduction": "mean", "label_smoothing": 0.3},
    )
    value = -(coefficients(problem) * log_softmax(problem.scores)).sum()
    theirs = evaluate(TORCH, loss_of(TORCH, "CrossEntropyLoss", problem.options, True), problem[:3], [False] * 3)
    assert value == pytest.approx(theirs.value, rel=1e-12)
