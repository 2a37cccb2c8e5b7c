"""The exercises of the track "Pooling"."""

from __future__ import annotations

import functools

from minitrain.learn import layer_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.exercises.exercise import Exercise
from minitrain.nn.convolution import AvgPool2d, MaxPool2d

SAVED = (
    "forward left on ctx: whole_shape, x's shape with its border; window_shape (N, C, H', W', kH, kW); stride; "
    "padding; x_shape"
)
LOOP = "A loop over the windows is as right as the library's form, only slower."

exercise = functools.partial(Exercise, track="Pooling")
average = functools.partial(
    programs.pooled, functools.partial(AvgPool2d, 3, stride=2, padding=1, count_include_pad=False)
)
largest = functools.partial(programs.pooled, functools.partial(MaxPool2d, 3, stride=2, padding=1))

EXERCISES = (
    exercise(
        name="avg-pool-forward",
        title="A coarser image",
        target="ops.AvgPool2d.forward",
        gap=("return np.asarray(", "return np.asarray("),
        level=1,
        minutes=5,
        builds_on=("mse-forward",),
        why="A pooling layer makes the image smaller, so the layers after it need fewer weights, and a shift by one "
        "pixel changes less.",
        task="Return y (N, C, H', W'): the sum of each window, divided by its number in divisor (H', W'). seen "
        "(N, C, H', W', kH, kW) holds all windows. divisor is the size of a window, or less at the edges if the "
        "border's zeros do not count.",
        hints=(
            "seen[n, c, i, j] is one window. Which two axes are to disappear?",
            "seen.sum(axis=(4, 5)) is (N, C, H', W'). NumPy aligns divisor (H', W') with its last two axes.",
            "return seen.sum(axis=(4, 5)) / divisor",
        ),
        notice="At the edges divisor is smaller: a mean over fewer numbers is as large as one over many.",
        probes=(cases.AVERAGE_POOL,),
        program=average,
        faults=(
            "avg-pool-not-divided",
            "avg-pool-counts-the-border",
            "avg-pool-over-the-places",
            "avg-pool-takes-the-largest",
        ),
    ),
    exercise(
        name="avg-pool-backward",
        title="Each pixel gets its share",
        target="ops.AvgPool2d.backward",
        level=2,
        minutes=15,
        builds_on=("avg-pool-forward", "conv-add-windows", "mean-backward"),
        why="A mean hands its gradient out in equal shares. A pixel that lies in several windows gets a share from "
        "each of them.",
        task="Return (dL/dx, None), because the divisor gets no gradient. dL/dx has x's shape: each number of a window "
        "gets dL/dy / divisor, and where windows overlap, the shares add up. The border, "
        f"ctx.padding, is cut off at the end. {SAVED}. forward saved divisor (H', W'). "
        "add_windows(grads, shape, stride) adds up an array (N, C, H', W', kH, kW) of windows' gradients. (The check "
        f"does not use ceil.) {LOOP}",
        hints=(
            "What does one window contribute? dL/dy[n, c, i, j] / divisor[i, j], the same for all its kH · kW numbers.",
            "np.broadcast_to(share[..., np.newaxis, np.newaxis], ctx.window_shape) repeats each share over its window.",
            "add_windows(grads, ctx.whole_shape, ctx.stride) is the gradient of x with its border.",
            "With h, w = ctx.padding, x lies at [:, :, h : h + ctx.x_shape[2], w : w + ctx.x_shape[3]] in it.",
        ),
        notice="With windows of 3 by 3 and a stride of 2, some pixels lie in one window and some in four, and their "
        "gradients differ accordingly.",
        probes=(cases.AVERAGE_POOL,),
        program=average,
        faults=(
            "avg-pool-as-if-a-sum",
            "avg-pool-overwrites",
            "avg-pool-divides-twice",
            "avg-pool-border-from-one-side",
            "avg-pool-backward-counts-the-border",
        ),
    ),
    exercise(
        name="max-pool-forward",
        title="Only the strongest is heard",
        target="ops.MaxPool2d.forward",
        gap=("least =", "largest ="),
        level=2,
        minutes=15,
        builds_on=("conv-windows", "relu-forward"),
        why="A maximum asks whether a feature is somewhere in the window, no matter where. backward has to know which "
        "number it was, so forward finds the place, not only the value.",
        task="Set whole, x with a border of padding[0] rows and padding[1] columns on both sides, which must never be "
        "the largest; seen = windows(whole, size, stride, dilation), (N, C, H', W', kH, kW); y (N, C, H', W'), the "
        "largest number of each window; and largest (N, C, H', W'), its index p · kW + q in the window, the first one "
        "of equal ones. (The check uses floats and no ceil.)",
        hints=(
            "With zeros as a border, what is the largest number of a window in which all x are negative?",
            "np.pad(x, ((0, 0), (0, 0), (h, h), (w, w)), constant_values=-np.inf), with h, w = padding, has a border "
            "that is smaller than every number.",
            "flat = seen.reshape(*seen.shape[:4], -1) has one row for each window: y = flat.max(axis=-1).",
            "argmax gives the index of the largest number, and the first one of equal ones: flat.argmax(axis=-1).",
        ),
        notice="backward needs only one small number for each window: the place of its largest.",
        probes=(cases.MAX_POOL,),
        program=largest,
        faults=(
            "max-pool-pads-with-zeros",
            "max-pool-takes-the-last-of-equal-ones",
            "max-pool-counts-places-by-columns",
            "max-pool-stride-forgotten",
            "max-pool-by-absolute-value",
        ),
    ),
    exercise(
        name="max-pool-backward",
        title="The winner takes it all",
        target="ops.MaxPool2d.backward",
        level=3,
        minutes=20,
        builds_on=("max-pool-forward", "conv-add-windows"),
        why="Only the largest number of a window decides what y is. So it gets the whole gradient, and the others get "
        "nothing: a maximum is a gate, like a ReLU.",
        task="Return dL/dx in x's shape: each window's dL/dy goes to the place of its largest number, and where "
        "windows overlap, gradients add up. The border, ctx.padding, is cut off at the end. forward saved largest "
        "(N, C, H', W'), the index p · kW + q of the largest number in its window, and x. "
        f"{SAVED}; dilation. add_windows(grads, shape, stride, dilation) adds up an array (N, C, H', W', kH, kW) of "
        f"windows' gradients. (The check does not use ceil.) {LOOP}",
        hints=(
            "Make an array of windows' gradients that is 0 everywhere but at the largest number, and add the windows "
            "up.",
            "grads = np.zeros((*largest.shape, kH * kW)) has one row for each window. (kH and kW are the last two of "
            "ctx.window_shape.)",
            "np.put_along_axis(grads, largest[..., np.newaxis], grad_y[..., np.newaxis], axis=-1) sets one number of "
            "each row.",
            "grad = add_windows(grads.reshape(ctx.window_shape), ctx.whole_shape, ctx.stride, ctx.dilation), and "
            "with h, w = ctx.padding: "
            "return grad[:, :, h : h + ctx.x_shape[2], w : w + ctx.x_shape[3]]",
        ),
        notice="Of nine numbers in a window, eight get no gradient from it.",
        probes=(cases.MAX_POOL,),
        program=largest,
        faults=(
            "max-pool-to-all",
            "max-pool-overwrites",
            "max-pool-shared-by-the-window",
            "max-pool-without-the-chain-rule",
            "max-pool-place-by-columns",
            "max-pool-border-from-one-side",
        ),
    ),
)
