"""The exercises of the track "Losses": soft targets, label smoothing, and binary cross-entropy."""

from __future__ import annotations

import functools

from minitrain.learn import further_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.exercises.exercise import Exercise

exercise = functools.partial(Exercise, track="Losses")

EXERCISES = (
    exercise(
        name="soft-targets",
        title="When the truth is a probability",
        target="nn.soft_targets._loss_of_probabilities",
        gap=("if label_smoothing:", "return _reduced(-weighted"),
        level=2,
        minutes=15,
        builds_on=("nll-forward",),
        notice="The loss does not fall to 0: with smoothed targets, even a perfect network has the loss of an honest "
        "guess.",
        why="A label says which class is right. A target of probabilities can also say how sure that is, or what "
        "another network thought. Cross-entropy works for both.",
        task="These are Tensors, so what you compute is recorded for backward. log_probs and target have the same "
        "shape, with the classes along class_dim. Smooth the target: (1 - label_smoothing) · t + label_smoothing / C. "
        "The loss of a row is -Σ_c w[c] · t[c] · log p[c]. Return it for each row (none), the sum, or the mean over "
        "the rows, whatever their weights. weight, (C,), may be None; "
        "_per_class(weight, log_probs) makes it broadcast.",
        hints=(
            "classes is C. target = target * (1 - label_smoothing) + label_smoothing / classes",
            "weighted = log_probs * target, and * _per_class(weight, log_probs) unless weight is None.",
            "For none: -weighted.sum(class_dim). It has one loss for each row.",
            "The mean divides the sum of everything by the number of rows, log_probs.numel() / classes. "
            "_reduced(-weighted.sum(), reduction, rows) does it for the mean, and returns the sum for the sum.",
        ),
        probes=cases.SOFT_TARGETS,
        program=programs.soften,
        faults=(
            "soft-targets-without-weights",
            "soft-targets-mean-over-weights",
            "soft-targets-smoothing-not-taken-away",
            "soft-targets-smoothing-not-divided",
            "soft-targets-mean-over-elements",
            "soft-targets-of-the-samples",
        ),
    ),
    exercise(
        name="label-smoothing",
        title="Never be too sure",
        target="nn.soft_targets.cross_entropy_of_soft_targets",
        gap=("loss = apply", "return (1 - label_smoothing)"),
        level=2,
        minutes=10,
        builds_on=("soft-targets", "nll-forward"),
        notice="The curve stays far above the one without smoothing: part of each target asks for the wrong classes, "
        "so that the loss cannot come near 0.",
        why="A network that must reach a probability of 1 makes its logits larger without end. If the label keeps only "
        "90 %, they stop growing.",
        task="target holds labels here. Return (1 - label_smoothing) · the loss of the label + label_smoothing · the "
        "mean over the classes of their losses. The first is apply(ops.NLLLoss, log_probs, target, weight, "
        "ignore_index=..., reduction=...). _loss_of_all_classes(log_probs, target, weight, ignore_index, reduction) is "
        "the sum of the losses of all classes, reduced in the same way.",
        hints=(
            "loss = apply(ops.NLLLoss, log_probs, target, weight, ignore_index=ignore_index, reduction=reduction)",
            "A mean over the classes is the sum divided by their number, log_probs.shape[class_axis(log_probs)].",
            "The share label_smoothing is taken from the label and spread over all classes, also the right one.",
            "return (1 - label_smoothing) * loss + label_smoothing * of_all / classes",
        ),
        probes=cases.LABEL_SMOOTHING,
        program=programs.smooth,
        faults=(
            "label-smoothing-not-divided",
            "label-smoothing-without-one-minus",
            "label-smoothing-forgets-the-weights",
            "label-smoothing-swapped",
            "label-smoothing-over-the-others",
        ),
    ),
    exercise(
        name="bce-forward",
        title="Yes or no, without overflow",
        target="ops.BCEWithLogitsLoss.forward",
        level=2,
        minutes=15,
        builds_on=("log-softmax-forward",),
        notice="This network answers ten separate questions for each image. A softmax would let only one of them be "
        "yes.",
        why="The loss of sigmoid(x) is -t ln s - (1 - t) ln(1 - s). For x = 40, s rounds to 1, and ln(1 - s) is -inf. "
        "The same loss, written with x, is about 40.",
        task="Return the loss of each element, (1 - t) · x + w · ln(1 + exp(-x)), with w = 1 + (pos_weight - 1) · t, "
        "or 1 if pos_weight is None. x may be of any size. Save x, target and pos_weight, in this order.",
        hints=(
            "ln(1 + exp(-x)) overflows for x = -1000, where it is 1000. For negative x, take exp x out of the "
            "logarithm: ln(1 + exp(-x)) = -x + ln(1 + exp x).",
            "Both cases in one: ln(1 + exp(-|x|)) - min(x, 0).",
            "np.log1p(np.exp(-np.abs(x))) - np.minimum(x, 0). log1p(z) is ln(1 + z), exact also for a small z.",
            "ctx.save_for_backward(x, target, pos_weight)",
        ),
        probes=(cases.BCE_WITH_LOGITS,),
        program=programs.classify_each,
        faults=(
            "bce-with-logits-overflows",
            "bce-with-logits-by-the-sigmoid",
            "bce-with-logits-of-the-other-class",
            "bce-with-logits-weights-every-example",
            "bce-with-logits-mean",
        ),
    ),
    exercise(
        name="bce-backward",
        title="Sigmoid minus target",
        target="ops.BCEWithLogitsLoss.backward",
        level=2,
        minutes=15,
        builds_on=("bce-forward", "mul-backward"),
        notice="Without pos_weight the gradient is s - t, just as softmax's is p - 1 at the label. The flat ends of "
        "the sigmoid have cancelled out.",
        why="The sigmoid is flat where it is sure, so its own gradient vanishes there. Together with the logarithm, "
        "the flat part cancels: a unit that is sure and wrong learns fastest.",
        task="Return dL/dx, dL/dtarget and None (for pos_weight). dL/dx = dL/dy · ((1 - t) - w · s(-x)), where s(-x) = "
        "1 / (1 + exp x). dL/dtarget = dL/dy · (-x + (pos_weight - 1) · ln(1 + exp(-x))), without the second term if "
        "pos_weight is None. Return None for an input that requires no gradient. x may be of any size.",
        hints=(
            "x, target, pos_weight = ctx.saved_arrays; needs_x, needs_target, _ = ctx.needs_input_grad",
            "w = 1 if pos_weight is None else 1 + (pos_weight - 1) * target, as in forward.",
            "1 / (1 + exp x) is right for any x: 1 / (1 + inf) is 0. But exp x / (1 + exp x) is inf / inf for large x.",
            "grad_x = grad_y * ((1 - target) - w / (1 + np.exp(x))). forward shows ln(1 + exp(-x)) without overflow.",
        ),
        probes=(cases.BCE_WITH_LOGITS,),
        program=programs.classify_each,
        faults=(
            "bce-with-logits-target-minus-s",
            "bce-with-logits-overflows-backward",
            "bce-with-logits-by-the-squared-error",
            "bce-with-logits-forgets-the-weight",
        ),
    ),
)
