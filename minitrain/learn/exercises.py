"""The exercises, in teaching order: one table. Adding one is adding an entry; the README of this folder says how."""

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
    """A piece of the library to be written.

    name: with dashes; the learner's file is called so. track: which exercises it belongs to. title: a few words.
    target: the piece, as "ops.ReLU.backward". minutes: about how long it takes.
    why: what it is good for, in a sentence or two. task: what is to be written; what the check asks for beyond the
        docstring, and what it does not ask for.
    hints: from a nudge to nearly the answer.
    probes: what the check computes with the piece, see measurements.py and check_inputs.py.
    program: the training run that the check ends with.
    faults: wrong solutions, each a mistake of the target in the catalogue, by its name. Each must fail.
    given: the other methods of the class that are shown; None: all.
    gap: how the first and the last statement begin that are the learner's, where that is not the whole body.
    bug: the mistake of the catalogue that the learner's file contains and has to lose; "": the body is taken out.
    script: what to run when the file itself is run.
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
        """Where in the library's source it is."""
        return find_piece(PACKAGE, self.target)

    def stub(self) -> str:
        """The learner's file as it is at first."""
        if self.bug:
            return self.wrong(self.bug)
        return self.with_body(f'raise NotImplementedError("write this part of {self.piece.name}")')

    def solution(self) -> str:
        """The same file with the library's body."""
        return self.with_body(body_of(self.piece, self.gap))

    def wrong(self, mistake: str) -> str:
        """The same file with a mistake of the catalogue in it."""
        return self.with_body(CATALOGUE[mistake].body, whole=True)

    def with_body(self, body: str, *, whole: bool = False) -> str:
        """The same file with another body; whole: in place of all of it, also where only a part is the learner's."""
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
        """What comes out of the probes."""
        with np.errstate(all="ignore"):
            return {label: array for probe in self.probes for label, array in probe.arrays()}

    @functools.cached_property
    def expected(self) -> dict[str, Array]:
        """What comes out with the library's piece."""
        return self.arrays()

    @functools.cached_property
    def expected_losses(self) -> programs.Losses:
        """What the training run gives with the library's piece."""
        return self.program()

    def run(self, stage: str) -> tuple[dict[str, Any], bytes]:
        """What a child process answers: of a learner's piece to "values" and "training"; without one, to "torch"."""
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
    """The arrays in NumPy's own format, without their names."""
    file = io.BytesIO()
    np.savez(file, *arrays.values())
    return file.getvalue()


def unpacked(labels: Sequence[str], data: bytes) -> dict[str, Array]:
    """What packed() has packed, with the names."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {label: arrays[f"arr_{i}"] for i, label in enumerate(labels)}


# --- the table --------------------------------------------------------------------------------------------------------

FORWARD, BACKWARD, TAPE = "Forward passes", "Backward passes", "The tape"
NUMERIC, OPTIMIZERS, TRAINING, BUGS = "Numeric gradients", "Optimizers", "Training", "Find the bug"

SAVED = (
    "What forward saves is what backward will find: backward is given below, and shows what it takes from ctx. Arrays "
    "are saved with ctx.save_for_backward, anything else as an attribute of ctx."
)
NEEDS = (
    "ctx.needs_input_grad says which inputs ask for a gradient. For the others return None; what only they need, "
    "forward has not saved."
)

_FORWARD = (
    Exercise(
        name="relu-forward",
        track=FORWARD,
        title="The ramp that lets a network bend",
        target="ops.ReLU.forward",
        minutes=5,
        why="Without something between two layers that is not linear, they are one layer. max(x, 0) is the cheapest.",
        task="Compute y from x, an array of any shape, and save y for backward. Do not write into x.",
        hints=(
            "NumPy has a function for the larger of two values, element by element, and a number counts as an array.",
            "np.maximum(x, 0) is y. backward below finds one array in ctx.saved_arrays; which one does it want?",
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
        why="Nearly all the numbers in a network, and nearly all the time it takes, are in this one product.",
        task="Compute y and save what backward needs, and only that: x if the weight asks for a gradient, the weight "
        "if x does, else None for it. backward also wants x's shape in ctx.shape. There may be no bias (None), and x "
        "may have more axes than two: _rows(x) is a matrix with a row for each sample.",
        hints=(
            "The weight is (out, in), so that row i belongs to output i. Which way round must it stand in x @ ... ?",
            "weight.T has the shape (in, out): _rows(x) @ weight.T is (N, out), and the bias (out,) is added to each "
            "row by broadcasting.",
            "needs_x, needs_weight, _ = ctx.needs_input_grad; "
            "ctx.save_for_backward(x if needs_weight else None, weight if needs_x else None); ctx.shape = x.shape",
            "Give y the axes of x back at the end: y.reshape(*x.shape[:-1], weight.shape[0]).",
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
        why="exp(1000) is infinite, and inf / inf is nan: the formula as it stands in books breaks on the first large "
        "score.",
        task="Compute y = exp x / Σ exp x along the axis dim, for x of any size, and save what backward takes.",
        hints=(
            "Softmax does not change when the same number is subtracted from every x along dim. Which number makes "
            "overflow impossible?",
            "Subtract the maximum along dim: the largest exponent is then 0. keepdims=True keeps the axis, so that "
            "the maximum can be subtracted.",
            "exp = np.exp(x - x.max(axis=dim, keepdims=True)); y = exp / exp.sum(axis=dim, keepdims=True)",
            "backward takes y from ctx.saved_arrays, and ctx.dim.",
        ),
        probes=(cases.SOFTMAX,),
        program=programs.gated,
        faults=("softmax-overflows", "softmax-sums-over-the-last-axis"),
    ),
    Exercise(
        name="log-softmax-forward",
        track=FORWARD,
        title="The logarithm of probabilities, which need not exist",
        target="ops.LogSoftmax.forward",
        minutes=10,
        why="A probability of 1e-400 is 0 in any float, and its logarithm -inf. Its logarithm itself, -921, is a plain "
        "number: it only must not be computed by way of the probability.",
        task="Compute y = x - ln Σ exp x along the axis dim, for x of any size, and save what backward takes.",
        hints=(
            "As for softmax: subtract the maximum first. Does y change by that?",
            "With shifted = x - max, y = shifted - ln Σ exp(shifted). Nothing there can overflow, and the sum is at "
            "least 1.",
            "y = shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True)); backward takes y, and ctx.dim.",
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
        why="The mean is over all elements, not over the rows: that is torch's choice, and a factor in every gradient.",
        task="x and target have one shape. Return the squared differences (reduction none), their sum (sum), or their "
        "mean over all elements (mean). Keep the dtype: of float32 the result is float32.",
        hints=(
            "One difference serves all three; backward wants it, and the reduction.",
            "np.square(difference), and then .sum() or .mean() as ctx.reduction says.",
            "ctx.reduction = reduction; ctx.save_for_backward(difference), and three returns.",
        ),
        probes=(cases.MSE,),
        program=programs.regress,
        faults=("mse-of-absolute-values", "mse-divided-by-the-rows"),
    ),
    Exercise(
        name="nll-forward",
        track=FORWARD,
        title="The loss of a classifier: what it thought of the truth",
        target="ops.NLLLoss.forward",
        minutes=10,
        why="Of all the log-probabilities in a row, the loss looks at one: that of the right class.",
        task="kept (K,) has the numbers of the rows that count, labels (K,) their classes. Three lines are missing: w, "
        "the weights of these rows (K,), or 1 without class weights (weight is None); total, the sum of their weights, "
        "by which the mean divides; and losses, what each of them loses (K,).",
        hints=(
            "rows[kept, labels] takes one element from each row that counts: the one that its label names.",
            "The loss of a row is -w times that element.",
            "weight[labels] is the weight of each label's class. Without weights every row counts 1, and total is how "
            "many there are.",
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
        why="backward is handed dL/dy, how the loss changes with each y, and says how it changes with each x. That is "
        "the whole chain rule, one link at a time.",
        task="Return dL/dx. grad_y belongs to others, too: make a new array, do not write into it.",
        hints=(
            "If x grows by a little, what does y = -x do? And the loss, which changes by dL/dy for each unit of y?",
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
        why="The derivative of exp is exp, and forward has computed it already. Saving a result is cheaper than "
        "computing it again; so does the library wherever it can.",
        task="Return dL/dx. forward, below, has saved something for you.",
        hints=(
            "What has forward saved: x or y? ctx.saved_arrays is a tuple, also if there is one array in it.",
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
        why="Where x was below 0, y does not move with it, and the gradient ends there. A network in which that is so "
        "everywhere has stopped learning.",
        task="Return dL/dx. At 0 itself the derivative is a matter of choice, and torch's choice is 0.",
        hints=(
            "forward has saved y, not x. Does y tell where x was above 0?",
            "y > 0 exactly where x > 0. There dL/dx = dL/dy, elsewhere 0.",
            "grad_y * (y > 0) is right. (The library's zeroed(grad_y, y <= 0) does the same, faster.)",
        ),
        probes=(cases.RELU,),
        program=programs.classify,
        faults=("relu-mask-inverted", "relu-passes-at-zero", "relu-mask-of-the-gradient"),
    ),
    Exercise(
        name="flatten-backward",
        track=BACKWARD,
        title="Nothing computed, and still a gradient",
        target="ops.Flatten.backward",
        minutes=5,
        why="An operation that only moves numbers to other places sends each gradient back to where its number came "
        "from.",
        task="Return dL/dx, which has x's shape.",
        hints=(
            "Which of y's elements was x[i, j, k]? Nothing has changed but the shape.",
            "forward has left x's shape in ctx.shape.",
            "grad_y.reshape(...) takes a shape.",
        ),
        probes=(cases.FLATTEN,),
        program=programs.by_rows,
        faults=("flatten-in-fortran-order", "flatten-not-undone"),
    ),
    Exercise(
        name="sum-backward",
        track=BACKWARD,
        title="Every term of a sum counts the same",
        target="ops.Sum.backward",
        minutes=10,
        why="The opposite of adding up is handing out: broadcasting, backwards. The two are each other's gradient.",
        task="Return dL/dx in x's shape, ctx.shape. dim is a tuple of axes; without keepdim they are gone from grad_y.",
        hints=(
            "y grows by 1 when any of its x does. So each x gets the dL/dy of the sum that it is in.",
            "Bring the lost axes back at size 1 first: np.expand_dims takes a tuple of axes. _expanded(grad_y, ctx) "
            "does it where keepdim has not.",
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
        why="A gradient that is n times too large still points the right way. The loss falls at first, and the "
        "learning rate seems to be wrong.",
        task="Return dL/dx in x's shape, ctx.shape. ctx.n is how many values each mean is of.",
        hints=(
            "As for the sum, but each x counts 1/n.",
            "Is n the number of all elements of x, or of those along dim? forward has computed the right one.",
            "np.broadcast_to(_expanded(grad_y / ctx.n, ctx), ctx.shape)",
        ),
        probes=(cases.MEAN,),
        program=programs.formulas,
        faults=("mean-as-if-a-sum", "mean-of-all-entries", "mean-multiplies"),
    ),
    Exercise(
        name="unbroadcast",
        track=BACKWARD,
        title="What broadcasting has copied, backward adds up",
        target="ops.unbroadcast",
        minutes=15,
        why="A bias is one row that is added to each sample of a batch. Every sample has an opinion on it, and its "
        "gradient is their sum. All arithmetic in the library goes through this function.",
        task="grad has the shape that broadcasting made; return it in the operand's shape. The operand may have had "
        "fewer axes (the missing ones are in front), and axes of size 1 where grad has more.",
        hints=(
            "NumPy lines shapes up at the right: (4,) against (3, 4) counts as (1, 4). Along which axes of grad was "
            "the operand repeated?",
            "Two kinds of axes: the first grad.ndim - len(shape) ones, and those where shape has 1. Sum over both.",
            "added = grad.ndim - len(shape); the axes are range(added) and added + i for each i with shape[i] == 1.",
            "grad.sum(axis=(...), keepdims=True).reshape(shape): the reshape takes the added axes away.",
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
        title="One gradient, two receivers",
        target="ops.Add.backward",
        minutes=5,
        why="A sum sends dL/dy unchanged to both of its operands. That is why gradients flow so well through x + f(x).",
        task=f"Return dL/da and dL/db, each in its operand's shape, which may have been broadcast. {NEEDS}",
        hints=(
            "dy/da = 1 and dy/db = 1.",
            "The shapes: ctx.shapes holds them, and unbroadcast(grad, shape) adds up what broadcasting copied.",
            "shape_a, shape_b = ctx.shapes; needs_a, needs_b = ctx.needs_input_grad",
            "unbroadcast(grad_y, shape_a) if needs_a else None, and the same for b; return a tuple of two.",
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
        why="The product is where gradients vanish and explode: what is multiplied by a small number comes back small.",
        task=f"Return dL/da and dL/db, each in its operand's shape, which may have been broadcast. {NEEDS}",
        hints=(
            "If a grows by a little, y grows by that times b.",
            "a, b = ctx.saved_arrays; but look at forward: a is None unless b asks for a gradient, since only b's "
            "needs it.",
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
        title="Back to where it was taken from, twice if need be",
        target="ops.Index.backward",
        minutes=10,
        why="An embedding is x[index], and a word that a sentence has twice gets two gradients. `+=` on an indexed "
        "array keeps one of them, silently.",
        task="Return dL/dx: zero where nothing was taken, dL/dy where something was; added up where index, ctx.index, "
        "names a place more than once.",
        hints=(
            "Begin with zeros of x's shape (ctx.shape) and grad_y's dtype, and put grad_y where y was taken from.",
            "grad_x[index] += grad_y reads all, adds, and writes all: of two additions to one place the last one wins.",
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
        why="It is why training costs three times as much as computing: for one product forward, two backward.",
        task="Return dL/da and dL/db. a is (..., N, K) and b (..., K, M); the axes in front may have been broadcast. "
        f"(Vectors, which the library takes, too, are not asked for.) {NEEDS}",
        hints=(
            "Begin with two matrices: grad_y is (N, M), and dL/da must be (N, K). Which product of grad_y and b has "
            "that shape?",
            "dL/da = grad_y @ bᵀ, dL/db = aᵀ @ grad_y. Of a stack of matrices transpose the last two axes only: .T "
            "would turn around all.",
            "np.swapaxes(b, -1, -2) transposes each matrix of a stack.",
            "Where one matrix served a whole stack, its gradient is the sum: unbroadcast(..., shape_b), with shape_a, "
            "shape_b = ctx.shapes.",
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
        why="This is what goes on to the layers before: without it only the last layer learns.",
        task="Set grad_x, dL/dx, in x's shape, ctx.shape. grad_rows is dL/dy as a matrix (N, out), weight is (out, "
        "in).",
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
        why="Each weight sits between one input and one output, and its gradient is what came in times what comes "
        "back, added up over the batch.",
        task="Set grad_weight, dL/dW, in the weight's shape (out, in). grad_rows is dL/dy as a matrix (N, out), and "
        "_rows(x) is x as a matrix (N, in).",
        hints=(
            "The sum over the N samples is in the matrix product already, if N is the axis that disappears.",
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
        why="Every sample of the batch was given the same bias, so every sample has a say in its gradient.",
        task="Set grad_bias, dL/db, in the bias's shape (out,). grad_rows is dL/dy as a matrix (N, out).",
        hints=(
            "The bias was broadcast: one row, added to N rows. What does backward do with copies?",
            "Add up over the batch, which is axis 0.",
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
        why="Training begins to go backward here: the gradient says how far off, and in which direction.",
        task="Return dL/dx and dL/dtarget. grad_y is 0-d for the mean and the sum, and has x's shape for none. "
        f"{NEEDS}",
        hints=(
            "The derivative of (x - t)² by x is 2 (x - t), and by t the same with the other sign.",
            "The mean is over all elements: 1/n with n = difference.size. Not over the rows.",
            "scale = 2 / difference.size if ctx.reduction == 'mean' else 2; dL/dx = scale * difference * grad_y",
        ),
        probes=(cases.MSE,),
        program=programs.regress,
        faults=("mse-two-forgotten", "mse-target-sign"),
    ),
    Exercise(
        name="softmax-backward",
        track=BACKWARD,
        title="Where every input moves every output",
        target="ops.Softmax.backward",
        minutes=15,
        why="The first derivative here that is a matrix: one probability can only grow if the others shrink. The "
        "off-diagonal part of it is what is forgotten.",
        task="Return dL/dx. forward has saved y, and the axis in ctx.dim.",
        hints=(
            "dy_i/dx_j = y_i · (1 if i = j, else 0) - y_i · y_j. Sum over i of dL/dy_i times that.",
            "The first part gives y_j · dL/dy_j. The second gives y_j times a number for each row: which sum is it?",
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
        why="With the loss that follows it this becomes p - 1 for the right class and p for the others: the most "
        "famous gradient there is.",
        task="Return dL/dx. forward has saved y, the log-probabilities, and the axis in ctx.dim.",
        hints=(
            "y_i = x_i - ln Σ exp x. x_j is in y_j directly, and in every y_i of its row through the logarithm.",
            "The derivative of ln Σ exp x by x_j is exp x_j / Σ exp x, the probability: exp y_j.",
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
        why="The loss looked at one number in each row, so one number in each row gets a gradient.",
        task="Return (dL/dx, None, None): the labels and the class weights have none. x is (N, C). forward has saved "
        "kept (K,), the numbers of the rows that count; labels (K,), their classes; w, their weights (K,), or 1 for "
        "all; and total, the sum of these, by which the mean divides. ctx.reduction says what y is; ctx.shape is x's.",
        hints=(
            "Begin with zeros of ctx.shape: a row that does not count, and a class that was not looked at, get 0.",
            "grad_x[kept, labels] is the one place in each row that counts: -w times dL/dy of that row.",
            "grad_y is 0-d for the mean and the sum, and the mean's is to be divided by total. It is (N,) for none: "
            "grad_y[kept] has the rows that count.",
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
        title="Why a gradient is added, not set",
        target="tensor.Tensor.receive_grad",
        given=(),
        minutes=10,
        why="The second backward adds to what the first one left: so a large batch can be made of small ones, and so "
        "zero_grad is needed.",
        task="self._grad is a Tensor, or None before the first gradient. Keep an array of your own: a grad that is not "
        "owned may be somebody else's, too, and must be copied; copying always is right. (The library keeps the memory "
        "order of self.array, and counts the change with increment_version; that is not asked for.)",
        hints=(
            "Two cases: there is a gradient already, or there is none.",
            "If there is one, add to its array: self._grad.array += grad.",
            "If there is none, make one of a copy: self._grad = Tensor(grad.copy()).",
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
        why="In x · x, and in every residual network, two gradients arrive at one value. Forgetting one of them is the "
        "most common mistake of all.",
        task="pending holds, for each edge, the gradient that has arrived there so far. If there is one, add "
        "input_grad to it and go on with the next input. Do not write into what is there: it may be another's as "
        "well, or be read-only. (owned may be left as it is.)",
        hints=(
            "The lines that follow set pending[edge] for the first arrival, and put the edge in line. That must not "
            "happen a second time: continue.",
            "pending[edge] += input_grad writes into an array that Add may have sent to both of its operands.",
            "if edge in pending: pending[edge] = pending[edge] + input_grad; owned[edge] = True; continue",
        ),
        probes=cases.GRAPHS,
        program=programs.residual,
        faults=("walk-back-overwrites", "walk-back-adds-in-place"),
    ),
    Exercise(
        name="walk-back",
        track=TAPE,
        title="The walk itself: newest first",
        target="tape.walk_back",
        minutes=30,
        why="This is what backward() is: thirty lines that no training does without. The order makes it right: a node "
        "may only go on when all that used its result have sent their part.",
        task="root is a Node, or a leaf's AccumulateGrad. node.input_gradients(grad) gives the gradients of a Node's "
        "inputs in order; node.next_functions, pairs of which the first is where each goes: a Node, an AccumulateGrad "
        "or None. node.sequence_nr grows with every operation. At the end each leaf gets its sum: "
        "leaf.variable.receive_grad(grad, owned=False). Unless retain_graph, call node.free() after a Node's use. "
        "(Anomaly detection and retain_grad are not asked for.) A graph may be thousands of operations deep.",
        hints=(
            "Keep a dictionary of what has arrived where, {root: grad} at first, and a collection of the Nodes that "
            "wait.",
            "Take the Node with the largest sequence_nr: all that use its result are newer, and so have been visited. "
            "A heap of (-sequence_nr, node) gives it; max() over the waiting ones does, too.",
            "Take its gradient out of the dictionary, get the inputs' gradients, and add each to what is there for its "
            "edge (pending[edge] + g, a new array), or set it. A Node that arrives for the first time begins to wait.",
            "When no Node waits, what is left in the dictionary are the leaves: receive_grad for each.",
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
        why="backward adds to .grad. Who does not forget the last batch's gradient steps along the sum of all so far.",
        task="Go through all groups (self.param_groups) and their parameters (group['params']). None by default; with "
        "set_to_none=False the gradient stays and becomes 0, in its own memory. A .grad that is None stays None.",
        hints=(
            "Two loops: for group in self.param_groups, for param in group['params'].",
            "`grad = param.grad` and then `grad = None` changes a name in your function, and nothing else.",
            "param.grad = None; or param.grad.zero_(), if there is one.",
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
        target="diagnosis.gradcheck._Measured.around",
        given=("value", "step"),
        minutes=10,
        why="What a derivative says can be tried out: move a number a little, and see what the results do. That is "
        "what every gradient in these exercises is held against.",
        task="flat[j] is the number (or the numbers) to move. Return self.value() with it moved up by step, "
        "self.value() with it moved down, and the distance between the two, as it was rounded: what flat[j] was "
        "above, minus what it was below. Then put back what was there, also if value() raises.",
        hints=(
            "before = flat[j] keeps what was there. flat[j] = before + step; then up = self.value().",
            "The distance is not 2 · step: before + step has been rounded. Read flat[j] after each move.",
            "try: ... finally: flat[j] = before puts it back whatever happens.",
        ),
        probes=(cases.AROUND, cases.MEASURED),
        program=programs.by_differences,
        faults=("around-moves-one-way", "around-does-not-restore", "around-distance-doubled"),
    ),
    Exercise(
        name="central-differences",
        track=NUMERIC,
        title="The whole Jacobian, entry by entry",
        target="diagnosis.gradcheck._Measured.jacobian",
        given=("value", "step", "around"),
        minutes=10,
        why="With n numbers it takes 2 n runs of the function; backward takes one. That is why backpropagation was "
        "worth inventing, and differences are left for checking.",
        task="Return dy/dx, (x.size, y.size): row j is what all the results do when entry j of array is moved. "
        "self.around(array.flat, j, step) moves it and looks; self.step(x) says how far to move a number x.",
        hints=(
            "One row for each j in range(array.size).",
            "up, down, distance = self.around(array.flat, j, self.step(float(array.flat[j])))",
            "The row is (up - down) / distance. self.value().size is the number of results.",
        ),
        probes=(cases.MEASURED,),
        program=programs.by_differences,
        faults=("jacobian-one-sided-distance", "jacobian-sign"),
    ),
)

_STATE = (
    "What is remembered from step to step stands in state, under torch's names, as a Tensor in the parameter's shape: "
    "_buffer(state, name, param) gives its array, zeros at first. Write into it."
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
        why="All of training is this line, repeated. The others only choose the step more cleverly.",
        task=f"Asked for are lr and weight_decay, from options; not momentum, nesterov and maximize. {_IN_PLACE}",
        hints=(
            "param -= lr * grad, with lr = options['lr'].",
            "`param = param - ...` makes a new array and leaves the model as it was; `param -= ...` writes into it.",
            "Weight decay comes into the gradient first: grad = grad + options['weight_decay'] * param. Not +=, which "
            "would write into the model's gradient.",
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
        why="Steps that point the same way add up, and steps that swing back and forth cancel: along a narrow valley "
        "that is the way forward.",
        task=f"Asked for are lr, weight_decay, momentum and dampening; without momentum it is plain SGD. {_STATE} The "
        f"name is momentum_buffer. {_IN_PLACE}",
        hints=(
            "buf = momentum · buf + g. In the first step, when there is no buffer yet, buf = g: undampened.",
            'first = "momentum_buffer" not in state, asked before _buffer makes it.',
            "buf = momentum * buf + grad makes a new array, and nothing is remembered; buf *= momentum and buf += grad "
            "write into the one in state.",
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
        why="If the ball will roll on anyway, the gradient is better taken where it will be. In these variables that "
        "is one more term.",
        task=f"Asked for are lr, momentum and nesterov. {_STATE} The name is momentum_buffer. {_IN_PLACE}",
        hints=(
            "The buffer is that of plain momentum; what differs is the step that is made of it.",
            "With nesterov the step is lr · (g + momentum · buf), with the new buf; without it, lr · buf.",
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
        why="A weight whose gradients are large takes small steps, and one whose gradients are small takes large ones.",
        task=f"Asked for are lr, alpha, eps and weight_decay; not momentum, centered and maximize. {_STATE} The name "
        f"is square_avg; state['step'] counts the steps, as torch does: _buffer(state, 'step', STEP_0). {_IN_PLACE}",
        hints=(
            "step = _buffer(state, 'step', STEP_0), and step += 1 writes into it.",
            "square_avg *= alpha; square_avg += (1 - alpha) * grad * grad",
            "eps comes after the root: avg = np.sqrt(square_avg) + eps. param -= lr * grad / avg",
        ),
        probes=(cases.RMSPROP,),
        program=functools.partial(programs.classify, "RMSprop", lr=0.01),
        faults=("rmsprop-eps-inside-the-root", "rmsprop-square-forgotten", "rmsprop-step-not-counted"),
    ),
    Exercise(
        name="rmsprop-variants",
        track=OPTIMIZERS,
        title="Variance instead of square, and momentum on top",
        target="optim.RMSprop.update",
        given=(),
        minutes=15,
        why="Centered, the step is divided by how much the gradient varies, not by how large it is: a gradient that is "
        "always the same is followed boldly.",
        task=f"Asked for are lr, alpha, eps, momentum and centered. {_STATE} The names are square_avg, grad_avg (if "
        f"centered), momentum_buffer (if there is momentum), and step, which counts. {_IN_PLACE}",
        hints=(
            "Begin with your rmsprop. grad_avg is averaged as square_avg is, of the gradient itself.",
            "centered: avg = np.sqrt(square_avg - grad_avg * grad_avg) + eps",
            "momentum_buffer = momentum · momentum_buffer + grad / avg, without lr in it; param -= lr * "
            "momentum_buffer",
        ),
        probes=(cases.RMSPROP_MORE,),
        program=functools.partial(programs.classify, "RMSprop", lr=0.005, momentum=0.5, centered=True),
        faults=("rmsprop-adds-the-squared-mean", "rmsprop-momentum-unused"),
    ),
    Exercise(
        name="adam",
        track=OPTIMIZERS,
        title="Two averages that start at nothing",
        target="optim.Adam.update",
        given=(),
        minutes=20,
        why="RMSprop with momentum, and a correction for the averages having started at 0. Without it the first steps "
        "are several times too large.",
        task="Asked for are lr, betas, eps and weight_decay; not amsgrad, maximize and decoupled_weight_decay. "
        f"{_STATE} The names are exp_avg, exp_avg_sq, and step, which counts: _buffer(state, 'step', STEP_0). "
        f"{_IN_PLACE}",
        hints=(
            "step = _buffer(state, 'step', STEP_0); step += 1 writes into it, and step.item() is the number. Count "
            "first: 1 - beta^0 is 0.",
            "exp_avg is averaged with beta1, of g; exp_avg_sq with beta2, of g².",
            "denom = np.sqrt(exp_avg_sq) / math.sqrt(1 - beta2 ** step.item()) + eps: eps after the correction.",
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
        title="A weight decay that means what it says",
        target="optim.Adam.update",
        given=(),
        minutes=10,
        why="In Adam, decay that goes into the gradient is divided by the root like the rest, so that it hardly decays "
        "what has large gradients. AdamW shrinks the parameter itself.",
        task="The same function serves Adam and AdamW; options['decoupled_weight_decay'] is True here. Asked for are "
        f"lr, betas, eps and weight_decay. {_STATE} The names are exp_avg, exp_avg_sq and step. {_IN_PLACE}",
        hints=(
            "Begin with your adam. What changes is one line, and where the decay goes.",
            "Before the averages: param *= 1 - lr * weight_decay. The gradient stays as it is.",
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
        why="Every training program has these three lines. Two of them the wrong way round, and it trains, a little "
        "worse, and nobody knows why.",
        task="Send the loss back, take the step, forget the gradients.",
        hints=(
            "The loss is a Tensor, and knows how it was made.",
            "The optimizer has a method that updates all parameters, and one that forgets all gradients.",
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
        why="The tutorial's loop, and everybody's: the same one drives minitrain's objects and torch's.",
        task="For each batch: predict, compute the loss, tell the observer (before_update(batch, X, y, loss)), send "
        "the loss back, step, forget the gradients, tell the observer (after_update(batch, loss, current, size), "
        "where current is how many samples of the pass have been seen, and size how many there are). The model must "
        "be in training mode.",
        hints=(
            "model.train() first. for batch, (X, y) in enumerate(dataloader, start=first_batch):",
            "pred = model(X); loss = loss_fn(pred, y): the prediction first, the truth second.",
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
        why="The number that counts is measured on what the model has never seen, in evaluation mode.",
        task="Return the accuracy (the share of right answers, from 0 to 1) and the mean of the batches' losses, as "
        "numbers, and tell them to observer.after_test. The model's answer is the class with the largest score.",
        hints=(
            "model.eval() first. The loss is summed over the batches and divided by their number, the right answers by "
            "the number of samples.",
            "pred.argmax(1) are the answers; (pred.argmax(1) == y).sum().item() is how many are right.",
            "accuracy, test_loss = correct / len(dataloader.dataset), test_loss / len(dataloader)",
        ),
        probes=(cases.TEST_LOOP,),
        program=programs.tested,
        faults=("test-loop-takes-the-worst-class", "test-loop-averages-over-samples", "test-loop-in-training-mode"),
    ),
    Exercise(
        name="xavier",
        track=TRAINING,
        title="How large should a weight be at first?",
        target="nn.init.xavier_uniform_",
        minutes=10,
        why="Too large, and the signal grows with every layer; too small, and it dies out. With this bound its size "
        "stays, forward and backward, as well as one number can do both.",
        task="Fill the Tensor evenly within ±gain · √(6 / (fan_in + fan_out)), in place, with the generator's numbers, "
        "and return it. _fans(tensor) gives both.",
        hints=(
            "fan_in, fan_out = _fans(tensor): how many inputs feed one output, and the other way round.",
            "The variance of numbers that lie evenly in ±bound is bound² / 3; hence the 6 where one would expect a 2.",
            "return uniform_(tensor, -bound, bound, generator)",
        ),
        probes=(cases.XAVIER_UNIFORM,),
        program=functools.partial(programs.classify, initialise=init.xavier_uniform_),
        faults=("xavier-without-gain", "xavier-of-fan-in-only", "xavier-positive"),
    ),
    Exercise(
        name="kaiming",
        track=TRAINING,
        title="The same, with a ReLU after it",
        target="nn.init.kaiming_uniform_",
        minutes=10,
        why="A ReLU throws half of the signal away, so the weights before it must be larger by √2. (torch's own Linear "
        "uses this one with a = √5, which undoes it.)",
        task="Fill the Tensor evenly within ±gain · √(3 / fan), in place, with the generator's numbers, and return it. "
        "fan is the first of _fans(tensor) for the mode fan_in, the second for fan_out; the gain is that of the "
        "nonlinearity, with a. A Tensor without elements stays as it is.",
        hints=(
            "calculate_gain(nonlinearity, a) is the gain.",
            "_kaiming_std(tensor, a, mode, nonlinearity) is gain / √fan already. What is missing for evenly drawn "
            "numbers?",
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
        title="What a new layer knows",
        target="nn.layers.Linear.reset_parameters",
        given=("__init__",),
        minutes=10,
        why="The same seed gives the same network, here and in torch, because both draw the same numbers in the same "
        "order: the weight first, then the bias.",
        task="Draw self.weight and self.bias evenly from ±1/√in_features, in place. There may be no bias (None), and "
        "in_features may be 0.",
        hints=(
            "init.kaiming_uniform_(self.weight, a=...) with a = √5 has the bound 1/√in_features, as its gain is "
            "√(1/3). torch writes it so; init.uniform_ does it, too.",
            "init.uniform_(self.bias, -bound, bound), after the weight, if there is a bias.",
            "bound = 1 / math.sqrt(self.in_features) if self.in_features else 0",
        ),
        probes=(cases.RESET_PARAMETERS,),
        program=programs.classify,
        faults=("linear-bias-drawn-positive", "linear-weight-drawn-too-wide", "linear-bias-drawn-too-narrow"),
    ),
)

_REPAIR = "This piece is complete, and one thing in it is wrong; the formula in its docstring is right. "


def _program(text: str) -> str:
    """What a file does when it is run: `python FILE`."""
    return 'if __name__ == "__main__":\n' + textwrap.indent(textwrap.dedent(text).strip(), "    ")


_BUGS = (
    Exercise(
        name="hunt-words",
        track=BUGS,
        title="The word that is only half learned",
        target="ops.Index.backward",
        bug="index-overwrites",
        minutes=10,
        why="Three words are looked up in a table, and one of them occurs twice. It should learn twice as much as the "
        "others from it, and does not.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it.",
        hints=(
            "gradcheck(Index, [x], options={'index': ...}) with other indices: with which of them is it right?",
            "It is wrong only where an index names a row twice. What does += do then, with an array of places?",
            "It reads all the places, adds, and writes all of them back: the second addition to a place overwrites the "
            "first. np.add.at adds one after another.",
        ),
        probes=(cases.INDEX,),
        program=programs.formulas,
        faults=("index-overwrites",),
        script=_program(
            """
            # Each row's gradient should be the number of times that its word occurs: 2, 1 and 0.
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
        title="A learning rate that should fit, and does not",
        target="ops.MSELoss.backward",
        bug="mse-mean-over-the-rows",
        minutes=10,
        why="A small regression with a learning rate that is known to be right. The loss grows.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it.",
        hints=(
            "gradcheck(MSELoss, [x, target], options={'reduction': 'mean'}) compares with what can be measured. By "
            "which factor is it off?",
            "Try arrays of other shapes. On what does the factor depend: the rows, the columns?",
            "The mean is over all elements. How many does len(difference) count?",
        ),
        probes=(cases.MSE,),
        program=programs.regress,
        faults=("mse-mean-over-the-rows",),
        script=_program(
            """
            # With this rate the loss should shrink in every step.
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
        title="A classifier that forgets how to say no",
        target="ops.LogSoftmax.backward",
        bug="log-softmax-diagonal-only",
        minutes=15,
        why="The scores of all classes grow without end, and the loss stands still.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it.",
        hints=(
            "gradcheck(LogSoftmax, [x], options={'dim': 1}) says what the likely mistake is. Read the whole line.",
            "Each x moves every y of its row, not only its own. Where in the code does another element of the row come "
            "in?",
            "The second term of the formula has a Σ. Along which axis, and with keepdims?",
        ),
        probes=(cases.LOG_SOFTMAX,),
        program=programs.classify,
        faults=("log-softmax-diagonal-only",),
        script=_program(
            """
            # The loss begins at ln 10 = 2.30 and should fall below 1.
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
        why="In a network without shortcuts this walk gives every gradient right. With 2 h + h something is missing.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it.",
        hints=(
            "print_tape(loss) shows which operation sends its gradient to which. To which does more than one send?",
            "A value that is used twice gets two gradients. When both have arrived it may go on, not before. Follow "
            "the order in which the nodes are visited here.",
            "node.sequence_nr tells which is newer. Visit the newest of those that wait, always: then all that use a "
            "result have been visited before it.",
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
        title="A bias that listens to the first sample only",
        target="ops.Add.backward",
        bug="add-of-the-first-copy-only",
        minutes=10,
        why="No error, the right shapes, and a model that hardly learns its bias.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it.",
        hints=(
            "gradcheck(Add, [a, b]) with two arrays of one shape is content. Try other shapes.",
            "b was copied to every row. What does backward owe a value that was copied?",
            "The gradients of all copies add up; here one is taken. unbroadcast(grad, shape) adds them up.",
        ),
        probes=(cases.ADD,),
        program=programs.formulas,
        faults=("add-of-the-first-copy-only", "add-without-unbroadcast"),
        script=_program(
            """
            # The bias should find the mean of the data, about [1, -2, 3].
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
        why="Adam's first step is lr in every direction, whatever the gradient; that is its charm. This one's is not.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it. (amsgrad, maximize and the "
        "decoupled decay are as they should be, and not part of the check.)",
        hints=(
            "Work out the first step by hand, with g = 1: exp_avg is 1 - beta1, exp_avg_sq is 1 - beta2. What is the "
            "step then?",
            "check_optimizer(Adam, 'adam') of minitrain.diagnosis.optimcheck compares with the formula, and says what "
            "differs.",
            "Compare the code with the docstring, line by line. Which two lines of the formula are missing?",
            "bias_correction1 = 1 - beta1 ** step.item(), and the same for 2.",
        ),
        probes=(cases.ADAM,),
        program=functools.partial(programs.classify, "Adam", lr=0.01),
        faults=("adam-uncorrected", "adam-second-average-uncorrected"),
        script=_program(
            """
            # The first step should be 0.1 long, and so should the others: the gradient is always the same.
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
        title="Some of the gradients never die",
        target="optim.Optimizer.zero_grad",
        bug="zero-grad-returns-too-early",
        given=(),
        minutes=10,
        why="The weight learns well. The bias goes faster and faster, past every good value and back.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it.",
        hints=(
            "Print .grad of each parameter after zero_grad().",
            "Which parameters are reached by the loops, and which are not?",
            "Look at how far each line is indented.",
        ),
        probes=(cases.ZERO_GRAD,),
        program=functools.partial(programs.classify, lr=0.2),
        faults=("zero-grad-returns-too-early",),
        script=_program(
            """
            # After zero_grad both should be None.
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
        title="Not a number, and where it comes from",
        target="ops.Pow.backward",
        bug="pow-of-zero",
        minutes=15,
        why="A curve x^b with an exponent that is learned. It works, until a point of the data lies at 0.",
        task=_REPAIR + "Run the file to see what happens, find out why, and repair it.",
        hints=(
            "detect_anomaly() names the operation that has made the first nan, and of what. The program runs under it.",
            "0^b is 0 for every b above 0: how much does it change when b does? And what does the code multiply?",
            "0 · ln 0 is 0 · -inf, which is nan. The derivative is 0 there, as the docstring says; np.where can "
            "choose.",
            "flat = np.logical_and(np.equal(a, 0), b >= 0), and np.where(flat, 0, y * np.log(a)) in y * ln a's place.",
        ),
        probes=(cases.POW,),
        program=programs.powers,
        faults=("pow-of-zero",),
        script=_program(
            """
            # The exponent should come near 2.
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
