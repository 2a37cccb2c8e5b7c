"""The exercises of the track "Backward passes"."""

from __future__ import annotations

import functools

from minitrain.learn import check_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.exercises.exercise import Exercise

NEEDS = (
    "ctx.needs_input_grad says which inputs require a gradient. Return None for the others; forward did not save what "
    "only they would need."
)

exercise = functools.partial(Exercise, track="Backward passes")

EXERCISES = (
    exercise(
        name="neg-backward",
        title="Your first backward pass",
        target="ops.Neg.backward",
        level=1,
        minutes=5,
        why="backward receives dL/dy, how the loss changes with each y. It returns dL/dx, how the loss changes with "
        "each x. That is the whole chain rule, one link at a time.",
        task="Return dL/dx. Other code also uses grad_y: make a new array, do not write into grad_y.",
        notice="The measurements agree: moving one x up moves its own y down by as much, and no other y.",
        hints=(
            "If x grows a little, what does y = -x do? And the loss, which changes by dL/dy for each unit of y?",
            "dL/dx = dL/dy · dy/dx, and dy/dx is -1 for every element.",
            "return -grad_y",
        ),
        program=programs.formulas,
        faults=("neg-sign-forgotten", "neg-without-the-chain-rule"),
    ),
    exercise(
        name="exp-backward",
        title="The function that is its own derivative",
        target="ops.Exp.backward",
        level=1,
        minutes=5,
        builds_on=("neg-backward",),
        why="The derivative of exp is exp, and forward has already computed it. Saving a result is cheaper than "
        "computing it again, so the library does that wherever it can.",
        task="Return dL/dx. forward, below, saved something for you.",
        notice="You needed no exp here: the y that forward saved is already the derivative.",
        hints=(
            "What did forward save: x or y? ctx.saved_arrays is a tuple, even if it holds only one array.",
            "dy/dx = exp x, and that is y.",
            "(y,) = ctx.saved_arrays, and then dL/dy · y.",
        ),
        program=programs.formulas,
        faults=("exp-at-the-output", "exp-without-the-chain-rule", "exp-passes-on"),
    ),
    exercise(
        name="relu-backward",
        title="A gate for gradients",
        target="ops.ReLU.backward",
        level=1,
        minutes=5,
        builds_on=("relu-forward", "neg-backward"),
        why="Where x is below 0, y does not change with x, so the gradient stops there. If that happens everywhere in "
        "a network, it has stopped learning.",
        task="Return dL/dx. The derivative at exactly 0 is a matter of choice; torch uses 0.",
        notice="Wherever x is 0 or below, the gradient is exactly 0, so nothing before it learns from that number.",
        hints=(
            "forward saved y, not x. Does y show where x was above 0?",
            "y > 0 exactly where x > 0. There dL/dx = dL/dy; elsewhere it is 0.",
            "grad_y * (y > 0) is right. (The library's zeroed(grad_y, y <= 0) does the same, faster.)",
        ),
        faults=("relu-mask-inverted", "relu-passes-at-zero", "relu-mask-of-the-gradient"),
    ),
    exercise(
        name="flatten-backward",
        title="Nothing is computed, but there is a gradient",
        target="ops.Flatten.backward",
        level=1,
        minutes=5,
        builds_on=("neg-backward",),
        why="An operation that only moves numbers to other places sends each gradient back to the place that its "
        "number came from.",
        task="Return dL/dx, which has x's shape.",
        notice="Nothing is added or multiplied: dL/dx has the numbers of dL/dy, in x's shape. It lets the layer "
        "before Flatten learn.",
        hints=(
            "Which element of y is x[i, j, k]? Only the shape has changed.",
            "forward saved x's shape in ctx.shape.",
            "grad_y.reshape(...) takes a shape.",
        ),
        program=programs.by_rows,
        faults=("flatten-in-fortran-order", "flatten-not-undone"),
    ),
    exercise(
        name="sum-backward",
        title="Every term of a sum counts equally",
        target="ops.Sum.backward",
        level=1,
        minutes=10,
        builds_on=("neg-backward",),
        why="A sum adds numbers up; its gradient copies one number to all of them. Summing and broadcasting are each "
        "other's gradient.",
        task="Return dL/dx in x's shape, ctx.shape. dim is a tuple of axes. Without keepdim, grad_y no longer has "
        "them.",
        notice="Every number of one sum gets the same gradient, so dL/dx repeats one number along the summed axes.",
        hints=(
            "y grows by 1 when any of its x grows by 1. So each x gets the dL/dy of the sum that it is in.",
            "First restore the lost axes with size 1: np.expand_dims takes a tuple of axes. _expanded(grad_y, ctx) "
            "does that if keepdim is False.",
            "np.broadcast_to repeats along axes of size 1.",
            "np.broadcast_to(_expanded(grad_y, ctx), ctx.shape)",
        ),
        program=programs.formulas,
        faults=("sum-without-the-chain-rule", "sum-as-if-a-mean"),
    ),
    exercise(
        name="mean-backward",
        title="The 1/n that is so often forgotten",
        target="ops.Mean.backward",
        level=1,
        minutes=5,
        builds_on=("sum-backward",),
        why="A gradient that is n times too large still points in the right direction. The loss falls at first, and "
        "you suspect the learning rate.",
        task="Return dL/dx in x's shape, ctx.shape. ctx.n is the number of values in each mean.",
        notice="Compare it with the sum: the same repeated gradient, divided by how many numbers each mean has.",
        hints=(
            "As for the sum, but each x counts 1/n.",
            "Is n the number of all elements of x, or of those along dim? forward has already computed the right one.",
            "np.broadcast_to(_expanded(grad_y / ctx.n, ctx), ctx.shape)",
        ),
        program=programs.formulas,
        faults=("mean-as-if-a-sum", "mean-of-all-entries", "mean-multiplies"),
    ),
    exercise(
        name="unbroadcast",
        title="What broadcasting copied, backward adds up",
        target="ops.unbroadcast",
        level=2,
        minutes=15,
        builds_on=("sum-backward",),
        why="A bias is one row that is added to every sample of a batch. Every sample contributes to its gradient, and "
        "the contributions add up. All arithmetic in the library uses this function.",
        task="grad has the shape after broadcasting; return it in the operand's shape. The operand may have fewer axes "
        "(the first ones are missing), and it may have size 1 along an axis where grad has more.",
        notice="A bias that was added to every row gets the sum over all rows: its gradient grows with the batch.",
        hints=(
            "NumPy aligns shapes at the right: (4,) against (3, 4) counts as (1, 4). Along which axes of grad was "
            "the operand repeated?",
            "Two kinds of axes: the first grad.ndim - len(shape) ones, and those where shape has a 1. Sum over both.",
            "added = grad.ndim - len(shape). The axes are range(added), and added + i for each i with shape[i] == 1.",
            "grad.sum(axis=(...), keepdims=True).reshape(shape): the reshape removes the added axes.",
        ),
        probes=(cases.UNBROADCAST, cases.OPERATIONS["Add"]),
        program=programs.formulas,
        faults=(
            "unbroadcast-keeps-repeated-axes",
            "unbroadcast-axes-not-shifted",
            "unbroadcast-takes-the-mean",
            "unbroadcast-takes-the-largest",
        ),
    ),
    exercise(
        name="add-backward",
        title="One gradient for two operands",
        target="ops.Add.backward",
        level=2,
        minutes=5,
        builds_on=("unbroadcast",),
        why="An addition sends dL/dy unchanged to both operands. That is why gradients flow so well through x + f(x).",
        task=f"Return dL/da and dL/db, each in its operand's shape. Either operand may have been broadcast. {NEEDS}",
        notice="Your gradient does not contain a or b at all. Only their shapes matter.",
        hints=(
            "dy/da = 1 and dy/db = 1.",
            "ctx.shapes holds the operands' shapes. unbroadcast(grad, shape) adds up what broadcasting copied.",
            "shape_a, shape_b = ctx.shapes; needs_a, needs_b = ctx.needs_input_grad",
            "unbroadcast(grad_y, shape_a) if needs_a else None, and the same for b. Return the two as a tuple.",
        ),
        program=programs.formulas,
        faults=("add-negates-b", "add-without-unbroadcast"),
    ),
    exercise(
        name="mul-backward",
        title="Each factor's gradient is the other factor",
        target="ops.Mul.backward",
        level=2,
        minutes=10,
        builds_on=("unbroadcast",),
        why="Products make gradients vanish and explode: a number that is multiplied by a small one gets a small "
        "gradient.",
        task=f"Return dL/da and dL/db, each in its operand's shape. Either operand may have been broadcast. {NEEDS}",
        notice="Each gradient contains the other factor, so a number that is multiplied by 0 gets the gradient 0.",
        hints=(
            "If a grows a little, y grows by that times b.",
            "a, b = ctx.saved_arrays. But look at forward: a is None unless b requires a gradient, because only b's "
            "gradient needs a.",
            "dL/da = unbroadcast(grad_y * b, shape_a), with shape_a, shape_b = ctx.shapes.",
            "unbroadcast(grad_y * b, shape_a) if b is not None else None",
        ),
        program=programs.gated,
        faults=("mul-without-the-chain-rule", "mul-without-unbroadcast"),
    ),
    exercise(
        name="index-backward",
        title="Back to where it came from, twice if needed",
        target="ops.Index.backward",
        level=2,
        minutes=10,
        builds_on=("neg-backward",),
        why="An embedding is x[index]. A word that occurs twice in a sentence gets two gradients, but `+=` on an "
        "indexed array silently keeps only one of them.",
        task="Return dL/dx: dL/dy at the places that were read, zero elsewhere. Where the index, ctx.index, reads a "
        "place more than once, the gradients add up.",
        notice="Row 2 was read twice, and its gradient is the sum of two. Rows that were not read have the gradient 0.",
        hints=(
            "Start with zeros of x's shape (ctx.shape) and grad_y's dtype. Put grad_y where y was read from.",
            "grad_x[index] += grad_y first reads all, then adds, then writes all. If two additions go to one place, "
            "only the last one remains.",
            "NumPy has an unbuffered addition: np.add.at(array, index, values).",
        ),
        program=programs.formulas,
        faults=("index-overwrites", "index-starts-from-ones"),
    ),
    exercise(
        name="matmul-backward",
        title="The gradients of a matrix product are matrix products",
        target="ops.Matmul.backward",
        level=3,
        minutes=20,
        builds_on=("unbroadcast",),
        why="This is why training costs three times as much as prediction: each product in forward needs two in "
        "backward.",
        task="Return dL/da and dL/db. a is (..., N, K) and b is (..., K, M); the leading axes may have been broadcast. "
        f"(The library also accepts vectors; the check does not use them.) {NEEDS}",
        notice="Both gradients are matrix products again. With N, K and M all different, the shapes leave one way to "
        "write each.",
        hints=(
            "Start with two matrices: grad_y is (N, M), and dL/da must be (N, K). Which product of grad_y and b has "
            "that shape?",
            "dL/da = grad_y @ bᵀ, dL/db = aᵀ @ grad_y. For a stack of matrices, transpose only the last two axes: .T "
            "would reverse all of them.",
            "np.swapaxes(b, -1, -2) transposes each matrix of a stack.",
            "If one matrix was used for a whole stack, its gradient is the sum: unbroadcast(..., shape_b), with "
            "shape_a, shape_b = ctx.shapes.",
        ),
        program=programs.formulas,
        faults=("matmul-half-of-a", "matmul-sign-of-b"),
    ),
    exercise(
        name="linear-input-gradient",
        title="A layer's gradient for the layer before it",
        target="ops.Linear.backward",
        gap=("grad_x =", "grad_x ="),
        level=2,
        minutes=10,
        builds_on=("linear-forward",),
        why="This gradient continues to the earlier layers. Without it, only the last layer learns.",
        task="Set grad_x, dL/dx, in x's shape, ctx.shape; None if needs_x is False. grad_rows is dL/dy as a matrix "
        "(N, out), and weight is (out, in).",
        notice="dL/dx has x's shape for a single sample, for a batch, and for three axes, and it never uses x itself.",
        hints=(
            "dL/dx must be (N, in). Which product of grad_rows (N, out) and weight (out, in) has that shape?",
            "y = x Wᵀ, so dy/dx is Wᵀ, and backward multiplies by its transpose: dL/dx = dL/dy W.",
            "grad_x = (grad_rows @ weight).reshape(ctx.shape) if needs_x else None",
        ),
        faults=("linear-input-sign", "linear-input-as-rows"),
    ),
    exercise(
        name="linear-weight-gradient",
        title="What the weights learn from",
        target="ops.Linear.backward",
        gap=("grad_weight =", "grad_weight ="),
        level=2,
        minutes=10,
        builds_on=("linear-forward",),
        why="Each weight connects one input to one output. Its gradient is that input times the gradient of that "
        "output, summed over the batch.",
        task="Set grad_weight, dL/dW, in the weight's shape (out, in); None if needs_weight is False. grad_rows is "
        "dL/dy as a matrix (N, out), and as_rows(x) is x as a matrix (N, in).",
        notice="The product with x sums over all samples: a weight's gradient has the weight's shape, however large "
        "the batch is.",
        hints=(
            "The matrix product already sums over the N samples, if N is the axis that disappears.",
            "(out, N) @ (N, in) is (out, in).",
            "grad_weight = grad_rows.T @ as_rows(x) if needs_weight else None",
        ),
        faults=("linear-weight-averaged", "linear-weight-sign", "linear-weight-transposed"),
    ),
    exercise(
        name="linear-bias-gradient",
        title="What the bias learns from",
        target="ops.Linear.backward",
        gap=("grad_bias =", "grad_bias ="),
        level=1,
        minutes=5,
        builds_on=("linear-forward", "sum-backward"),
        why="The same bias is added to every sample of the batch, so every sample contributes to its gradient.",
        task="Set grad_bias, dL/db, in the bias's shape (out,); None if needs_bias is False. grad_rows is dL/dy as a "
        "matrix (N, out).",
        notice="The bias gradient is the sum of dL/dy over the samples; x and the weight play no part in it.",
        hints=(
            "The bias was broadcast: one row was added to N rows. What does backward do with copies?",
            "Sum over the batch, which is axis 0.",
            "grad_bias = grad_rows.sum(axis=0) if needs_bias else None",
        ),
        faults=("linear-bias-averaged", "linear-bias-of-the-first-sample"),
    ),
    exercise(
        name="mse-backward",
        title="The first gradient of the walk back",
        target="ops.MSELoss.backward",
        level=2,
        minutes=10,
        builds_on=("mse-forward", "mean-backward"),
        why="Every backward pass starts at the loss. This gradient says how far off each prediction is, and in which "
        "direction.",
        task="Return dL/dx and dL/dtarget. grad_y is 0-d for the mean and the sum, and has x's shape for none. "
        f"{NEEDS}",
        notice="dL/dtarget is -dL/dx: moving the target away and moving the prediction away are the same thing.",
        hints=(
            "The derivative of (x - t)² with respect to x is 2 (x - t). With respect to t it has the opposite sign.",
            "The mean is over all elements, not over the rows: 1/n with n = difference.size.",
            "scale = 2 / difference.size if ctx.reduction == 'mean' else 2; dL/dx = scale * difference * grad_y",
        ),
        program=programs.regress,
        faults=("mse-two-forgotten", "mse-target-sign"),
    ),
    exercise(
        name="softmax-backward",
        title="Every input changes every output",
        target="ops.Softmax.backward",
        level=3,
        minutes=15,
        builds_on=("softmax-forward",),
        why="One probability can only grow if the others shrink, so this derivative is a full matrix. People often "
        "forget its off-diagonal part.",
        task="Return dL/dx. forward saved y, and the axis in ctx.dim.",
        notice="With dim 1, each row of dL/dx adds up to 0: what one probability gains, the others lose.",
        hints=(
            "dy_i/dx_j = y_i · (1 if i = j, else 0) - y_i · y_j. Multiply by dL/dy_i and sum over i.",
            "The first part gives y_j · dL/dy_j. The second part gives y_j times one number for each row: which sum is "
            "that number?",
            "dL/dx = y · (dL/dy - Σ dL/dy · y), with the sum along ctx.dim, keepdims=True.",
        ),
        program=programs.gated,
        faults=("softmax-along-the-wrong-axis", "softmax-adds-the-sum"),
    ),
    exercise(
        name="log-softmax-backward",
        title="Probability minus truth",
        target="ops.LogSoftmax.backward",
        level=3,
        minutes=15,
        builds_on=("log-softmax-forward",),
        why="Together with NLLLoss, this gives p - 1 for the right class and p for the others: the most famous "
        "gradient of deep learning.",
        task="Return dL/dx. forward saved y, the log-probabilities, and the axis in ctx.dim.",
        notice="With dim 1, each row of dL/dx adds up to 0: adding the same number to all scores of a row changes "
        "nothing.",
        hints=(
            "y_i = x_i - ln Σ exp x. x_j appears in y_j directly, and in every y_i of its row through the logarithm.",
            "The derivative of ln Σ exp x with respect to x_j is exp x_j / Σ exp x. That is the probability, exp y_j.",
            "dL/dx = dL/dy - exp y · Σ dL/dy, with the sum along ctx.dim, keepdims=True.",
        ),
        faults=("log-softmax-exp-forgotten", "log-softmax-along-the-wrong-axis", "log-softmax-adds-the-sum"),
    ),
    exercise(
        name="nll-backward",
        title="A gradient for one class in each row",
        target="ops.NLLLoss.backward",
        level=2,
        minutes=15,
        builds_on=("nll-forward", "index-backward"),
        why="The loss uses one number in each row, so only one number in each row gets a gradient.",
        task="Return (dL/dx, None, None), because the labels and the class weights get no gradient. x is (N, C), and "
        "ctx.shape is its shape. forward saved four values: kept (K,), the indices of the rows that count; labels "
        "(K,), their classes; w, their weights (K,), or 1 for all; total, the sum of the weights, which the mean "
        "divides by. ctx.reduction is the reduction.",
        notice="Each row has one number that is not 0. A row whose label is ignored has none, so it teaches nothing.",
        hints=(
            "Start with zeros of ctx.shape: rows that do not count, and classes that were not looked at, keep 0.",
            "grad_x[kept, labels] is the one place in each row that counts. It gets -w times dL/dy of that row.",
            "grad_y is 0-d for the mean and the sum; for the mean, divide it by total. For none it is (N,), and "
            "grad_y[kept] selects the rows that count.",
            "grad_x[kept, labels] = -w * grad_y; return grad_x, None, None",
        ),
        faults=("nll-sign", "nll-divided-by-all-rows", "nll-mean-and-sum-exchanged"),
    ),
)
