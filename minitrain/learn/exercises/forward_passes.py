"""The exercises of the track "Forward passes"."""

from __future__ import annotations

import functools

from minitrain.learn import training_runs as programs
from minitrain.learn.exercises.exercise import Exercise

exercise = functools.partial(Exercise, track="Forward passes")

EXERCISES = (
    exercise(
        name="relu-forward",
        title="The ramp that lets a network bend",
        target="ops.ReLU.forward",
        level=1,
        minutes=5,
        why="Two linear layers in a row are just one linear layer. They need something nonlinear between them, and "
        "max(x, 0) is the cheapest choice.",
        task="Compute y from x, an array of any shape, and save y for backward. Do not write into x.",
        notice="The loss starts near 2.3, which is ln 10: without training, all ten digits are about equally likely. "
        "It ends far lower.",
        hints=(
            "NumPy has a function that takes the larger of two values, element by element. One of them may be a "
            "number.",
            "np.maximum(x, 0) is y. backward below reads one array from ctx.saved_arrays. Which one does it need?",
            "ctx.save_for_backward(y) before `return y`.",
        ),
        faults=("relu-takes-the-smaller", "relu-saves-the-negative"),
    ),
    exercise(
        name="linear-forward",
        title="A layer: every output listens to every input",
        target="ops.Linear.forward",
        level=1,
        minutes=10,
        why="Nearly all of a network's parameters, and nearly all of its computing time, are in this one product.",
        task="Compute y and save only what backward needs: x if the weight requires a gradient, the weight if x "
        "does, and None in place of an array that is not needed. backward also reads x's shape from ctx.shape. The "
        "bias may be None. x may have more than two axes: as_rows(x) is a matrix with a row for each sample.",
        notice="One formula serves a single sample, a batch, and x with three axes: only the rows are counted "
        "differently.",
        hints=(
            "The weight is (out, in): row i belongs to output i. Which way round must it be in x @ ... ?",
            "weight.T has the shape (in, out), so as_rows(x) @ weight.T is (N, out). Broadcasting adds the bias (out,) "
            "to each row.",
            "needs_x, needs_weight, _ = ctx.needs_input_grad; "
            "ctx.save_for_backward(x if needs_weight else None, weight if needs_x else None); ctx.shape = x.shape",
            "At the end, give y the axes of x again: y.reshape(*x.shape[:-1], weight.shape[0]).",
        ),
        faults=("linear-bias-subtracted", "linear-axes-reversed", "linear-bias-not-added"),
    ),
    exercise(
        name="softmax-forward",
        title="Scores into probabilities, without overflow",
        target="ops.Softmax.forward",
        level=2,
        minutes=10,
        why="exp(1000) is infinite, and inf / inf is nan. The textbook formula therefore breaks on the first large "
        "score.",
        task="Compute y = exp x / Σ exp x along the axis dim, for x of any magnitude, and save what backward reads.",
        notice="Scores from -1000 to 1000 gave finite probabilities, because you subtract the largest score before "
        "exp.",
        hints=(
            "Softmax does not change if you subtract the same number from every x along dim. Which number makes "
            "overflow impossible?",
            "Subtract the maximum along dim: the largest exponent is then 0. keepdims=True keeps the axis, so that "
            "the shapes still broadcast.",
            "exp = np.exp(x - x.max(axis=dim, keepdims=True)); y = exp / exp.sum(axis=dim, keepdims=True)",
            "backward reads y from ctx.saved_arrays, and ctx.dim.",
        ),
        program=programs.gated,
        faults=("softmax-overflows", "softmax-sums-over-the-last-axis"),
    ),
    exercise(
        name="log-softmax-forward",
        title="The logarithm of a probability, without the probability",
        target="ops.LogSoftmax.forward",
        level=2,
        minutes=10,
        builds_on=("softmax-forward",),
        why="A probability of 1e-400 rounds to 0 in any float type, and the logarithm of 0 is -inf. The true "
        "logarithm, -921, is an ordinary number. So compute it without computing the probability first.",
        task="Compute y = x - ln Σ exp x along the axis dim, for x of any magnitude, and save what backward reads.",
        notice="For scores from -1000 to 1000 the smallest result is about -1000, where the log of the probability "
        "would have been -inf.",
        hints=(
            "Subtract the maximum first, as for softmax. Does that change y?",
            "With shifted = x - max, y = shifted - ln Σ exp(shifted). Nothing can overflow there, and the sum is at "
            "least 1.",
            "y = shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True)). backward reads y and ctx.dim.",
        ),
        faults=("log-softmax-overflows", "log-softmax-adds-the-logarithm", "log-softmax-saves-its-input"),
    ),
    exercise(
        name="mse-forward",
        title="How far off, squared",
        target="ops.MSELoss.forward",
        level=1,
        minutes=5,
        why="The mean is taken over all elements, not over the rows. That is torch's choice, and it is a factor in "
        "every gradient.",
        task="x and target have the same shape. Return the squared differences (reduction none), their sum (sum), or "
        "their mean over all elements (mean). Keep the dtype: float32 inputs give a float32 result.",
        notice="The loss falls from 0.19 to about 0.06. Answering 0.1 for every digit would give 0.09.",
        hints=(
            "All three use the same difference. backward needs it, and also the reduction.",
            "np.square(difference), then .sum() or .mean(), depending on the reduction.",
            "ctx.reduction = reduction; ctx.save_for_backward(difference); then one return for each reduction.",
        ),
        program=programs.regress,
        faults=("mse-of-absolute-values", "mse-divided-by-the-rows"),
    ),
    exercise(
        name="nll-forward",
        title="The loss of a classifier: how likely was the right class?",
        target="ops.NLLLoss.forward",
        level=2,
        minutes=10,
        builds_on=("log-softmax-forward",),
        why="A row holds a log-probability for every class. The loss looks at only one of them: that of the right "
        "class.",
        task="kept (K,) holds the indices of the rows that count, labels (K,) their classes. Two lines are missing. "
        "w is the weight of each of these rows (K,), or 1 without class weights (weight is None). total is the sum "
        "of the weights, which the mean divides by. losses is the loss of each row (K,).",
        notice="The first loss is about 2.3 = -ln(1/10): the network gives the right digit a probability of about one "
        "tenth.",
        hints=(
            "rows[kept, labels] takes one element from each row that counts: the one at its label.",
            "The loss of a row is -w times that element.",
            "weight[labels] is the weight of each label's class. Without weights every row counts as 1, and total is "
            "the number of rows.",
            "w, total = (1, kept.size) if weight is None else (weight[labels], weight[labels].sum()); "
            "losses = -w * rows[kept, labels]",
        ),
        gap=("w, total =", "losses ="),
        faults=("nll-positive", "nll-weight-of-class-0", "nll-counts-ignored-rows"),
    ),
)
