"""The exercises, in teaching order. To add one, add an entry; the README of this folder shows how."""

from __future__ import annotations

import dataclasses
import functools
import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minitrain.learn import check_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.measurements import Probe
from minitrain.learn.splice import Piece, body_of, find_piece, learner_file
from minitrain.mistakes.catalogue import CATALOGUE
from minitrain.nn import init
from minitrain.ops import Array

PACKAGE = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Exercise:
    """One exercise: a piece of the library that the learner writes.

    name: lower case, with dashes; it also names the learner's file. track: the group of exercises that it belongs to.
    title: a few words. target: the piece, for example "ops.ReLU.backward". minutes: about how long it takes.
    why: what the piece is good for, in a sentence or two.
    task: what to write; what the check requires beyond the docstring, and what it does not require.
    hints: from a nudge to nearly the answer.
    probes: what the check computes with the piece, see measurements.py and check_inputs.py.
    program: the training run at the end of the check.
    faults: wrong solutions: names of mistakes in the catalogue, made in the target. Each must fail the check.
    given: the names of the class's other methods to show; None shows all.
    gap: how the learner's first and last statements begin; None: the learner writes the whole body.
    bug: the mistake of the catalogue that the learner's file contains; "": the body is left out.
    script: the code that runs when the learner runs the file.
    """

    name: str
    track: str
    title: str
    target: str
    minutes: int
    why: str
    task: str
    hints: tuple[str, ...]
    probes: tuple[Probe, ...]
    program: Callable[[], programs.Losses]
    faults: tuple[str, ...]
    given: tuple[str, ...] | None = None
    gap: tuple[str, str] | None = None
    bug: str = ""
    script: str = ""

    @functools.cached_property
    def piece(self) -> Piece:
        """The piece in the library's source."""
        return find_piece(PACKAGE, self.target)

    def stub(self) -> str:
        """The learner's file before any work is done on it."""
        if self.bug:
            return self.wrong(self.bug)
        return self.with_body(f'raise NotImplementedError("write this part of {self.piece.name}")')

    def solution(self) -> str:
        """The same file with the library's body."""
        return self.with_body(body_of(self.piece, self.gap))

    def wrong(self, mistake: str) -> str:
        """The same file with a mistake of the catalogue."""
        return self.with_body(CATALOGUE[mistake].body, whole=True)

    def with_body(self, body: str, *, whole: bool = False) -> str:
        """The same file with another body.

        whole: replace the whole body, even where the learner writes only a part of it.
        """
        check = f"Check it: minitrain learn check {self.name}\nStuck?    minitrain learn hint {self.name}"
        parts = [f"{self.name}: {self.title}", *[textwrap.fill(text, 100) for text in (self.why, self.task)], check]
        return learner_file(
            self.piece,
            body,
            introduction="\n\n".join(parts),
            given=self.given,
            gap=None if whole else self.gap,
            program=self.script,
        )

    def arrays(self) -> dict[str, Array]:
        """The results of the probes."""
        with np.errstate(all="ignore"):
            return {label: array for probe in self.probes for label, array in probe.arrays()}

    @functools.cached_property
    def expected(self) -> dict[str, Array]:
        """The results with the library's piece."""
        return self.arrays()

    @functools.cached_property
    def expected_losses(self) -> programs.Losses:
        """The losses of the training run with the library's piece."""
        return self.program()

    def run(self, stage: str) -> tuple[dict[str, Any], bytes]:
        """The answer of a child process: "values" and "training" use the learner's piece, "torch" uses torch."""
        if stage == "training":
            return {"losses": self.program()}, b""
        if stage == "torch":
            from minitrain.with_torch import exercise_references as twins

            arrays = {label: array for probe in self.probes for label, array in probe.twin(twins)}
            return {"labels": list(arrays)}, packed(arrays)
        arrays = self.arrays()
        right, measured = [], 0
        for probe in self.probes:
            found = probe.report()
            if found.wrong is not None:
                return {"labels": list(arrays), "wrong": found.wrong}, packed(arrays)
            right += [found.right] if found.right else []
            measured += found.measured
        answer = {"labels": list(arrays), "wrong": None, "right": "\n".join(right), "measured": measured}
        return answer, packed(arrays)


def packed(arrays: Mapping[str, Array]) -> bytes:
    """The arrays in NumPy's file format, without their names."""
    file = io.BytesIO()
    np.savez(file, *arrays.values())
    return file.getvalue()


def unpacked(labels: Sequence[str], data: bytes) -> dict[str, Array]:
    """The arrays that packed() wrote, with their names."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {label: arrays[f"arr_{i}"] for i, label in enumerate(labels)}


# --- the table --------------------------------------------------------------------------------------------------------

FORWARD, BACKWARD, TAPE = "Forward passes", "Backward passes", "The tape"
NUMERIC, OPTIMIZERS, TRAINING, BUGS = "Numeric gradients", "Optimizers", "Training", "Find the bug"

SAVED = (
    "backward finds only what forward saved. It is given below and shows what it reads from ctx. Save arrays with "
    "ctx.save_for_backward, and anything else as an attribute of ctx."
)
NEEDS = (
    "ctx.needs_input_grad says which inputs require a gradient. Return None for the others; forward did not save what "
    "only they would need."
)

_FORWARD = (
    Exercise(
        name="relu-forward",
        track=FORWARD,
        title="The ramp that lets a network bend",
        target="ops.ReLU.forward",
        minutes=5,
        why="Two linear layers in a row are just one linear layer. They need something nonlinear between them, and "
        "max(x, 0) is the cheapest choice.",
        task="Compute y from x, an array of any shape, and save y for backward. Do not write into x.",
        hints=(
            "NumPy has a function that takes the larger of two values, element by element. One of them may be a "
            "number.",
            "np.maximum(x, 0) is y. backward below reads one array from ctx.saved_arrays. Which one does it need?",
            "ctx.save_for_backward(y) before `return y`.",
        ),
        probes=(cases.RELU,),
        program=programs.classify,
        faults=("relu-takes-the-smaller", "relu-saves-the-negative"),
    ),
    Exercise(
        name="linear-forward",
        track=FORWARD,
        title="A layer: every output listens to every input",
        target="ops.Linear.forward",
        minutes=10,
        why="Nearly all of a network's parameters, and nearly all of its computing time, are in this one product.",
        task="Compute y and save only what backward needs: x if the weight requires a gradient, the weight if x "
        "does, and None in place of an array that is not needed. backward also reads x's shape from ctx.shape. The "
        "bias may be None. x may have more than two axes: _rows(x) is a matrix with a row for each sample.",
        hints=(
            "The weight is (out, in): row i belongs to output i. Which way round must it be in x @ ... ?",
            "weight.T has the shape (in, out), so _rows(x) @ weight.T is (N, out). Broadcasting adds the bias (out,) "
            "to each row.",
            "needs_x, needs_weight, _ = ctx.needs_input_grad; "
            "ctx.save_for_backward(x if needs_weight else None, weight if needs_x else None); ctx.shape = x.shape",
            "At the end, give y the axes of x again: y.reshape(*x.shape[:-1], weight.shape[0]).",
        ),
        probes=(cases.LINEAR,),
        program=programs.classify,
        faults=("linear-bias-subtracted", "linear-axes-reversed", "linear-bias-not-added"),
    ),
    Exercise(
        name="softmax-forward",
        track=FORWARD,
        title="Scores into probabilities, without overflow",
        target="ops.Softmax.forward",
        minutes=10,
        why="exp(1000) is infinite, and inf / inf is nan. The textbook formula therefore breaks on the first large "
        "score.",
        task="Compute y = exp x / Σ exp x along the axis dim, for x of any magnitude, and save what backward reads.",
        hints=(
            "Softmax does not change if you subtract the same number from every x along dim. Which number makes "
            "overflow impossible?",
            "Subtract the maximum along dim: the largest exponent is then 0. keepdims=True keeps the axis, so that "
            "the shapes still broadcast.",
            "exp = np.exp(x - x.max(axis=dim, keepdims=True)); y = exp / exp.sum(axis=dim, keepdims=True)",
            "backward reads y from ctx.saved_arrays, and ctx.dim.",
        ),
        probes=(cases.SOFTMAX,),
        program=programs.gated,
        faults=("softmax-overflows", "softmax-sums-over-the-last-axis"),
    ),
    Exercise(
        name="log-softmax-forward",
        track=FORWARD,
        title="The logarithm of a probability, without the probability",
        target="ops.LogSoftmax.forward",
        minutes=10,
        why="A probability of 1e-400 rounds to 0 in any float type, and the logarithm of 0 is -inf. The true "
        "logarithm, -921, is an ordinary number. So compute it without computing the probability first.",
        task="Compute y = x - ln Σ exp x along the axis dim, for x of any magnitude, and save what backward reads.",
        hints=(
            "Subtract the maximum first, as for softmax. Does that change y?",
            "With shifted = x - max, y = shifted - ln Σ exp(shifted). Nothing can overflow there, and the sum is at "
            "least 1.",
            "y = shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True)). backward reads y and ctx.dim.",
        ),
        probes=(cases.LOG_SOFTMAX,),
        program=programs.classify,
        faults=("log-softmax-overflows", "log-softmax-adds-the-logarithm", "log-softmax-saves-its-input"),
    ),
    Exercise(
        name="mse-forward",
        track=FORWARD,
        title="How far off, squared",
        target="ops.MSELoss.forward",
        minutes=5,
        why="The mean is taken over all elements, not over the rows. That is torch's choice, and it is a factor in "
        "every gradient.",
        task="x and target have the same shape. Return the squared differences (reduction none), their sum (sum), or "
        "their mean over all elements (mean). Keep the dtype: float32 inputs give a float32 result.",
        hints=(
            "All three use the same difference. backward needs it, and also the reduction.",
            "np.square(difference), then .sum() or .mean(), depending on the reduction.",
            "ctx.reduction = reduction; ctx.save_for_backward(difference); then one return for each reduction.",
        ),
        probes=(cases.MSE,),
        program=programs.regress,
        faults=("mse-of-absolute-values", "mse-divided-by-the-rows"),
    ),
    Exercise(
        name="nll-forward",
        track=FORWARD,
        title="The loss of a classifier: how likely was the right class?",
        target="ops.NLLLoss.forward",
        minutes=10,
        why="A row holds a log-probability for every class. The loss looks at only one of them: that of the right "
        "class.",
        task="kept (K,) holds the indices of the rows that count, labels (K,) their classes. Three lines are missing. "
        "w is the weight of each of these rows (K,), or 1 without class weights (weight is None). total is the sum "
        "of the weights, which the mean divides by. losses is the loss of each row (K,).",
        hints=(
            "rows[kept, labels] takes one element from each row that counts: the one at its label.",
            "The loss of a row is -w times that element.",
            "weight[labels] is the weight of each label's class. Without weights every row counts as 1, and total is "
            "the number of rows.",
            "w, total = (1, kept.size) if weight is None else (weight[labels], weight[labels].sum()); "
            "losses = -w * rows[kept, labels]",
        ),
        gap=("w = 1 if", "losses ="),
        probes=(cases.NLL,),
        program=programs.classify,
        faults=("nll-positive", "nll-weight-of-class-0", "nll-counts-ignored-rows"),
    ),
)

_BACKWARD = (
    Exercise(
        name="neg-backward",
        track=BACKWARD,
        title="Your first backward pass",
        target="ops.Neg.backward",
        minutes=5,
        why="backward receives dL/dy, how the loss changes with each y. It returns dL/dx, how the loss changes with "
        "each x. That is the whole chain rule, one link at a time.",
        task="Return dL/dx. Other code also uses grad_y: make a new array, do not write into grad_y.",
        hints=(
            "If x grows a little, what does y = -x do? And the loss, which changes by dL/dy for each unit of y?",
            "dL/dx = dL/dy · dy/dx, and dy/dx is -1 for every element.",
            "return -grad_y",
        ),
        probes=(cases.NEG,),
        program=programs.formulas,
        faults=("neg-sign-forgotten", "neg-without-the-chain-rule"),
    ),
    Exercise(
        name="exp-backward",
        track=BACKWARD,
        title="The function that is its own derivative",
        target="ops.Exp.backward",
        minutes=5,
        why="The derivative of exp is exp, and forward has already computed it. Saving a result is cheaper than "
        "computing it again, so the library does that wherever it can.",
        task="Return dL/dx. forward, below, saved something for you.",
        hints=(
            "What did forward save: x or y? ctx.saved_arrays is a tuple, even if it holds only one array.",
            "dy/dx = exp x, and that is y.",
            "(y,) = ctx.saved_arrays, and then dL/dy · y.",
        ),
        probes=(cases.EXP,),
        program=programs.formulas,
        faults=("exp-at-the-output", "exp-without-the-chain-rule", "exp-passes-on"),
    ),
    Exercise(
        name="relu-backward",
        track=BACKWARD,
        title="A gate for gradients",
        target="ops.ReLU.backward",
        minutes=5,
        why="Where x is below 0, y does not change with x, so the gradient stops there. If that happens everywhere in "
        "a network, it has stopped learning.",
        task="Return dL/dx. The derivative at exactly 0 is a matter of choice; torch uses 0.",
        hints=(
            "forward saved y, not x. Does y show where x was above 0?",
            "y > 0 exactly where x > 0. There dL/dx = dL/dy; elsewhere it is 0.",
            "grad_y * (y > 0) is right. (The library's zeroed(grad_y, y <= 0) does the same, faster.)",
        ),
        probes=(cases.RELU,),
        program=programs.classify,
        faults=("relu-mask-inverted", "relu-passes-at-zero", "relu-mask-of-the-gradient"),
    ),
    Exercise(
        name="flatten-backward",
        track=BACKWARD,
        title="Nothing is computed, but there is a gradient",
        target="ops.Flatten.backward",
        minutes=5,
        why="An operation that only moves numbers to other places sends each gradient back to the place that its "
        "number came from.",
        task="Return dL/dx, which has x's shape.",
        hints=(
            "Which element of y is x[i, j, k]? Only the shape has changed.",
            "forward saved x's shape in ctx.shape.",
            "grad_y.reshape(...) takes a shape.",
        ),
        probes=(cases.FLATTEN,),
        program=programs.by_rows,
        faults=("flatten-in-fortran-order", "flatten-not-undone"),
    ),
    Exercise(
        name="sum-backward",
        track=BACKWARD,
        title="Every term of a sum counts equally",
        target="ops.Sum.backward",
        minutes=10,
        why="A sum adds numbers up; its gradient copies one number to all of them. Summing and broadcasting are each "
        "other's gradient.",
        task="Return dL/dx in x's shape, ctx.shape. dim is a tuple of axes. Without keepdim, grad_y no longer has "
        "them.",
        hints=(
            "y grows by 1 when any of its x grows by 1. So each x gets the dL/dy of the sum that it is in.",
            "First restore the lost axes with size 1: np.expand_dims takes a tuple of axes. _expanded(grad_y, ctx) "
            "does that if keepdim is False.",
            "np.broadcast_to repeats along axes of size 1.",
            "np.broadcast_to(_expanded(grad_y, ctx), ctx.shape)",
        ),
        probes=(cases.SUM,),
        program=programs.formulas,
        faults=("sum-without-the-chain-rule", "sum-as-if-a-mean"),
    ),
    Exercise(
        name="mean-backward",
        track=BACKWARD,
        title="The 1/n that is so often forgotten",
        target="ops.Mean.backward",
        minutes=5,
        why="A gradient that is n times too large still points in the right direction. The loss falls at first, and "
        "you suspect the learning rate.",
        task="Return dL/dx in x's shape, ctx.shape. ctx.n is the number of values in each mean.",
        hints=(
            "As for the sum, but each x counts 1/n.",
            "Is n the number of all elements of x, or of those along dim? forward has already computed the right one.",
            "np.broadcast_to(_expanded(grad_y / ctx.n, ctx), ctx.shape)",
        ),
        probes=(cases.MEAN,),
        program=programs.formulas,
        faults=("mean-as-if-a-sum", "mean-of-all-entries", "mean-multiplies"),
    ),
    Exercise(
        name="unbroadcast",
        track=BACKWARD,
        title="What broadcasting copied, backward adds up",
        target="ops.unbroadcast",
        minutes=15,
        why="A bias is one row that is added to every sample of a batch. Every sample contributes to its gradient, and "
        "the contributions add up. All arithmetic in the library uses this function.",
        task="grad has the shape after broadcasting; return it in the operand's shape. The operand may have fewer axes "
        "(the first ones are missing), and it may have size 1 along an axis where grad has more.",
        hints=(
            "NumPy aligns shapes at the right: (4,) against (3, 4) counts as (1, 4). Along which axes of grad was "
            "the operand repeated?",
            "Two kinds of axes: the first grad.ndim - len(shape) ones, and those where shape has a 1. Sum over both.",
            "added = grad.ndim - len(shape). The axes are range(added), and added + i for each i with shape[i] == 1.",
            "grad.sum(axis=(...), keepdims=True).reshape(shape): the reshape removes the added axes.",
        ),
        probes=(cases.UNBROADCAST, cases.ADD),
        program=programs.formulas,
        faults=(
            "unbroadcast-keeps-repeated-axes",
            "unbroadcast-axes-not-shifted",
            "unbroadcast-takes-the-mean",
            "unbroadcast-takes-the-largest",
        ),
    ),
    Exercise(
        name="add-backward",
        track=BACKWARD,
        title="One gradient for two operands",
        target="ops.Add.backward",
        minutes=5,
        why="An addition sends dL/dy unchanged to both operands. That is why gradients flow so well through x + f(x).",
        task=f"Return dL/da and dL/db, each in its operand's shape. Either operand may have been broadcast. {NEEDS}",
        hints=(
            "dy/da = 1 and dy/db = 1.",
            "ctx.shapes holds the operands' shapes. unbroadcast(grad, shape) adds up what broadcasting copied.",
            "shape_a, shape_b = ctx.shapes; needs_a, needs_b = ctx.needs_input_grad",
            "unbroadcast(grad_y, shape_a) if needs_a else None, and the same for b. Return the two as a tuple.",
        ),
        probes=(cases.ADD,),
        program=programs.formulas,
        faults=("add-negates-b", "add-without-unbroadcast"),
    ),
    Exercise(
        name="mul-backward",
        track=BACKWARD,
        title="Each factor's gradient is the other factor",
        target="ops.Mul.backward",
        minutes=10,
        why="Products make gradients vanish and explode: a number that is multiplied by a small one gets a small "
        "gradient.",
        task=f"Return dL/da and dL/db, each in its operand's shape. Either operand may have been broadcast. {NEEDS}",
        hints=(
            "If a grows a little, y grows by that times b.",
            "a, b = ctx.saved_arrays. But look at forward: a is None unless b requires a gradient, because only b's "
            "gradient needs a.",
            "dL/da = unbroadcast(grad_y * b, shape_a), with shape_a, shape_b = ctx.shapes.",
            "unbroadcast(grad_y * b, shape_a) if b is not None else None",
        ),
        probes=(cases.MUL,),
        program=programs.gated,
        faults=("mul-without-the-chain-rule", "mul-without-unbroadcast"),
    ),
    Exercise(
        name="index-backward",
        track=BACKWARD,
        title="Back to where it came from, twice if needed",
        target="ops.Index.backward",
        minutes=10,
        why="An embedding is x[index]. A word that occurs twice in a sentence gets two gradients, but `+=` on an "
        "indexed array silently keeps only one of them.",
        task="Return dL/dx: dL/dy at the places that were read, zero elsewhere. Where the index, ctx.index, reads a "
        "place more than once, the gradients add up.",
        hints=(
            "Start with zeros of x's shape (ctx.shape) and grad_y's dtype. Put grad_y where y was read from.",
            "grad_x[index] += grad_y first reads all, then adds, then writes all. If two additions go to one place, "
            "only the last one remains.",
            "NumPy has an unbuffered addition: np.add.at(array, index, values).",
        ),
        probes=(cases.INDEX,),
        program=programs.formulas,
        faults=("index-overwrites", "index-starts-from-ones"),
    ),
    Exercise(
        name="matmul-backward",
        track=BACKWARD,
        title="The gradients of a matrix product are matrix products",
        target="ops.Matmul.backward",
        minutes=20,
        why="This is why training costs three times as much as prediction: each product in forward needs two in "
        "backward.",
        task="Return dL/da and dL/db. a is (..., N, K) and b is (..., K, M); the leading axes may have been broadcast. "
        f"(The library also accepts vectors; the check does not use them.) {NEEDS}",
        hints=(
            "Start with two matrices: grad_y is (N, M), and dL/da must be (N, K). Which product of grad_y and b has "
            "that shape?",
            "dL/da = grad_y @ bᵀ, dL/db = aᵀ @ grad_y. For a stack of matrices, transpose only the last two axes: .T "
            "would reverse all of them.",
            "np.swapaxes(b, -1, -2) transposes each matrix of a stack.",
            "If one matrix was used for a whole stack, its gradient is the sum: unbroadcast(..., shape_b), with "
            "shape_a, shape_b = ctx.shapes.",
        ),
        probes=(cases.MATMUL,),
        program=programs.formulas,
        faults=("matmul-half-of-a", "matmul-sign-of-b"),
    ),
    Exercise(
        name="linear-input-gradient",
        track=BACKWARD,
        title="A layer's gradient for the layer before it",
        target="ops.Linear.backward",
        gap=("grad_x = layout", "grad_x = layout"),
        minutes=10,
        why="This gradient continues to the earlier layers. Without it, only the last layer learns.",
        task="Set grad_x, dL/dx, in x's shape, ctx.shape. grad_rows is dL/dy as a matrix (N, out), and weight is "
        "(out, in).",
        hints=(
            "dL/dx must be (N, in). Which product of grad_rows (N, out) and weight (out, in) has that shape?",
            "y = x Wᵀ, so dy/dx is Wᵀ, and backward multiplies by its transpose: dL/dx = dL/dy W.",
            "grad_x = (grad_rows @ weight).reshape(ctx.shape)",
        ),
        probes=(cases.LINEAR,),
        program=programs.classify,
        faults=("linear-input-sign", "linear-input-as-rows"),
    ),
    Exercise(
        name="linear-weight-gradient",
        track=BACKWARD,
        title="What the weights learn from",
        target="ops.Linear.backward",
        gap=("grad_weight = layout", "grad_weight = layout"),
        minutes=10,
        why="Each weight connects one input to one output. Its gradient is that input times the gradient of that "
        "output, summed over the batch.",
        task="Set grad_weight, dL/dW, in the weight's shape (out, in). grad_rows is dL/dy as a matrix (N, out), and "
        "_rows(x) is x as a matrix (N, in).",
        hints=(
            "The matrix product already sums over the N samples, if N is the axis that disappears.",
            "(out, N) @ (N, in) is (out, in).",
            "grad_weight = grad_rows.T @ _rows(x)",
        ),
        probes=(cases.LINEAR,),
        program=programs.classify,
        faults=("linear-weight-averaged", "linear-weight-sign", "linear-weight-transposed"),
    ),
    Exercise(
        name="linear-bias-gradient",
        track=BACKWARD,
        title="What the bias learns from",
        target="ops.Linear.backward",
        gap=("grad_bias = layout", "grad_bias = layout"),
        minutes=5,
        why="The same bias is added to every sample of the batch, so every sample contributes to its gradient.",
        task="Set grad_bias, dL/db, in the bias's shape (out,). grad_rows is dL/dy as a matrix (N, out).",
        hints=(
            "The bias was broadcast: one row was added to N rows. What does backward do with copies?",
            "Sum over the batch, which is axis 0.",
            "grad_bias = grad_rows.sum(axis=0)",
        ),
        probes=(cases.LINEAR,),
        program=programs.classify,
        faults=("linear-bias-averaged", "linear-bias-of-the-first-sample"),
    ),
    Exercise(
        name="mse-backward",
        track=BACKWARD,
        title="The first gradient of the walk back",
        target="ops.MSELoss.backward",
        minutes=10,
        why="Every backward pass starts at the loss. This gradient says how far off each prediction is, and in which "
        "direction.",
        task="Return dL/dx and dL/dtarget. grad_y is 0-d for the mean and the sum, and has x's shape for none. "
        f"{NEEDS}",
        hints=(
            "The derivative of (x - t)² by x is 2 (x - t). By t it is the same with the opposite sign.",
            "The mean is over all elements, not over the rows: 1/n with n = difference.size.",
            "scale = 2 / difference.size if ctx.reduction == 'mean' else 2; dL/dx = scale * difference * grad_y",
        ),
        probes=(cases.MSE,),
        program=programs.regress,
        faults=("mse-two-forgotten", "mse-target-sign"),
    ),
    Exercise(
        name="softmax-backward",
        track=BACKWARD,
        title="Every input changes every output",
        target="ops.Softmax.backward",
        minutes=15,
        why="One probability can only grow if the others shrink, so this derivative is a full matrix. People often "
        "forget its off-diagonal part.",
        task="Return dL/dx. forward saved y, and the axis in ctx.dim.",
        hints=(
            "dy_i/dx_j = y_i · (1 if i = j, else 0) - y_i · y_j. Multiply by dL/dy_i and sum over i.",
            "The first part gives y_j · dL/dy_j. The second part gives y_j times one number for each row: which sum is "
            "that number?",
            "dL/dx = y · (dL/dy - Σ dL/dy · y), with the sum along ctx.dim, keepdims=True.",
        ),
        probes=(cases.SOFTMAX,),
        program=programs.gated,
        faults=("softmax-along-the-wrong-axis", "softmax-adds-the-sum"),
    ),
    Exercise(
        name="log-softmax-backward",
        track=BACKWARD,
        title="Probability minus truth",
        target="ops.LogSoftmax.backward",
        minutes=15,
        why="Together with NLLLoss, this gives p - 1 for the right class and p for the others: the most famous "
        "gradient of deep learning.",
        task="Return dL/dx. forward saved y, the log-probabilities, and the axis in ctx.dim.",
        hints=(
            "y_i = x_i - ln Σ exp x. x_j appears in y_j directly, and in every y_i of its row through the logarithm.",
            "The derivative of ln Σ exp x by x_j is exp x_j / Σ exp x. That is the probability, exp y_j.",
            "dL/dx = dL/dy - exp y · Σ dL/dy, with the sum along ctx.dim, keepdims=True.",
        ),
        probes=(cases.LOG_SOFTMAX,),
        program=programs.classify,
        faults=("log-softmax-exp-forgotten", "log-softmax-along-the-wrong-axis", "log-softmax-adds-the-sum"),
    ),
    Exercise(
        name="nll-backward",
        track=BACKWARD,
        title="A gradient for one class in each row",
        target="ops.NLLLoss.backward",
        minutes=15,
        why="The loss uses one number in each row, so only one number in each row gets a gradient.",
        task="Return (dL/dx, None, None), because the labels and the class weights get no gradient. x is (N, C), and "
        "ctx.shape is its shape. forward saved four values: kept (K,), the indices of the rows that count; labels "
        "(K,), their classes; w, their weights (K,), or 1 for all; total, the sum of the weights, which the mean "
        "divides by. ctx.reduction is the reduction.",
        hints=(
            "Start with zeros of ctx.shape: rows that do not count, and classes that were not looked at, keep 0.",
            "grad_x[kept, labels] is the one place in each row that counts. It gets -w times dL/dy of that row.",
            "grad_y is 0-d for the mean and the sum; for the mean, divide it by total. For none it is (N,), and "
            "grad_y[kept] selects the rows that count.",
            "grad_x[kept, labels] = -w * grad_y; return grad_x, None, None",
        ),
        probes=(cases.NLL,),
        program=programs.classify,
        faults=("nll-sign", "nll-divided-by-all-rows", "nll-mean-and-sum-exchanged"),
    ),
)

_TAPE = (
    Exercise(
        name="receive-grad",
        track=TAPE,
        title="Why gradients are added, not set",
        target="tensor.Tensor.receive_grad",
        given=(),
        minutes=10,
        why="A second backward adds to the gradient of the first. That lets you split a large batch into small ones, "
        "and it is the reason for zero_grad.",
        task="self._grad is a Tensor, or None before the first gradient. Keep an array of your own: if grad is not "
        "owned, other code may use it, so copy it. Copying always is fine. (The library also keeps the memory order of "
        "self.array, and counts the change with increment_version. The check does not require that.)",
        hints=(
            "There are two cases: either there already is a gradient, or there is none.",
            "If there is one, add to its array: self._grad.array += grad.",
            "If there is none, keep a copy: self._grad = Tensor(grad.copy()).",
        ),
        probes=(*cases.GRAPHS, cases.OWN_GRADIENTS),
        program=programs.residual,
        faults=("receive-grad-overwrites", "receive-grad-keeps-what-others-own"),
    ),
    Exercise(
        name="used-twice",
        track=TAPE,
        title="A value that is used twice",
        target="tape.walk_back",
        gap=("if edge in pending", "if edge in pending"),
        minutes=10,
        why="In x · x, and in every residual network, one value receives two gradients. Forgetting one of them is the "
        "most common mistake of all.",
        task="pending holds, for each edge, the gradient that has arrived there so far. If there is one, add "
        "input_grad to it and continue with the next input. Do not write into the array that is there: it may be "
        "shared or read-only. (You may leave owned as it is.)",
        hints=(
            "The lines after yours set pending[edge] for the first gradient, and queue the edge. That must not "
            "happen a second time, so end with continue.",
            "pending[edge] += input_grad would write into an array that Add may have sent to both of its operands.",
            "if edge in pending: pending[edge] = pending[edge] + input_grad; owned[edge] = True; continue",
        ),
        probes=cases.GRAPHS,
        program=programs.residual,
        faults=("walk-back-overwrites", "walk-back-adds-in-place"),
    ),
    Exercise(
        name="walk-back",
        track=TAPE,
        title="The walk back: newest operation first",
        target="tape.walk_back",
        minutes=30,
        why="This is backward(): thirty lines that every training run needs. The order makes it correct. A node may "
        "pass its gradient on only after every operation that used its result has sent a gradient.",
        task="root is a Node, or a leaf's AccumulateGrad. node.input_gradients(grad) returns the gradients of a Node's "
        "inputs, in order. node.next_functions holds a pair for each input; its first element says where the gradient "
        "goes: to a Node, an AccumulateGrad, or nowhere (None). node.sequence_nr grows with every operation. At the "
        "end each leaf receives its sum: leaf.variable.receive_grad(grad, owned=False). Unless retain_graph is True, "
        "call node.free() after using a Node. (The check does not require anomaly detection or retain_grad.) A graph "
        "may be thousands of operations deep.",
        hints=(
            "Keep a dictionary of the gradients that have arrived, {root: grad} at first, and a collection of the "
            "waiting Nodes.",
            "Take the waiting Node with the largest sequence_nr. Every operation that uses its result is newer, so it "
            "has been visited. A heap of (-sequence_nr, node) finds it; so does max().",
            "Take its gradient out of the dictionary and compute the inputs' gradients. Add each to the one that is "
            "there for its edge (pending[edge] + g, a new array), or set it. A Node that is new there starts to wait.",
            "When no Node is waiting, only leaves are left in the dictionary: call receive_grad for each.",
        ),
        probes=(*cases.GRAPHS, cases.DEEP),
        program=programs.residual,
        faults=("walk-back-takes-any-order", "walk-back-overwrites", "walk-back-follows-one-path"),
    ),
    Exercise(
        name="zero-grad",
        track=TAPE,
        title="Why zero_grad, and what None is for",
        target="optim.Optimizer.zero_grad",
        given=(),
        minutes=5,
        why="backward adds to .grad. Unless you clear it, the next step uses the sum of all gradients so far.",
        task="Go through all groups (self.param_groups) and their parameters (group['params']). By default, set .grad "
        "to None. With set_to_none=False, keep the gradient and fill it with 0 in place. A .grad that is None stays "
        "None.",
        hints=(
            "Two loops: for group in self.param_groups, for param in group['params'].",
            "`grad = param.grad` followed by `grad = None` only changes a name in your function.",
            "param.grad = None; or param.grad.zero_(), if there is a gradient.",
        ),
        probes=(cases.ZERO_GRAD,),
        program=functools.partial(programs.classify, lr=0.2),
        faults=("zero-grad-does-nothing", "zero-grad-zeroes-a-copy", "zero-grad-always-sets-none"),
    ),
)

_NUMERIC = (
    Exercise(
        name="move-and-look",
        track=NUMERIC,
        title="A derivative without any calculus",
        target="diagnosis.finite_differences._Measured.around",
        given=("value", "step"),
        minutes=10,
        why="You can try out what a derivative means: change a number a little, and see how the results change. Every "
        "gradient in these exercises is compared with such a measurement.",
        task="flat[j] is the number (or numbers) to move. Return self.value() after moving it up by step, "
        "self.value() after moving it down by step, and the distance between the two positions: the upper flat[j] "
        "minus the lower one, as they were rounded. Then restore flat[j], even if value() raises.",
        hints=(
            "before = flat[j] remembers the number. flat[j] = before + step; then up = self.value().",
            "The distance is not exactly 2 · step, because before + step is rounded. Read flat[j] after each move.",
            "try: ... finally: flat[j] = before restores it whatever happens.",
        ),
        probes=(cases.AROUND, cases.MEASURED),
        program=programs.by_differences,
        faults=("around-moves-one-way", "around-does-not-restore", "around-distance-doubled"),
    ),
    Exercise(
        name="central-differences",
        track=NUMERIC,
        title="The whole Jacobian, entry by entry",
        target="diagnosis.finite_differences._Measured.jacobian",
        given=("value", "step", "around"),
        minutes=10,
        why="Measuring n derivatives takes 2 n runs of the function; one backward gives all of them. That is why "
        "backpropagation was worth inventing, and why differences are used only for checking.",
        task="Return dy/dx, (x.size, y.size). Row j holds the derivatives of all results with respect to entry j of "
        "array. self.around(array.flat, j, step) moves the entry and measures; self.step(x) is how far to move x.",
        hints=(
            "One row for each j in range(array.size).",
            "up, down, distance = self.around(array.flat, j, self.step(float(array.flat[j])))",
            "Row j is (up - down) / distance. self.value().size is the number of results.",
        ),
        probes=(cases.MEASURED,),
        program=programs.by_differences,
        faults=("jacobian-one-sided-distance", "jacobian-sign"),
    ),
)

_STATE = (
    "state keeps values from step to step, under torch's names, as Tensors of the parameter's shape. "
    "_buffer(state, name, param) returns the array of one of them, zeros at first. Write into it."
)
_IN_PLACE = "Write into param (param -= ...), and never into grad."

_OPTIMIZERS = (
    Exercise(
        name="sgd",
        track=OPTIMIZERS,
        title="Downhill, one small step",
        target="optim.SGD.update",
        given=(),
        minutes=10,
        why="All of training is this line, repeated. The other optimizers only choose the step more cleverly.",
        task="Support the options lr and weight_decay. The check does not use momentum, nesterov or maximize. "
        f"{_IN_PLACE}",
        hints=(
            "param -= lr * grad, with lr = options['lr'].",
            "`param = param - ...` makes a new array and does not change the model; `param -= ...` does change it.",
            "Add the weight decay to the gradient first: grad = grad + options['weight_decay'] * param. Do not use +=: "
            "it would change the model's gradient.",
        ),
        probes=(cases.SGD,),
        program=functools.partial(programs.classify, weight_decay=0.01),
        faults=("sgd-uphill", "sgd-rebinds-the-parameter", "sgd-decay-written-into-the-gradient"),
    ),
    Exercise(
        name="momentum",
        track=OPTIMIZERS,
        title="A ball that keeps rolling",
        target="optim.SGD.update",
        given=(),
        minutes=15,
        why="Steps in the same direction add up, and steps that swing back and forth cancel. That helps most in a "
        "narrow valley.",
        task="Support the options lr, weight_decay, momentum and dampening; without momentum, it is plain SGD. "
        f"{_STATE} The name is momentum_buffer. {_IN_PLACE}",
        hints=(
            "buf = momentum · buf + g. In the first step there is no buffer yet: buf = g, without dampening.",
            'Before you call _buffer, note whether this is the first step: first = "momentum_buffer" not in state.',
            "buf = momentum * buf + grad makes a new array, and state does not keep it. buf *= momentum and buf += "
            "grad write into the one in state.",
            "buf += grad if first else (1 - dampening) * grad; then param -= lr * buf.",
        ),
        probes=(cases.MOMENTUM,),
        program=functools.partial(programs.classify, lr=0.1, momentum=0.9),
        faults=("sgd-momentum-not-kept", "sgd-first-gradient-dampened", "sgd-momentum-of-the-first-gradient"),
    ),
    Exercise(
        name="nesterov",
        track=OPTIMIZERS,
        title="A ball that looks ahead",
        target="optim.SGD.update",
        given=(),
        minutes=10,
        why="The ball will keep rolling anyway, so it is better to use the gradient at the place that it will reach. "
        "In these variables, that is one more term.",
        task=f"Support the options lr, momentum and nesterov. {_STATE} The name is momentum_buffer. {_IN_PLACE}",
        hints=(
            "The buffer is the same as for plain momentum. Only the step that uses it differs.",
            "With nesterov, the step is lr · (g + momentum · buf), with the new buf; without it, lr · buf.",
            "grad = grad + momentum * buf if options['nesterov'] else buf; param -= lr * grad",
        ),
        probes=(cases.NESTEROV,),
        program=functools.partial(programs.classify, lr=0.1, momentum=0.9, nesterov=True),
        faults=("sgd-nesterov-undamped", "sgd-nesterov-forgotten", "sgd-nesterov-always"),
    ),
    Exercise(
        name="rmsprop",
        track=OPTIMIZERS,
        title="A step size for each weight",
        target="optim.RMSprop.update",
        given=(),
        minutes=15,
        why="The step is divided by the usual size of the gradient. So all weights take steps of about the same size, "
        "whether their gradients are large or small.",
        task="Support the options lr, alpha, eps and weight_decay. The check does not use momentum, centered or "
        f"maximize. {_STATE} The name is square_avg. state['step'] counts the steps, as in torch: _buffer(state, "
        f"'step', STEP_0). {_IN_PLACE}",
        hints=(
            "step = _buffer(state, 'step', STEP_0); step += 1 then writes into it.",
            "square_avg *= alpha; square_avg += (1 - alpha) * grad * grad",
            "Add eps after the square root: avg = np.sqrt(square_avg) + eps. Then param -= lr * grad / avg.",
        ),
        probes=(cases.RMSPROP,),
        program=functools.partial(programs.classify, "RMSprop", lr=0.01),
        faults=("rmsprop-eps-inside-the-root", "rmsprop-square-forgotten", "rmsprop-step-not-counted"),
    ),
    Exercise(
        name="rmsprop-variants",
        track=OPTIMIZERS,
        title="The variance instead of the square, and momentum",
        target="optim.RMSprop.update",
        given=(),
        minutes=15,
        why="The centered form divides the step by how much the gradient varies, not by how large it is. If the "
        "gradient stays the same, the steps become large.",
        task=f"Support the options lr, alpha, eps, momentum and centered. {_STATE} The names are square_avg, grad_avg "
        f"(if centered), momentum_buffer (with momentum), and step, which counts the steps. {_IN_PLACE}",
        hints=(
            "Start from your rmsprop. grad_avg is an average like square_avg, but of the gradient itself.",
            "centered: avg = np.sqrt(square_avg - grad_avg * grad_avg) + eps",
            "momentum_buffer = momentum · momentum_buffer + grad / avg, without lr. Then param -= lr * "
            "momentum_buffer.",
        ),
        probes=(cases.RMSPROP_MORE,),
        program=functools.partial(programs.classify, "RMSprop", lr=0.005, momentum=0.5, centered=True),
        faults=("rmsprop-adds-the-squared-mean", "rmsprop-momentum-unused"),
    ),
    Exercise(
        name="adam",
        track=OPTIMIZERS,
        title="Two averages that start at zero",
        target="optim.Adam.update",
        given=(),
        minutes=20,
        why="Adam is RMSprop with momentum, plus a correction, because both averages start at 0. Without the "
        "correction, the first steps are several times too large.",
        task="Support the options lr, betas, eps and weight_decay. The check does not use amsgrad, maximize or "
        f"decoupled_weight_decay. {_STATE} The names are exp_avg, exp_avg_sq, and step, which counts the steps: "
        f"_buffer(state, 'step', STEP_0). {_IN_PLACE}",
        hints=(
            "step = _buffer(state, 'step', STEP_0); step += 1 writes into it, and step.item() is the number. Count "
            "first, because 1 - beta^0 is 0.",
            "exp_avg is the average of g, with beta1. exp_avg_sq is the average of g², with beta2.",
            "denom = np.sqrt(exp_avg_sq) / math.sqrt(1 - beta2 ** step.item()) + eps. Add eps after the correction.",
            "param -= lr / (1 - beta1 ** step.item()) * exp_avg / denom",
        ),
        probes=(cases.ADAM,),
        program=functools.partial(programs.classify, "Adam", lr=0.01),
        faults=(
            "adam-first-average-uncorrected",
            "adam-second-average-uncorrected",
            "adam-eps-inside-the-root",
            "adam-betas-swapped",
        ),
    ),
    Exercise(
        name="adamw",
        track=OPTIMIZERS,
        title="Weight decay that really decays the weights",
        target="optim.Adam.update",
        given=(),
        minutes=10,
        why="Adam adds the decay to the gradient, and then divides it by the square root too. So weights with large "
        "gradients hardly decay. AdamW shrinks the parameter itself.",
        task="The same function serves Adam and AdamW; here options['decoupled_weight_decay'] is True. Support the "
        f"options lr, betas, eps and weight_decay. {_STATE} The names are exp_avg, exp_avg_sq and step. {_IN_PLACE}",
        hints=(
            "Start from your adam. Only one line changes: the one that applies the decay.",
            "Before the averages: param *= 1 - lr * weight_decay. The gradient does not change.",
            "if weight_decay != 0 and options['decoupled_weight_decay']: param *= 1 - lr * weight_decay",
        ),
        probes=(cases.ADAMW,),
        program=functools.partial(programs.classify, "AdamW", lr=0.01, weight_decay=0.1),
        faults=("adam-decay-without-lr", "adam-decay-coupled"),
    ),
)

_TRAINING = (
    Exercise(
        name="train-step",
        track=TRAINING,
        title="Three lines in the right order",
        target="loops.train_loop",
        gap=("loss.backward()", "optimizer.zero_grad()"),
        minutes=5,
        why="Every training program has these three lines. If two of them are swapped, it still trains, a little "
        "worse, and nobody knows why.",
        task="Run backward from the loss, take an optimizer step, and clear the gradients.",
        hints=(
            "The loss is a Tensor; it knows which operations produced it.",
            "The optimizer has one method that updates all parameters, and one that clears all gradients.",
            "loss.backward(); optimizer.step(); optimizer.zero_grad()",
        ),
        probes=(cases.TRAIN_LOOP,),
        program=programs.classify,
        faults=("train-loop-without-zero-grad", "train-loop-steps-first"),
    ),
    Exercise(
        name="train-loop",
        track=TRAINING,
        title="The training loop",
        target="loops.train_loop",
        minutes=15,
        why="This is the tutorial's loop, and everybody's. It works with minitrain's objects and with torch's.",
        task="Put the model in training mode. Then, for each batch: predict, compute the loss, call "
        "observer.before_update(batch, X, y, loss), run backward, step, clear the gradients, and call "
        "observer.after_update(batch, loss, current, size). current is how many samples of the pass have been used so "
        "far, and size is how many there are.",
        hints=(
            "Start with model.train(). Then: for batch, (X, y) in enumerate(dataloader, start=first_batch):",
            "pred = model(X); loss = loss_fn(pred, y). The prediction comes first, the label second.",
            "After before_update: loss.backward(); optimizer.step(); optimizer.zero_grad()",
            "size is len(dataloader.dataset), current is batch * dataloader.batch_size + len(X).",
        ),
        probes=(cases.TRAIN_LOOP,),
        program=programs.classify,
        faults=(
            "train-loop-without-step",
            "train-loop-in-evaluation-mode",
            "train-loop-counts-too-few",
            "train-loop-restarts-its-count",
        ),
    ),
    Exercise(
        name="test-loop",
        track=TRAINING,
        title="How good is it?",
        target="loops.test_loop",
        minutes=10,
        why="What counts is the accuracy on data that the model has never seen, measured in evaluation mode.",
        task="Return the accuracy (the fraction of correct answers, from 0 to 1) and the mean of the batches' losses, "
        "both as numbers. Also pass the two to observer.after_test. The model's answer is the class with the largest "
        "score.",
        hints=(
            "Start with model.eval(). Divide the sum of the losses by the number of batches, and the number of correct "
            "answers by the number of samples.",
            "pred.argmax(1) are the answers; (pred.argmax(1) == y).sum().item() is how many are correct.",
            "accuracy, test_loss = correct / len(dataloader.dataset), test_loss / len(dataloader)",
        ),
        probes=(cases.TEST_LOOP,),
        program=programs.tested,
        faults=("test-loop-takes-the-worst-class", "test-loop-averages-over-samples", "test-loop-in-training-mode"),
    ),
    Exercise(
        name="xavier",
        track=TRAINING,
        title="How large should the initial weights be?",
        target="nn.init.xavier_uniform_",
        minutes=10,
        why="If the weights are too large, the signal grows with every layer; if they are too small, it dies out. This "
        "bound is a compromise that keeps the signal's size about constant, forward and backward.",
        task="Fill the Tensor in place with uniform numbers within ±gain · √(6 / (fan_in + fan_out)), drawn from the "
        "generator, and return it. _fans(tensor) returns fan_in and fan_out.",
        hints=(
            "fan_in, fan_out = _fans(tensor): how many inputs feed one output, and how many outputs one input feeds.",
            "Numbers that are uniform within ±bound have the variance bound² / 3. That is why there is a 6, and not a "
            "2.",
            "return uniform_(tensor, -bound, bound, generator)",
        ),
        probes=(cases.XAVIER_UNIFORM,),
        program=functools.partial(programs.classify, initialise=init.xavier_uniform_),
        faults=("xavier-without-gain", "xavier-of-fan-in-only", "xavier-positive"),
    ),
    Exercise(
        name="kaiming",
        track=TRAINING,
        title="Initial weights before a ReLU",
        target="nn.init.kaiming_uniform_",
        minutes=10,
        why="A ReLU drops half of the signal, so the weights before it must be larger by √2. (torch's own Linear uses "
        "this function with a = √5, which undoes that.)",
        task="Fill the Tensor in place with uniform numbers within ±gain · √(3 / fan), drawn from the generator, and "
        "return it. For mode fan_in, fan is the first of _fans(tensor); for fan_out, the second. The gain depends on "
        "the nonlinearity and on a. Leave a Tensor without elements as it is.",
        hints=(
            "calculate_gain(nonlinearity, a) is the gain.",
            "_kaiming_std(tensor, a, mode, nonlinearity) is gain / √fan already. What is missing for uniform numbers?",
            "bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity); uniform_(tensor, -bound, bound, "
            "generator)",
        ),
        probes=(cases.KAIMING_UNIFORM,),
        program=programs.classify,
        faults=("kaiming-bound-is-the-deviation", "kaiming-like-xavier", "kaiming-ignores-the-mode"),
    ),
    Exercise(
        name="linear-parameters",
        track=TRAINING,
        title="The initial parameters of a layer",
        target="nn.layers.Linear.reset_parameters",
        given=("__init__",),
        minutes=10,
        why="The same seed gives the same network here and in torch, because both draw the same numbers in the same "
        "order: first the weight, then the bias.",
        task="Fill self.weight and self.bias in place with uniform numbers within ±1/√in_features. The bias may be "
        "None, and in_features may be 0.",
        hints=(
            "init.kaiming_uniform_(self.weight, a=...) with a = √5 has the bound 1/√in_features, because its gain is "
            "√(1/3). That is how torch writes it; init.uniform_ works, too.",
            "If there is a bias: init.uniform_(self.bias, -bound, bound), after the weight.",
            "bound = 1 / math.sqrt(self.in_features) if self.in_features else 0",
        ),
        probes=(cases.RESET_PARAMETERS,),
        program=programs.classify,
        faults=("linear-bias-drawn-positive", "linear-weight-drawn-too-wide", "linear-bias-drawn-too-narrow"),
    ),
)

_REPAIR = "This piece is complete, but one thing in it is wrong. The formula in its docstring is right. "


def _program(text: str) -> str:
    """The code that `python FILE` runs."""
    return 'if __name__ == "__main__":\n' + textwrap.indent(textwrap.dedent(text).strip(), "    ")


_BUGS = (
    Exercise(
        name="hunt-words",
        track=BUGS,
        title="A word that learns only half",
        target="ops.Index.backward",
        bug="index-overwrites",
        minutes=10,
        why="Three words are looked up in a table, and two of them are the same. That word should learn twice as much "
        "as the other, but it does not.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it.",
        hints=(
            "Try gradcheck(Index, [x], options={'index': ...}) with other indices. Which of them are right?",
            "It is wrong only where an index contains a row twice. What does += do then, with an array of indices?",
            "It reads all the places, adds, and writes all of them back: the second addition to a place overwrites the "
            "first. np.add.at adds one after another.",
        ),
        probes=(cases.INDEX,),
        program=programs.formulas,
        faults=("index-overwrites",),
        script=_program(
            """
            # Each row's gradient should be how often its word occurs: 2, 1 and 0 times.
            import minitrain as torch
            from minitrain.autograd import gradcheck
            from minitrain.tensor import apply

            table = torch.zeros(3, 2, requires_grad=True)
            words = apply(Index, table, index=np.array([0, 1, 0]))
            words.sum().backward()
            print(table.grad)
            print(gradcheck(Index, [np.arange(6.0).reshape(3, 2)], options={"index": 1}))
            """
        ),
    ),
    Exercise(
        name="hunt-rate",
        track=BUGS,
        title="A good learning rate that does not work",
        target="ops.MSELoss.backward",
        bug="mse-mean-over-the-rows",
        minutes=10,
        why="A small regression with a learning rate that is known to work. But the loss grows.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it.",
        hints=(
            "gradcheck(MSELoss, [x, target], options={'reduction': 'mean'}) compares it with a measurement. By which "
            "factor is it wrong?",
            "Try arrays of other shapes. Does the factor depend on the rows, or on the columns?",
            "The mean is over all elements. What does len(difference) count?",
        ),
        probes=(cases.MSE,),
        program=programs.regress,
        faults=("mse-mean-over-the-rows",),
        script=_program(
            """
            # With this learning rate, the loss should fall in every step.
            import minitrain as torch
            from minitrain.tensor import apply

            torch.manual_seed(0)
            X, W = torch.randn(20, 4), torch.zeros(4, 5, requires_grad=True)
            target = X @ torch.randn(4, 5)
            for step in range(8):
                loss = apply(MSELoss, X @ W, target, reduction="mean")
                print(f"step {step}: loss {loss.item():.4f}")
                loss.backward()
                with torch.no_grad():
                    W -= 1.6 * W.grad
                W.grad = None
            """
        ),
    ),
    Exercise(
        name="hunt-classifier",
        track=BUGS,
        title="A classifier that never says no",
        target="ops.LogSoftmax.backward",
        bug="log-softmax-diagonal-only",
        minutes=15,
        why="The scores of all classes grow without limit, and the loss does not improve.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it.",
        hints=(
            "gradcheck(LogSoftmax, [x], options={'dim': 1}) names the likely mistake. Read the whole line.",
            "Each x changes every y of its row, not only its own. Where in the code do the other elements of the row "
            "appear?",
            "The second term of the formula has a Σ. Along which axis, and with keepdims?",
        ),
        probes=(cases.LOG_SOFTMAX,),
        program=programs.classify,
        faults=("log-softmax-diagonal-only",),
        script=_program(
            """
            # The loss starts at ln 10 = 2.30 and should fall below 1.
            import minitrain as torch
            from minitrain.data.datasets import Digits
            from minitrain.tensor import apply

            digits = Digits()
            X, y = digits.data[:200].flatten(1).float() / 255, digits.targets[:200]
            W = torch.zeros(64, 10, requires_grad=True)
            for step in range(40):
                scores = X @ W
                loss = -apply(LogSoftmax, scores, dim=1)[torch.arange(200), y].mean()
                if step % 5 == 0:
                    print(f"step {step:2d}: loss {loss.item():.4f}, mean score {scores.mean().item():.4f}")
                loss.backward()
                with torch.no_grad():
                    W -= 0.5 * W.grad
                W.grad = None
            """
        ),
    ),
    Exercise(
        name="hunt-shortcut",
        track=BUGS,
        title="Right in a chain, wrong with a shortcut",
        target="tape.walk_back",
        bug="walk-back-visits-too-early",
        minutes=20,
        why="In a network without shortcuts, this walk gives the right gradients. With 2 h + h, something is missing.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it.",
        hints=(
            "print_tape(loss) shows where each operation sends its gradient. Which operation receives more than one?",
            "A value that is used twice gets two gradients, and its node must wait for both. Follow the order in which "
            "the nodes are visited here.",
            "A newer node has a larger node.sequence_nr. Always visit the newest waiting node: then everything that "
            "uses a result has been visited before it.",
            "node = max(waiting, key=lambda node: node.sequence_nr); waiting.remove(node) is enough; a heap is faster.",
        ),
        probes=(*cases.GRAPHS, cases.DEEP),
        program=programs.residual,
        faults=("walk-back-visits-too-early", "walk-back-takes-any-order"),
        script=_program(
            """
            # d/dx of 2 h + h, with h = exp x, is 3 exp x: 8.1548 at 1.
            import minitrain as torch
            from minitrain import print_tape

            x = torch.tensor(1.0, requires_grad=True)
            h = x.exp()
            loss = h * 2 + h
            print_tape(loss)
            walk_back(loss._edge(), np.ones((), np.float32), retain_graph=False)
            print(x.grad)
            """
        ),
    ),
    Exercise(
        name="hunt-bias",
        track=BUGS,
        title="A bias that learns from one sample",
        target="ops.Add.backward",
        bug="add-of-the-first-copy-only",
        minutes=10,
        why="There is no error, and all shapes are right, but the model hardly learns its bias.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it.",
        hints=(
            "gradcheck(Add, [a, b]) passes if both arrays have the same shape. Try other shapes.",
            "b was copied to every row. What is the gradient of a value that was copied?",
            "The gradients of all copies add up, but here only one is used. unbroadcast(grad, shape) adds them up.",
        ),
        probes=(cases.ADD,),
        program=programs.formulas,
        faults=("add-of-the-first-copy-only", "add-without-unbroadcast"),
        script=_program(
            """
            # The bias should become the mean of the data, about [1, -2, 3].
            import minitrain as torch
            from minitrain.tensor import apply

            torch.manual_seed(0)
            data = torch.randn(50, 3) + torch.tensor([1.0, -2.0, 3.0])
            bias = torch.zeros(3, requires_grad=True)
            for step in range(30):
                error = apply(Add, -data, bias)
                (error * error).sum().backward()
                with torch.no_grad():
                    bias -= 0.01 * bias.grad
                bias.grad = None
            print(bias)
            """
        ),
    ),
    Exercise(
        name="hunt-first-step",
        track=BUGS,
        title="An optimizer that starts with a jump",
        target="optim.Adam.update",
        bug="adam-uncorrected",
        given=("__init__",),
        minutes=15,
        why="Adam's first step has the size lr in every coordinate, whatever the gradient is. Here it does not.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it. (amsgrad, maximize and the "
        "decoupled decay are right, and the check does not use them.)",
        hints=(
            "Compute the first step by hand, with g = 1: exp_avg is 1 - beta1, and exp_avg_sq is 1 - beta2. How large "
            "is the step?",
            "check_optimizer(Adam, 'adam') in minitrain.diagnosis.optimcheck compares it with the formula and reports "
            "the difference.",
            "Compare the code with the docstring, line by line. Which two lines of the formula are missing?",
            "bias_correction1 = 1 - beta1 ** step.item(), and the same for beta2.",
        ),
        probes=(cases.ADAM,),
        program=functools.partial(programs.classify, "Adam", lr=0.01),
        faults=("adam-uncorrected", "adam-second-average-uncorrected"),
        script=_program(
            """
            # Every step should have the size 0.1, because the gradient is always the same.
            import minitrain as torch

            x = torch.zeros(1, requires_grad=True)
            optimizer = Adam([x], lr=0.1)
            for step in range(5):
                before = x.item()
                (3 * x).sum().backward()
                optimizer.step()
                optimizer.zero_grad()
                print(f"step {step}: {x.item() - before:.4f}")
            """
        ),
    ),
    Exercise(
        name="hunt-memory",
        track=BUGS,
        title="Some gradients are never cleared",
        target="optim.Optimizer.zero_grad",
        bug="zero-grad-returns-too-early",
        given=(),
        minutes=10,
        why="The weight learns well. The bias moves faster and faster, past every good value and back.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it.",
        hints=(
            "Print .grad of each parameter after zero_grad().",
            "Which parameters do the loops reach, and which do they miss?",
            "Look at how far each line is indented.",
        ),
        probes=(cases.ZERO_GRAD,),
        program=functools.partial(programs.classify, lr=0.2),
        faults=("zero-grad-returns-too-early",),
        script=_program(
            """
            # Both should be None after zero_grad.
            import minitrain as torch
            from minitrain import nn

            torch.manual_seed(0)
            model = nn.Linear(3, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for step in range(3):
                model(torch.ones(4, 3)).mean().backward()
                optimizer.step()
                Optimizer.zero_grad(optimizer)
                print(f"step {step}: weight.grad {model.weight.grad}, bias.grad {model.bias.grad}")
            """
        ),
    ),
    Exercise(
        name="hunt-nan",
        track=BUGS,
        title="Where does the nan come from?",
        target="ops.Pow.backward",
        bug="pow-of-zero",
        minutes=15,
        why="A curve x^b, whose exponent is learned. It works until one of the data points is at 0.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it.",
        hints=(
            "The program uses detect_anomaly(), which names the operation that produced the first nan, and its inputs.",
            "0^b is 0 for every b above 0. How much does it change when b changes? And what does the code multiply?",
            "0 · ln 0 is 0 · -inf, which is nan. The docstring says that the derivative is 0 there. np.where can "
            "choose.",
            "flat = np.logical_and(np.equal(a, 0), b >= 0). Then use np.where(flat, 0, y * np.log(a)) instead of "
            "y * ln a.",
        ),
        probes=(cases.POW,),
        program=programs.powers,
        faults=("pow-of-zero",),
        script=_program(
            """
            # The exponent should become about 2.
            import minitrain as torch
            from minitrain.autograd import detect_anomaly
            from minitrain.tensor import apply

            x = torch.tensor([0.0, 0.5, 1.0, 1.5])
            target, exponent = x * x, torch.tensor(1.0, requires_grad=True)
            with detect_anomaly():
                for step in range(30):
                    error = apply(Pow, x, exponent) - target
                    (error * error).sum().backward()
                    with torch.no_grad():
                        exponent -= 0.2 * exponent.grad
                    exponent.grad = None
            print(exponent)
            """
        ),
    ),
)

EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for track in (_FORWARD, _BACKWARD, _TAPE, _NUMERIC, _OPTIMIZERS, _TRAINING, _BUGS)
    for exercise in track
}
