"""The exercises of the track "Regularization": dropout, and clipping gradients."""

from __future__ import annotations

import functools

from minitrain.learn import further_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.exercises.exercise import Exercise

IN_PLACE = (
    "parameters is a Tensor, or any iterable of Tensors, which you can walk through only once. A parameter whose .grad "
    "is None stays as it is. Change the gradients in place: param.grad.array is the array."
)

exercise = functools.partial(Exercise, track="Regularization")

EXERCISES = (
    exercise(
        name="dropout",
        title="Half of the team stays at home",
        target="nn.functional.dropout",
        gap=("if p == 0 or not", "return input.mul_"),
        level=2,
        minutes=15,
        builds_on=("relu-forward", "mul-backward"),
        notice="The curve is rougher than without dropout: each batch is answered by another, smaller network.",
        why="If any unit may be missing, no unit can rely on another one. In evaluation all of them take part, and the "
        "sums must have the same size as in training.",
        task="In evaluation (training is False), return input. In training, each value becomes 0 with probability p; "
        "the others are divided by 1 - p. Draw with random.bernoulli(input.shape, 1 - p), once: an array that is True "
        "where a value is kept. p may be 0 or 1. Keep the dtype, and let the gradient pass: multiply Tensors, "
        "input * wrap(array). The check does not use inplace, or integers.",
        hints=(
            "if p == 0 or not training: return input",
            "The mask times 1 / (1 - p) is the factor of each value. For p = 1 that is 0 / 0, but nothing is kept: "
            "zeros.",
            "kept.astype(input.dtype) / input.dtype.type(1 - p) stays float32 if input is float32.",
            "scale = np.asarray(kept.astype(input.dtype) / input.dtype.type(1 - p)); return input * wrap(scale)",
        ),
        probes=(cases.Dropout(),),
        program=programs.drop,
        faults=(
            "dropout-not-scaled",
            "dropout-also-in-evaluation",
            "dropout-off-the-tape",
            "dropout-scaled-by-p",
            "dropout-keeps-what-it-should-drop",
            "dropout-scaled-in-evaluation",
            "dropout-of-whole-rows",
        ),
    ),
    exercise(
        name="clip-norm",
        title="No step longer than this",
        target="nn.utils.clip_grad.clip_grad_norm_",
        level=2,
        minutes=15,
        builds_on=("sgd",),
        notice="Compared with the same run without clipping, the loss falls a little more slowly and jumps less: the "
        "longest steps were shortened.",
        why="One bad batch can have a gradient a hundred times as long as the others, and a single such step can ruin "
        "a network. Clipping shortens the step and keeps its direction.",
        task="All gradients together are one vector. Compute its norm; if it is above max_norm, multiply all gradients "
        "by one factor, max_norm / (norm + 1e-6). Return the norm before, as a Tensor. norm_type may be 2, 1 or "
        f"infinity. {IN_PLACE} The check does not use error_if_nonfinite and foreach.",
        hints=(
            "_grads(parameters) is the list of the gradients that exist.",
            "√Σ g² over all values of all gradients is the norm of type 2. get_total_norm(grads, norm_type) computes "
            "any of them, as a Tensor.",
            "factor = min(max_norm / (float(total.array) + 1e-6), 1.0): a norm below max_norm stays as it is.",
            "for grad in grads: grad.array *= grad.dtype.type(factor). At the end, return total.",
        ),
        probes=(cases.CLIP_NORM,),
        program=functools.partial(programs.clip, "clip_grad_norm_", 0.5),
        faults=(
            "clip-norm-of-each",
            "clip-norm-always",
            "clip-norm-returns-the-norm-after",
            "clip-norm-clips-a-copy",
            "clip-norm-squared",
        ),
    ),
    exercise(
        name="clip-value",
        title="No number larger than this",
        target="nn.utils.clip_grad.clip_grad_value_",
        level=1,
        minutes=5,
        builds_on=("sgd",),
        notice="Clipping each value turns the step, clipping the norm does not. Still, both bound how far it can go.",
        why="The simplest bound of all: no weight gets a gradient outside of ±clip_value, whatever the batch.",
        task="Move each value of the gradients that is outside of -clip_value to clip_value to the nearest of the two. "
        f"Return nothing. {IN_PLACE} The check does not use foreach.",
        hints=(
            "_grads(parameters) is the list of the gradients that exist.",
            "np.clip(array, low, high) returns a new array; np.clip(array, low, high, out=array) writes into it.",
            "for grad in _grads(parameters): np.clip(grad.array, -clip_value, clip_value, out=grad.array)",
        ),
        probes=(cases.CLIP_VALUE,),
        program=functools.partial(programs.clip, "clip_grad_value_", 0.02),
        faults=(
            "clip-value-above-only",
            "clip-value-of-a-copy",
            "clip-value-to-zero",
            "clip-value-as-a-norm",
        ),
    ),
)
