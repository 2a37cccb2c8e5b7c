"""The exercises of the track "Normalization"."""

from __future__ import annotations

import functools

from minitrain.learn import layer_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.exercises.exercise import Exercise
from minitrain.nn import LayerNorm

exercise = functools.partial(Exercise, track="Normalization", program=programs.normalized)

EXERCISES = (
    exercise(
        name="normalize-forward",
        title="Mean 0, variance 1",
        target="ops.Normalize.forward",
        gap=("centred =", "z ="),
        level=2,
        minutes=10,
        builds_on=("mean-backward",),
        why="If the inputs of a layer keep changing their size during training, every step of the layer comes late. "
        "Normalization fixes their mean and their variance. Batch norm and layer norm both use this operation, over "
        "different axes.",
        task="Set rate, 1/√(var + eps), and z = (x - mean) · rate. mean and var are over the axes dim, and var is the "
        "mean square of x - mean, with n and not n - 1. rate keeps the axes, with size 1, since backward needs it. "
        "Keep the dtype of x; it may be float32 and far from 0.",
        hints=(
            "First subtract the mean from x. keepdims=True keeps the axes, so that the shapes still broadcast.",
            "centred = x - x.mean(axis=dim, keepdims=True)",
            "The variance is the mean of centred * centred over the same axes. eps is added before the root.",
            "rate = 1 / np.sqrt((centred * centred).mean(axis=dim, keepdims=True) + eps); z = centred * rate",
        ),
        notice="After ten batches the loss is below 1. The same network without normalization, in linear-forward, is "
        "above 2 by then.",
        probes=(cases.LARGE_EPS, cases.NORMALIZE),
        faults=(
            "normalize-eps-outside-the-root",
            "normalize-by-the-variance",
            "normalize-with-the-unbiased-variance",
            "normalize-without-the-mean",
            "normalize-by-the-mean-square",
            "normalize-variance-by-subtraction",
            "normalize-each-row",
        ),
    ),
    exercise(
        name="batch-norm-running",
        title="Remember what the batches were like",
        target="nn.normalization.batch_norm",
        gap=("x = input.detach()", "for running, batch in"),
        level=2,
        minutes=15,
        builds_on=("normalize-forward",),
        why="In training, batch norm uses the mean and the variance of the batch. A single image to predict has no "
        "batch. So training keeps a running average of both, for later.",
        task="Update running_mean (C,) and running_var (C,) in place: running = (1 - momentum) · running + momentum · "
        "the batch's. The batch's mean and variance are over the axes dim; the variance here is the one with n - 1. "
        "input, running_mean and running_var are Tensors (.array is the array), and the update is not part of the "
        "graph: no gradient flows through it.",
        hints=(
            "A Tensor's detach() is the same array outside the graph. x.mean(dim) and x.var(dim) are (C,).",
            "In place means: running_mean.array[...] = ... and not running_mean = ..., which would only give a new "
            "Tensor that name.",
            "momentum, 0.1 by default, is the share of the new batch. (x.var(dim) has n - 1 already; in NumPy it is "
            "x.var(axis=dim, ddof=1).)",
            "running_mean.array[...] = (1 - momentum) * running_mean.array + momentum * x.mean(dim).array, and the "
            "same for the variance.",
        ),
        notice="This is the loss on images that the network never saw, by the running statistics alone: it falls "
        "because they follow the batches.",
        probes=(cases.RUNNING,),
        program=programs.normalized_and_tested,
        faults=(
            "batch-norm-momentum-reversed",
            "batch-norm-runs-with-the-biased-variance",
            "batch-norm-replaces-the-running-statistics",
            "batch-norm-rebinds-the-running-statistics",
            "batch-norm-runs-with-the-deviation",
            "batch-norm-forgets-the-running-variance",
        ),
    ),
    exercise(
        name="batch-norm-evaluation",
        title="One answer for each image, whatever its neighbours",
        target="nn.normalization.batch_norm",
        gap=("rate = 1 /", "y = (input -"),
        level=2,
        minutes=15,
        builds_on=("batch-norm-running",),
        why="In evaluation, a prediction must not depend on which other images are in the batch. That is what "
        "model.eval() is for, and what people forget.",
        task="Set y = (input - running_mean) / √(running_var + eps) · weight, without the bias, which is added in the "
        "return. weight may be None. All are Tensors, and gradients must flow, so write it with Tensors. input is "
        "(N, C) or (N, C, ...). running_mean, running_var and weight are (C,), and .reshape(shape) gives them the axes "
        "of input, with size 1 for all but C.",
        hints=(
            "Which of the numbers here were learned or remembered, and which belong to this batch? Only input may "
            "belong to the batch.",
            "NumPy and Tensors align shapes at the right. In (N, C, H, W) the channels are not there: reshape(shape) "
            "first.",
            "rate = 1 / (running_var + eps).sqrt(). If there is a weight, multiply by it.",
            "y = (input - running_mean.reshape(shape)) * rate.reshape(shape), and then "
            "y = y * weight.reshape(shape) if weight is not None",
        ),
        notice="In evaluation the statistics are constants, so this is a linear function: its gradient has none of the "
        "terms for mean and variance.",
        probes=cases.EVALUATION,
        program=programs.normalized_and_tested,
        faults=(
            "batch-norm-evaluates-by-the-batch",
            "batch-norm-evaluates-by-the-variance",
            "batch-norm-evaluates-without-the-weight",
            "batch-norm-evaluates-along-the-last-axis",
            "batch-norm-evaluates-without-the-mean",
        ),
    ),
    exercise(
        name="layer-norm",
        title="Each sample for itself",
        target="nn.normalization.layer_norm",
        gap=("dim = tuple(", "return apply("),
        level=2,
        minutes=15,
        builds_on=("normalize-forward",),
        why="Layer norm takes the mean over the features of one sample, not over the batch. So it is the same in "
        "training and in evaluation, and works with a batch of one. Transformers use it.",
        task="Return (input - mean) / √(var + eps) · weight + bias, with mean and var over the last axes of input, as "
        "many as sizes has; var is the one with n. weight and bias have the shape sizes, or are None. All are Tensors. "
        "You can use apply(ops.Normalize, input, w, b, dim=dim, eps=eps), where w and b need as many axes as input, or "
        "write the formula with Tensors.",
        hints=(
            "If input has 4 axes and sizes has 2, the mean is over the axes 2 and 3.",
            "dim = tuple(range(input.ndim - len(sizes), input.ndim))",
            "By hand: input.mean(dim, keepdim=True) and input.var(dim, correction=0, keepdim=True). weight and bias "
            "broadcast as they are, since their axes are the last ones.",
            "For ops.Normalize: w = weight.reshape((1,) * (input.ndim - len(sizes)) + sizes), and likewise b.",
        ),
        notice="The formula is batch norm's, over other axes. No running statistics are needed.",
        probes=cases.LAYER_NORM,
        program=functools.partial(programs.normalized, LayerNorm),
        faults=(
            "layer-norm-over-the-batch",
            "layer-norm-over-the-last-axis-only",
            "layer-norm-over-everything",
            "layer-norm-without-the-weight",
            "layer-norm-with-the-unbiased-variance",
        ),
    ),
    exercise(
        name="normalize-weight-gradient",
        title="A scale and a shift to learn",
        target="ops.Normalize.backward",
        gap=("if needs_weight:", "if needs_bias:"),
        level=2,
        minutes=10,
        builds_on=("normalize-forward", "unbroadcast"),
        why="Mean 0 and variance 1 are not the best for every layer. So y = z · w + b has two parameters for each "
        "feature, often called gamma and beta, with which the network can undo the normalization where that helps.",
        task="Set grad_weight, dL/dw, if needs_weight is True, and grad_bias, dL/db, if needs_bias is True; they are "
        "None already. z is what forward saved. weight and bias were broadcast: their shapes are ctx.shapes[0] and "
        "ctx.shapes[1].",
        hints=(
            "y = z · w + b is a product and a sum. You know both of their gradients.",
            "dy/dw = z and dy/db = 1.",
            "unbroadcast(grad, shape) adds up what broadcasting copied.",
            "grad_weight = unbroadcast(grad_y * z, ctx.shapes[0]); grad_bias = unbroadcast(grad_y, ctx.shapes[1])",
        ),
        notice="The bias of the layer before a batch norm has nothing to do any more: the mean is subtracted, and b "
        "does its work.",
        probes=(cases.NORMALIZE,),
        faults=(
            "normalize-weight-like-the-bias",
            "normalize-bias-averaged",
            "normalize-weight-times-x",
            "normalize-weight-not-summed",
        ),
    ),
    exercise(
        name="normalize-backward",
        title="Three ways from x to the loss",
        target="ops.Normalize.backward",
        gap=("g = grad_y if", "grad_x = rate *"),
        level=3,
        minutes=25,
        builds_on=("normalize-weight-gradient", "softmax-backward", "mean-backward"),
        why="Each x changes its own z. It also changes the mean and the variance, and with them the z of all others. "
        "This is the gradient that everybody derives once, and half of them get wrong.",
        task="Set grad_x, dL/dx. forward saved z = (x - mean) · rate and rate, 1/√(var + eps). The means are over "
        "ctx.dim, of ctx.n numbers each, and weight may be None.",
        hints=(
            "First through y = z · w + b: g = dL/dz = dL/dy · w.",
            "If you add the same number to all x, no z changes. So the gradient must add up to 0 over ctx.dim: "
            "subtract the mean of g.",
            "If you stretch all x away from their mean, no z changes, either (except for eps). So the gradient has no "
            "part along z: subtract z · mean(g · z).",
            "grad_x = rate * (g - g.mean(axis=ctx.dim, keepdims=True) - z * (g * z).mean(axis=ctx.dim, keepdims=True))",
        ),
        notice="Two parts of dL/dy are removed, the one that shifts and the one that stretches. The rest is divided by "
        "the deviation.",
        probes=(cases.NORMALIZE,),
        faults=(
            "normalize-statistics-are-constants",
            "normalize-mean-is-a-constant",
            "normalize-adds-the-variance",
            "normalize-sum-in-the-variance",
            "normalize-over-the-other-axis",
            "normalize-rate-squared",
        ),
    ),
)
