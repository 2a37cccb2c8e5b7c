"""The exercises of the track "Convolution"."""

from __future__ import annotations

import functools

from minitrain.learn import layer_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.exercises.exercise import Exercise

ANY_FORM = "A loop is as right as one matrix product, only slower."
GROUPS = "The check uses groups = 1, so you may leave groups out. (Each group of channels is a convolution of its own.)"

exercise = functools.partial(Exercise, track="Convolution", program=programs.convolved)

EXERCISES = (
    exercise(
        name="conv-windows",
        title="A small window that slides over an image",
        target="ops.convolution.windows",
        level=2,
        minutes=15,
        why="A convolution and a pooling look at an image through a small window, place by place. Once all windows are "
        "in one array, each layer is a line of NumPy.",
        task="Return all windows of x, an array (N, C, H', W', kH, kW): [n, c, i, j, p, q] is "
        "x[n, c, i · stride[0] + p · dilation[0], j · stride[1] + q · dilation[1]]. size is (kH, kW). Only windows "
        f"that fit into x count. {ANY_FORM} A copy is as right as a view.",
        hints=(
            "How far does a window reach? With size 3 and dilation 1 over 3 rows, with dilation 2 over 5: "
            "dilation · (size - 1) + 1.",
            "H' = (H - reach) // stride + 1, and likewise W'.",
            "With loops: for each p and q, the numbers at [..., p, q] of all windows are one slice of x, with the "
            "stride as its step.",
            "sliding_window_view(x, reach, axis=(2, 3)) has all windows with stride 1 and all their numbers. Take "
            "every stride-th window, and every dilation-th number in it.",
            "seen[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]",
        ),
        notice="The library's windows are a view: each number of the image appears in up to kH · kW windows, and none "
        "is copied.",
        probes=(cases.WINDOWS,),
        faults=(
            "windows-stride-forgotten",
            "windows-stride-and-dilation-exchanged",
            "windows-beside-each-other",
            "windows-stride-the-wrong-way-round",
        ),
    ),
    exercise(
        name="conv-forward",
        title="One kernel for every place of the image",
        target="ops.Conv2d.forward",
        gap=("y = weight.reshape", "y = y.reshape(out"),
        level=2,
        minutes=15,
        builds_on=("conv-windows", "linear-forward"),
        why="A convolution is a linear layer that is applied to each window. The same few weights see every place, so "
        "a cat on the left and a cat on the right look the same to it.",
        task="Set y (N, O, H', W'), without the bias, which is added in the return: y[n, o, i, j] is the sum of kernel "
        "o, weight[o] (C, kH, kW), times the window at (i, j), seen[n, :, i, j] (C, kH, kW), over all C · kH · kW "
        "numbers. columns holds the same windows, one in each column: columns[0] is (C · kH · kW, N · H' · W'). "
        f"{GROUPS} {ANY_FORM}",
        hints=(
            "Each output is one number for a window and a kernel. Both have C · kH · kW numbers. What do you do with "
            "two lists of numbers to get one?",
            "np.einsum says it nearly as the formula does: which letters do seen and weight share, and which remain?",
            'y = np.einsum("ncijpq,ocpq->noij", seen, weight) is right. One matrix product is faster.',
            "weight.reshape(out, -1) @ columns[0] is (O, N · H' · W'). Before the images can come first, the axes "
            "have to be apart: reshape(out, N, H, W), then transpose(1, 0, 2, 3).",
        ),
        notice="The loss falls as for linear layers, with far fewer weights: the first layer has 4 kernels of 9 "
        "numbers.",
        faults=(
            "conv-forward-kernel-turned",
            "conv-forward-averages",
            "conv-forward-channels-first",
            "conv-forward-first-channel-only",
            "conv-forward-padding-forgotten",
            "conv-forward-bias-along-the-columns",
        ),
        probes=(cases.CONVOLUTION,),
    ),
    exercise(
        name="conv-bias-gradient",
        title="A bias that is added at every place",
        target="ops.Conv2d.backward",
        gap=("grad_bias = grad_y", "grad_bias = grad_y"),
        given=("forward",),
        level=1,
        minutes=5,
        builds_on=("linear-bias-gradient",),
        why="Each channel has one bias. It is added at every place of every image, so each of them has a say in its "
        "gradient.",
        task="Set grad_bias, dL/db, in the bias's shape (O,). grad_y is (N, O, H', W').",
        hints=(
            "forward added b[o] to y[n, o, i, j]. For which n, i, j?",
            "What was copied in forward is added up in backward: over all axes except the one of the channels.",
            "grad_bias = grad_y.sum(axis=(0, 2, 3))",
        ),
        notice="The sum has N · H' · W' terms, so the bias of a convolution has a much larger gradient than one of its "
        "outputs.",
        probes=(cases.CONVOLUTION,),
        faults=("conv-bias-of-the-batch-alone", "conv-bias-averaged", "conv-bias-over-the-channels"),
    ),
    exercise(
        name="conv-weight-gradient",
        title="What a kernel learns from all places at once",
        target="ops.Conv2d.backward",
        gap=("grad_weight = (grad_columns", "grad_weight = (grad_columns"),
        given=("forward",),
        level=2,
        minutes=15,
        builds_on=("conv-forward", "linear-weight-gradient"),
        why="A kernel is used at every place, so it learns from every place: each window counts as a sample.",
        task="Set grad_weight, dL/dW, in the weight's shape (O, C, kH, kW): Σ dL/dy[n, o, i, j] · window[n, c, i, j, "
        "p, q] over all n, i, j. ctx.columns[0] holds the windows, one in each column (C · kH · kW, N · H' · W'), and "
        f"grad_columns[0] is dL/dy with a column for each window (O, N · H' · W'). {GROUPS} {ANY_FORM}",
        hints=(
            "Take each window as a sample: this is a linear layer whose samples lie in columns. What is dL/dW there?",
            "The sum over n, i and j is the sum over the columns. In a matrix product, it is the axis that disappears.",
            "grad_columns[0] @ ctx.columns[0].T is (O, C · kH · kW).",
            "Give it the shape of the weight with reshape(weight.shape).",
        ),
        notice="Nothing here knows of stride or padding: forward has already picked the windows.",
        probes=(cases.CONVOLUTION,),
        faults=(
            "conv-weight-of-the-last-sample",
            "conv-weight-averaged",
            "conv-weight-without-the-chain-rule",
            "conv-weight-turned",
        ),
    ),
    exercise(
        name="conv-add-windows",
        title="Where windows overlap, gradients add up",
        target="ops.convolution.add_windows",
        level=2,
        minutes=15,
        builds_on=("conv-windows", "index-backward"),
        why="A pixel lies in several windows, and each of them sends it a gradient. This function is to windows what a "
        "sum is to broadcasting: the way back.",
        task="Return grad_x in the given shape (N, C, H, W): each number of grads (N, C, H', W', kH, kW) is added at "
        "the place that it has in x, grads[n, c, i, j, p, q] at [n, c, i · stride[0] + p · dilation[0], j · stride[1] "
        f"+ q · dilation[1]]. Places in no window keep 0. Keep the dtype of grads. {ANY_FORM}",
        hints=(
            "Start with np.zeros(shape, grads.dtype). Then either loop over the windows (i, j), or over the places "
            "within a window (p, q).",
            "For one p and q, the numbers grads[..., p, q] (N, C, H', W') all have different places in x: a slice with "
            "the stride as its step. So += works there. Between two p or q it has to be added.",
            "The rows of that slice begin at p · dilation[0]. It has H' of them, so it ends after the last: "
            "p · dilation[0] + stride[0] · (H' - 1) + 1.",
            "rows = slice(p * dilation[0], p * dilation[0] + stride[0] * (H - 1) + 1, stride[0]), columns likewise; "
            "grad_x[:, :, rows, columns] += grads[..., p, q]",
        ),
        notice="With stride 1, a pixel in the middle gets kH · kW gradients, and one in a corner only one.",
        probes=(cases.ADDED_WINDOWS,),
        faults=(
            "add-windows-overwrites",
            "add-windows-stride-forgotten",
            "add-windows-dilation-forgotten",
            "add-windows-takes-the-mean",
        ),
    ),
    exercise(
        name="conv-input-gradient",
        title="Back through every window",
        target="ops.Conv2d.backward",
        gap=("grads = weight", "grad_x = unpadded("),
        given=("forward",),
        level=3,
        minutes=25,
        builds_on=("conv-add-windows", "conv-forward", "linear-input-gradient"),
        why="This gradient goes to the layer before, for example to another convolution. It is itself a convolution of "
        "dL/dy, with the kernel turned by 180°, but you do not have to see it that way.",
        task="Set grad_x, dL/dx, in x's shape, ctx.x_shape (N, C, H, W). Each window gets Σ dL/dy[n, o, i, j] · W[o] "
        "over the channels o. These are added up where windows overlap, and the border that forward added "
        "(ctx.padding) is cut off. add_windows(grads, shape, stride, dilation) adds up an array (N, C, H', W', kH, kW) "
        "of windows' gradients, and unpadded(grad, padding) cuts the border off. grad_columns[0] is dL/dy with a "
        f"column for each window (O, N · H' · W'). H and W are H' and W' here. {GROUPS} {ANY_FORM}",
        hints=(
            "First the gradient of each window: as for a linear layer, dL/dy times the weight. Then add them up.",
            "weight.reshape(out, -1).T @ grad_columns[0] has a column for each window, (C · kH · kW, N · H' · W'). "
            "reshape(C, kH, kW, N, H, W) takes it apart; add_windows wants (N, C, H, W, kH, kW).",
            "add_windows needs the shape that x had with its border: ctx.x_shape[2] + 2 · ctx.padding[0] rows, and "
            "ctx.x_shape[3] + 2 · ctx.padding[1] columns.",
            "grads = (weight.reshape(out, -1).T @ grad_columns[0]).reshape(C, kH, kW, N, H, W); "
            "grads = grads.transpose(3, 0, 4, 5, 1, 2); "
            "grad_x = unpadded(add_windows(grads, shape, ctx.stride, ctx.dilation), ctx.padding)",
        ),
        notice="The border gets a gradient, too, but it is thrown away: nobody can change a zero that is only padding.",
        probes=(cases.CONVOLUTION,),
        faults=(
            "conv-kernel-turned",
            "conv-windows-overwrite",
            "conv-input-border-from-one-side",
            "conv-input-stride-forgotten",
            "conv-input-sign",
        ),
    ),
)
