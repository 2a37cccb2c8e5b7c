"""Names the mistakes in a training or test loop, from what was observed in a short run.

Each test reads the record of the run, and reports a mistake only if the record shows it: the gradients that a step
found, the numbers that a loss was given, the mode that the model was in. Nothing is concluded from the source.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from minitrain.diagnosis.autopsy import Mistake
from minitrain.diagnosis.loop_observer import Batch, LoopObserver, Step, params_of
from minitrain.nn import Parameter
from minitrain.tensor import Tensor

# Layers that behave differently in training.
DIFFERENT = re.compile("Dropout|BatchNorm|InstanceNorm|RReLU")

STEP_FIRST = (
    "optimizer.step() runs before loss.backward(), so it does not use the gradient of its batch. The order is "
    "loss.backward(), optimizer.step(), optimizer.zero_grad()."
)
WITHOUT_GRAPH = (
    "The model runs without being recorded, so there is nothing to differentiate. Take the forward pass and the loss "
    "out of no_grad(), and check that the parameters require gradients."
)


class Run:
    """The record of a run, in the form that the tests below read.

    training: whether it was one of a training loop. changed: whether any parameter has another value than before.
    returned, printed: by the loop. loaders: what the loop calls its data loaders.
    used: the walks whose gradients some step found. reached: the leaves that got gradients.
    walked_loaders: those on whose batches backward ran. several: whether a loader has more than one batch.
    """

    def __init__(
        self,
        observed: LoopObserver,
        training: bool,
        changed: bool,
        returned: Any,
        printed: str,
        loaders: Sequence[str],
        several: bool = True,
    ) -> None:
        self.observed, self.training, self.changed = observed, training, changed
        self.returned, self.printed, self.loaders, self.several = returned, printed, loaders, several
        self.steps = observed.steps or observed.by_hand
        self.used = {walk for step in self.steps for walks in step.found.values() for walk in walks}
        self.reached = set().union(*[walk.squares.keys() for walk in observed.walks])
        self.updates = [self._update(i) for i in range(len(self.steps))]
        self.walked_loaders = {observed.batches[walk.batch].loader for walk in observed.walks if walk.batch >= 0}
        walking = self.walked_loaders or {batch.loader for batch in observed.batches[:1]}
        self.tested = [batch for batch in observed.batches if not training or batch.loader not in walking]
        self.trained = [batch for batch in observed.batches if training and batch.loader in walking]

    def _update(self, i: int) -> _Update:
        step = self.steps[i]
        earlier = [other for other in self.steps[:i] if other.optimizer == step.optimizer]
        used: dict[int, set[int]] = {}
        for other in earlier:
            for key, walks in other.found.items():
                used.setdefault(key, set()).update(walks)
        new = {walk for key, walks in step.found.items() for walk in walks if walk not in used.get(key, ())}
        old = {key: [w for w in walks if w in used.get(key, ())] for key, walks in step.found.items()}
        return _Update(step, new, {key: walks for key, walks in old.items() if walks}, earlier[-1] if earlier else None)

    def batch_name(self, number: int) -> str:
        """'batch 3' of the pass."""
        return f"batch {self.observed.batches[number].number}" if number >= 0 else "the batch"

    def of_walks(self, walks: Collection[int]) -> str:
        """'batches 1, 2 and 3': the batches that these backwards ran in."""
        numbers = sorted({self.observed.walks[walk].batch for walk in walks})
        if numbers and (numbers[0] < 0 or len(numbers) < len(walks)):
            return f"{len(walks)} backwards"
        names = [str(self.observed.batches[number].number) for number in numbers]
        return f"batch {names[0]}" if len(names) == 1 else f"batches {', '.join(names[:-1])} and {names[-1]}"

    def names(self, keys: Iterable[int]) -> str:
        """The names of parameters, or how many there are."""
        keys = list(keys)
        named = [self.observed.names.get(key, "") for key in keys]
        return ", ".join(named) if len(named) <= 3 and all(named) else f"{len(keys)} parameters"


class _Update:
    """A step. new: the walks whose gradients it is the first to use. old: those used before, by parameter."""

    def __init__(self, step: Step, new: set[int], old: dict[int, list[int]], previous: Step | None) -> None:
        self.step, self.new, self.old, self.previous = step, new, old, previous


# --- order: backward, step, zero_grad ---------------------------------------------------------------------------------


def no_backward(run: Run) -> Iterator[Mistake]:
    """No backward brought a gradient to any leaf."""
    observed = run.observed
    if not run.training or observed.walks or run.changed:
        return
    evidence = f"{len(run.trained)} batches, {len(observed.steps)} steps, and no .grad was ever written."
    if observed.unrecorded and observed.unrecorded == sum(len(batch.forwards) for batch in run.trained):
        yield Mistake("training-without-graph", WITHOUT_GRAPH, evidence)
        return
    yield Mistake(
        "no-backward",
        "No gradient is computed: call loss.backward() on the loss itself, before optimizer.step(). A new Tensor made "
        "from loss.item() or loss.detach() has no connection to the parameters.",
        evidence,
    )


def wrong_order(run: Run) -> Iterator[Mistake]:
    """A step comes before backward, or finds gradients that were cleared again."""
    walks = run.observed.walks
    if not walks or not run.observed.steps:
        return
    stale = [u for u in run.updates if u.step.after_forward and not any(walks[w].batch == u.step.batch for w in u.new)]
    waiting = [u for u in stale if any(walk.batch == u.step.batch for walk in walks[u.step.walked :])]
    if len(waiting) > len(run.updates) / 2:
        last = waiting[-1]
        found = f"the gradient of {run.of_walks(last.new)}" if last.new else "no gradient"
        yield Mistake(
            "step-before-backward",
            STEP_FIRST,
            f"in {run.batch_name(last.step.batch)}, step() ran between forward and backward, and found {found}.",
        )
        return
    empty = [u for u in run.updates if not u.new and not u.old]
    cleared = [u for u in empty if u.step.walked > (u.previous.walked if u.previous else 0)]
    own = [u for u in cleared if _reaches(run, u.step)]
    if len(own) > len(run.updates) / 2:
        last = own[-1]
        yield Mistake(
            "gradients-zeroed-too-early",
            "The gradients are cleared between loss.backward() and optimizer.step(), so the step has nothing to use. "
            "Call zero_grad() before backward or after step.",
            f"in {run.batch_name(last.step.batch)}, backward had written the gradients, but step() found them all None "
            f"or 0. ({len(own)} of {len(run.updates)} steps.)",
        )


def _reaches(run: Run, step: Step) -> bool:
    """Whether a walk before this step reached a parameter of its optimizer."""
    params = {id(p) for p in params_of(run.observed.optimizers[step.optimizer])}
    return any(params & walk.squares.keys() for walk in run.observed.walks[: step.walked])


def not_zeroed(run: Run) -> Iterator[Mistake]:
    """A step uses gradients again that an earlier step has used."""
    again = [u for u in run.updates if u.old and u.new]
    if again:
        last = again[-1]
        walks = run.observed.walks
        both = set(last.new).union(*last.old.values())
        alone = math.sqrt(sum(walks[w].squares.get(key, 0.0) for w in last.new for key in last.step.found))
        kept = [key for key in last.old if last.step.found[key]]
        whose = "" if len(kept) == len(last.step.found) else f" (of {run.names(kept)}; the others are cleared)"
        size = f" Its size is {last.step.size:.3g}, and that of {run.of_walks(last.new)} alone is {alone:.3g}."
        yield Mistake(
            "gradients-not-zeroed",
            "backward adds to .grad, and nothing clears it between two steps, so each step follows the sum of the "
            "gradients so far. Call optimizer.zero_grad() once for each step: before backward, or after step.",
            f"the step in {run.batch_name(last.step.batch)} used the gradients of {run.of_walks(both)}{whose}."
            + ("" if math.isnan(last.step.size) else size),
        )
        return
    twice = [u for u in run.updates if u.old and not u.new and u.previous and u.previous.walked == u.step.walked]
    if len(twice) >= 2 or (twice and len(run.updates) <= 4):
        last = twice[-1]
        yield Mistake(
            "step-twice",
            "optimizer.step() is called again with the same gradient. Call it once after each backward.",
            f"the gradient of {run.of_walks(set().union(*last.old.values()))} was used by two steps; "
            f"{len(run.observed.walks)} backwards, {len(run.steps)} steps.",
        )


def walked_twice(run: Run) -> Iterator[Mistake]:
    """backward runs twice from the same loss, and both gradients are used."""
    again = [w for w, walk in enumerate(run.observed.walks) if walk.again]
    if again and 2 * len(again) >= len(run.observed.walks):
        yield Mistake(
            "backward-twice",
            "loss.backward() runs twice on the same loss, so its gradient is added twice. Call it once; retain_graph "
            "is not needed then.",
            f"{len(run.observed.walks)} backwards, of which {len(again)} began at a loss that had had its backward.",
        )


def clipping(run: Run) -> Iterator[Mistake]:
    """Gradients are clipped before they are there, or after the step that used them."""
    clips, right = run.observed.clips, "The order is loss.backward(), clip_grad_norm_(...), optimizer.step()."
    early, late = clips.count("early"), clips.count("late")
    if 2 * (early + late) > len(clips) and run.observed.walks:
        when = "before backward, when there is no gradient yet" if early > late else "after the step that used them"
        says = f"The gradients are clipped {when}, so no step takes a clipped one. {right}"
        yield Mistake("clipped-without-effect", says, f"{early + late} of {len(clips)} times.")


def outside_the_loop(run: Run) -> Iterator[Mistake]:
    """Of each pass over the data, only the last batch's loss has a backward."""
    whole = [each for each in passes(run.trained) if len(each) > 2]
    walked = {id(run.observed.batches[i]) for walk in run.observed.walks for i in walk.batches if i >= 0}
    if not whole or not run.observed.walks:
        return
    for each in whole:
        ready = all(batch.losses and any(recorded for _, recorded in batch.forwards) for batch in each)
        if not ready or [id(batch) in walked for batch in each] != [False] * (len(each) - 1) + [True]:
            return
    yield Mistake(
        "backward-outside-loop",
        "Only the last batch of a pass is trained on: loss.backward() and optimizer.step() stand after the loop over "
        "the batches. Indent them, so that each batch has its own.",
        f"{len(run.trained)} batches have a loss, and backward ran for {len(whole)} of them.",
    )


def no_step(run: Run) -> Iterator[Mistake]:
    """Gradients come, and nothing is updated."""
    observed = run.observed
    if run.training and observed.walks and not observed.steps and not run.changed:
        yield Mistake(
            "no-step",
            "Gradients are computed, but no step is taken, so the parameters never change. Call optimizer.step() after "
            "loss.backward().",
            f"{len(observed.walks)} backwards and no step; all parameters have the values that they began with.",
        )


def unused(run: Run) -> Iterator[Mistake]:
    """Most gradients are cleared before any step uses them, although steps are taken."""
    walks = run.observed.walks
    lost = [w for w in range(run.steps[-1].walked) if w not in run.used] if run.steps else []
    if run.used and len(run.observed.optimizers) == 1 and len(lost) > len(walks) / 2 and len(run.steps) < len(walks):
        yield Mistake(
            "gradients-unused",
            "Most gradients are cleared before a step uses them. Call optimizer.step() in the loop over the batches, "
            "right after loss.backward().",
            f"{len(walks)} backwards, {len(run.steps)} steps; the gradients of {run.of_walks(lost)} were never used.",
        )


def other_parameters(run: Run) -> Iterator[Mistake]:
    """The parameters that get gradients are not those that the optimizer has."""
    reached = run.reached
    for optimizer in run.observed.optimizers.values():
        params = {id(p) for p in params_of(optimizer) if p.requires_grad}
        known = run.observed.names.keys()
        without = params - reached
        orphans, left_out = without - known, (reached & known) - params
        if not reached or not params or len(run.observed.optimizers) > 1:
            continue
        plain = [key for key in reached if not isinstance(run.observed.held[key].leaf, Parameter)]
        if known and len(plain) == len(reached) and not params & reached:
            yield Mistake(
                "loss-detached",
                "The loss has no connection to the parameters: it is computed from numbers that were taken out of the "
                "graph (argmax, item(), detach(), a new Tensor). requires_grad on the new Tensor does not bring it "
                "back. Compute the loss from what the model returns.",
                f"backward brings a gradient only to {len(reached)} Tensor{'s' if len(reached) > 1 else ''} that the "
                "loop makes, and to no parameter.",
            )
        elif not params & reached or (known and orphans and left_out):
            count = len(without)
            yield Mistake(
                "other-parameters",
                "The optimizer does not have the parameters that get the gradients. Make it after the model (and after "
                "replacing layers or copying the model): optimizer = SGD(model.parameters(), ...).",
                f"backward brings gradients to {len(reached)} Tensors; {count} of the optimizer's {len(params)} "
                "parameters are not among them"
                + (f", and {run.names(left_out)} of the model are not in the optimizer." if left_out else "."),
            )


# --- accumulation -----------------------------------------------------------------------------------------------------


def accumulation(run: Run) -> Iterator[Mistake]:
    """The means of several batches are added up, and not averaged; or one batch's mean is divided once more."""
    walks, batches = run.observed.walks, run.observed.batches
    for update in run.updates:
        used = [walks[w] for w in update.new]
        numbers = set().union(*[walk.batches for walk in used]) if used else set()
        if -1 in numbers or update.old or not used:
            continue
        by_loader: dict[int, list[int]] = {}
        for number in sorted(numbers):
            by_loader.setdefault(batches[number].loader, []).append(number)
        most = max(by_loader.values(), key=len, default=[])
        unchanged = math.isnan(update.step.ratio) or abs(update.step.ratio - 1) < 1e-3
        if len(most) > 1 and unchanged and all(abs(walk.scale - 1) < 1e-3 for walk in used):
            k = len(most)
            last = f"{batches[most[0]].number} to {batches[most[-1]].number}"
            yield Mistake(
                "loss-not-divided",
                f"The gradients of {k} batches are added up. Each is that of a mean over its batch, so the sum is {k} "
                f"times the gradient of the mean over all {k}. Use (loss / {k}).backward().",
                f"the step in {run.batch_name(update.step.batch)} used batches {last}, each loss with the factor 1; "
                f"1/{k} is due.",
            )
            return
    sizes = [batches[walk.batch].size for walk in walks if walk.batch >= 0]
    singly = len(sizes) == len(walks) and all(len(update.new) <= 1 for update in run.updates)
    # Only a factor that follows the batch's size is a division by it.
    if singly and len(set(sizes)) > 1 and all(abs(w.scale * n - 1) < 1e-3 for w, n in zip(walks, sizes, strict=True)):
        yield Mistake(
            "mean-divided-again",
            "The loss is divided by the number of samples, but it is the mean over them already. Leave out the "
            "division, or use reduction='sum'.",
            f"a batch of {sizes[0]} has the factor 1/{sizes[0]}, one of {sizes[-1]} has 1/{sizes[-1]}.",
        )


# --- what the loss gets -----------------------------------------------------------------------------------------------


def loss_inputs(run: Run) -> Iterator[Mistake]:
    """Probabilities instead of scores, scores instead of log-probabilities, every prediction against every target."""
    seen = run.observed.seen

    def mostly(kind: str, of: str) -> bool:
        return bool(seen[kind]) and 2 * seen[kind] > seen[of]

    if mostly("log-softmax of probabilities", "log-softmax"):
        c = run.observed.classes
        least = math.log(math.e + c - 1) - 1
        yield Mistake(
            "softmax-before-cross-entropy",
            "The loss gets probabilities, and takes their softmax again. CrossEntropyLoss takes scores (logits): leave "
            "out the softmax before it.",
            f"each row of its input is from 0 to 1 and sums to 1. So the loss cannot fall below {least:.3g} (with {c} "
            "classes), and the gradients are small.",
        )
    elif mostly("log-softmax of sigmoids", "log-softmax"):
        yield Mistake(
            "sigmoid-before-cross-entropy",
            "The scores go through a sigmoid, and CrossEntropyLoss takes their softmax. It takes scores (logits): "
            "leave out the sigmoid before it.",
            "its input is the result of a sigmoid. No score is above 1 or below 0, so no class can become much surer "
            "than another.",
        )
    if seen["log-softmax over the batch"] or mostly("log-softmax of softmax over the batch", "log-softmax"):
        yield Mistake(
            "softmax-over-batch",
            "The softmax is over the samples of the batch, dim=0, so each class's probabilities add up to 1, not each "
            "sample's. The classes stand along dim=1.",
            "along dim 0 the probabilities that the loss gets add up to 1.",
        )
    if mostly("nll of probabilities", "nll"):
        yield Mistake(
            "softmax-before-nll",
            "NLLLoss takes log-probabilities, but gets probabilities. Use log_softmax instead of softmax, or "
            "CrossEntropyLoss on the scores.",
            "each row of its input is from 0 to 1 and sums to 1.",
        )
    elif mostly("nll of scores", "nll"):
        yield Mistake(
            "log-softmax-missing",
            "NLLLoss takes log-probabilities, but gets scores. Use CrossEntropyLoss, or put log_softmax before it.",
            "the exponentials of most rows of its input do not sum to 1.",
        )
    if mostly("bce with logits of probabilities", "bce with logits"):
        yield Mistake(
            "sigmoid-before-bce-with-logits",
            "BCEWithLogitsLoss takes scores (logits) and applies the sigmoid itself. Leave out the sigmoid before it, "
            "or use BCELoss.",
            "all its inputs are from 0 to 1, after a sigmoid.",
        )
    if seen["broadcast"]:
        n = next((batch.size for batch in run.observed.batches if batch.size > 1), 0)
        yield Mistake(
            "prediction-and-target-broadcast",
            "A column of predictions meets a row of targets, so each prediction is compared with every target. Give "
            "both the same shape: pred.squeeze(1), or y.unsqueeze(1).",
            f"shapes [{n}, 1] and [{n}] gave [{n}, {n}].",
        )


def labels(run: Run) -> Iterator[Mistake]:
    """The targets stand in another order than the inputs."""
    judged = [batch for batch in run.observed.batches if batch.misplaced is not None]
    wrong = [batch for batch in judged if batch.misplaced]
    if len(wrong) > 1 and 2 * len(wrong) > len(judged):
        count, size = sum(batch.misplaced or 0 for batch in wrong), sum(batch.size for batch in judged)
        yield Mistake(
            "labels-shuffled",
            "The labels are not in the order of their inputs. Shuffle both with one permutation, or let the DataLoader "
            "shuffle.",
            f"the loss got the labels of each batch in another order than the data loader gave them: {count} of {size} "
            "samples were compared with the label of another one.",
        )


# --- modes ------------------------------------------------------------------------------------------------------------


def modes(run: Run) -> Iterator[Mistake]:
    """Training in evaluation mode, evaluation in training mode, evaluation that is recorded."""
    layers = sorted({type(m).__name__ for model in run.observed.models for m in model.modules()})
    different = [name for name in layers if DIFFERENT.search(name)]
    effect = f"This changes what {', '.join(different)} does." if different else "This model has no layer that differs."
    for number, batches in enumerate(passes(run.trained), start=1):
        trained = [mode for batch in batches for mode, recorded in batch.forwards if recorded]
        if 2 * sum(trained) < len(trained):
            yield Mistake(
                "training-in-evaluation-mode",
                "The model is trained in evaluation mode. Call model.train() before the loop over the batches, in each "
                "epoch.",
                f"in pass {number} through the data, model.training was False in {len(trained) - sum(trained)} of "
                f"{len(trained)} forwards. {effect}",
            )
            break
    tested = [forward for batch in run.tested for forward in batch.forwards]
    if tested and all(mode for mode, _ in tested):
        yield Mistake(
            "evaluation-in-training-mode",
            "The model is tested in training mode. Call model.eval() first, here or where this is called.",
            f"model.training was True in all {len(tested)} batches. {effect}",
        )
    if tested and all(recorded for _, recorded in tested) and (run.training or not run.observed.walks):
        yield Mistake(
            "no-grad-missing",
            "The test records operations for a backward that never comes, which takes memory and time. Put it inside "
            "`with no_grad():`, here or where it is called.",
            f"all {len(tested)} predictions require a gradient.",
        )


def passes(batches: Sequence[Batch]) -> list[list[Batch]]:
    """The batches of each pass over the data."""
    starts = [i for i, batch in enumerate(batches) if batch.number == 1] or [0]
    return [[*batches[a:b]] for a, b in itertools.pairwise([*starts, len(batches)])]


def optimizer_made_again(run: Run) -> Iterator[Mistake]:
    """Each step is taken by an optimizer of its own, for the same parameters."""
    optimizers = run.observed.optimizers.values()
    sets = {frozenset(map(id, params_of(each))) for each in optimizers}
    if len(optimizers) > 2 and len(sets) == 1 and len(run.steps) == len(optimizers):
        yield Mistake(
            "optimizer-made-again",
            "A new optimizer is made for each step, so momentum and Adam's averages are lost. Make it once, before the "
            "loop.",
            f"{len(run.steps)} steps by {len(optimizers)} optimizers.",
        )


def model_made_again(run: Run) -> Iterator[Mistake]:
    """Each batch trains parameters of its own, for one step."""
    sets = [{*map(id, params_of(each))} for each in run.observed.optimizers.values()]
    once = len(run.steps) == len(sets) == len({step.batch for step in run.steps})
    if len(sets) > 2 and once and len(set().union(*sets)) == sum(map(len, sets)):
        yield Mistake(
            "model-made-again",
            "A new model is made for each batch, so what the last one learned is lost. Make the model and its "
            "optimizer once, before the loop.",
            f"{len(run.steps)} steps, each for parameters that no other step has.",
        )


def rate_falls(run: Run) -> Iterator[Mistake]:
    """Within one pass, the learning rate falls to a hundredth or less, a little at each step."""
    for each in passes(run.trained):
        numbers = {run.observed.batches.index(batch) for batch in each}
        rates = [step.rate for step in run.steps if step.batch in numbers]
        if len(rates) > 2 and all(b < a for a, b in itertools.pairwise(rates)) and rates[-1] <= 0.01 * rates[0]:
            yield Mistake(
                "schedule-per-batch",
                "The learning rate falls so fast that training ends after a few batches. A schedule that is made for "
                "epochs, such as StepLR or ExponentialLR, has its scheduler.step() after the loop over the batches.",
                f"from {rates[0]:.3g} to {rates[-1]:.3g} in {len(rates)} steps.",
            )
            return


def earlier_graphs(run: Run) -> Iterator[Mistake]:
    """The loss of a batch still depends on earlier batches, whose losses were differentiated already."""
    walked: set[int] = set()
    for walk in run.observed.walks:
        again = {batch for batch in walk.batches & walked if 0 <= batch < walk.batch}
        if again:
            yield earlier_graph(run.observed, walk.batch, again, "and the gradients of those batches come again.")
            return
        walked |= walk.batches


def earlier_graph(observed: LoopObserver, batch: int, again: Collection[int], effect: str) -> Mistake:
    """A loss that depends on batches whose losses were differentiated before. effect: what follows from it."""
    numbers = ", ".join(str(observed.batches[number].number) for number in sorted(again))
    return Mistake(
        "graph-of-earlier-batch",
        "The loss still depends on a value of an earlier batch, such as a hidden state or a sum of losses. Use "
        "detach() on what is kept from batch to batch.",
        f"the loss of batch {observed.batches[batch].number} was computed from batch {numbers} as well, {effect}",
    )


def on_test_data(run: Run) -> Iterator[Mistake]:
    """Backward runs on the batches of a loader that is named as one of test data, beside another one."""
    observed = run.observed
    tests = [name for i, name in enumerate(run.loaders) if i in run.walked_loaders and re.match("val|test|eval", name)]
    if tests and len(run.walked_loaders) > len(tests):
        count = sum(run.loaders[observed.batches[walk.batch].loader] == tests[0] for walk in observed.walks)
        yield Mistake(
            "training-on-test-data",
            "The model is also trained on the data that it is tested with. Test without backward and step.",
            f"{count} of {len(observed.walks)} backwards ran on batches of {tests[0]}.",
        )


def graphs_kept(run: Run) -> Iterator[Mistake]:
    """Losses are kept as Tensors, and with them the graphs that they were computed with."""
    kept = run.observed.kept if run.observed.walks else run.observed.kept_unused
    if kept >= 2:
        yield Mistake(
            "graph-kept",
            "The losses are kept or added up as Tensors, and each keeps the graph that it was computed with. Use "
            "loss.item().",
            f"the losses of {kept} earlier batches were still there with their graphs.",
        )


# --- what a test reports ----------------------------------------------------------------------------------------------


def metrics(run: Run) -> Iterator[Mistake]:
    """Samples that were not tested; an accuracy or a loss that was divided by the wrong number."""
    whole = [batch for batch in run.tested if batch.size]
    if not whole or len({batch.loader for batch in whole}) > 1 or any(len(batch.forwards) > 1 for batch in whole):
        return  # with several forwards in one batch, it is not known which batch they belong to
    skipped = [batch for batch in whole if not batch.forwards]
    if skipped and len(skipped) < len(whole):
        count, size = sum(batch.size for batch in skipped), sum(batch.size for batch in whole)
        yield Mistake(
            "samples-skipped",
            "Some batches are not tested. Every sample counts in a test, also those of a last, smaller batch.",
            f"the model did not get {count} of {size} samples.",
        )
        return
    reported = [*_returned(run.returned), *_printed(run.printed)]
    size, count = sum(batch.size for batch in whole), len(whole)
    judged: list[tuple[str, list[float], list[tuple[str, float, str]]]] = []
    if all(batch.right is not None for batch in whole):
        right, worst = sum(batch.right or 0 for batch in whole), sum(batch.worst or 0 for batch in whole)
        over = f"The correct answers are divided by the {count} batches. Divide by the {size} samples."
        last = "Only the last batch's correct answers are counted: add those of each batch (correct += ...)."
        least = "The model's answer is the class with the largest score, not with the smallest. Use argmax."
        for what, unit in (("accuracy", 1), ("accuracy in %", 100)):
            readings = [
                ("accuracy-over-batches", unit * right / count, over),
                ("smallest-score", unit * worst / size, least),
                *[("last-batch-only", unit * (whole[-1].right or 0) / n, last) for n in (size, whole[-1].size)],
            ]
            judged.append((what, [unit * right / size], readings))
    losses = [batch.losses[-1] for batch in whole if batch.losses]
    if len(losses) == count and all(mean for _, mean in losses):
        total = sum(loss for loss, _ in losses)
        weighted = sum(loss * batch.size for (loss, _), batch in zip(losses, whole, strict=True)) / size
        over = (
            f"Each loss is a mean over its batch. Divide their sum by the {count} batches, not by the {size} samples."
        )
        readings = [
            ("loss-over-samples", total / size, over),
            ("last-batch-only", losses[-1][0], "The loss is that of the last batch alone. Average over all batches."),
        ]
        judged.append(("loss", [total / count, weighted], readings))
    # A number that is right as one thing is not taken for another thing that is wrong.
    wrong = [each for each in reported if not any(_is(each, value) for _, due, _ in judged for value in due)]
    for what, due, readings in judged:
        if any(_is(each, value) for each in reported for value in due):
            continue
        for name, value, says in readings:
            clear = value or len(reported) == 1  # beside others, a 0 may be anything
            apart = clear and all(abs(value - other) > 1e-3 * abs(other) for other in due)
            if apart and any(_is(each, value) for each in wrong):
                yield Mistake(name, says, f"the loop reports {value:.6g} as {what}; {due[0]:.6g} is due.")
                break


def _is(reported: tuple[float, float], value: float) -> bool:
    """Whether a reported number (the number, how exact it is) is this value."""
    number, within = reported
    return abs(number - value) <= within + 1e-5 * abs(value)


def _returned(value: Any) -> Iterator[tuple[float, float]]:
    """The numbers in what a loop returned, with how exact they are."""
    if isinstance(value, Tensor) and value.array.size == 1:
        value = value.array.item()
    if isinstance(value, dict | tuple | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _returned(part)
    elif isinstance(value, float | np.floating):
        yield float(value), 1e-6 * abs(float(value))


def _printed(text: str) -> Iterator[tuple[float, float]]:
    """The numbers with decimals that a loop printed, with half of the last digit."""
    for found in re.finditer(r"(?<![\w.])\d+\.(\d+)(?![\w.]*\d)", text):
        yield float(found[0]), 0.5001 * 10.0 ** -len(found[1])


# --- facts ------------------------------------------------------------------------------------------------------------


def notes(run: Run) -> Iterator[str]:
    """What is not wrong in itself, but worth knowing."""
    observed = run.observed
    if run.training and run.changed and not observed.walks:
        yield "The parameters change without a backward that leaves gradients in .grad, so their use was not checked."
    if observed.walks and run.steps:
        after = [w for w in range(run.steps[-1].walked, len(observed.walks)) if w not in run.used]
        if after and len(after) < len(observed.walks) and max(len(u.new) for u in run.updates) > 1:
            yield f"The gradients of {run.of_walks(after)} are left without a step when the pass ends."
    reached = run.reached
    for optimizer in observed.optimizers.values():
        params = {id(p): p for p in params_of(optimizer)}
        never = [key for key, p in params.items() if p.requires_grad and key not in reached]
        if never and len(never) < len(params) and observed.walks:
            yield f"No gradient ever reaches {run.names(never)} of the {len(params)} parameters of the optimizer."
        left_out = (reached & observed.names.keys()) - params.keys()
        if left_out and params.keys() & reached and len(observed.optimizers) == 1:
            names = run.names(left_out)
            yield f"Backward also brings gradients to {names} of the model; the optimizer has none of them."
        groups = getattr(optimizer, "param_groups", [])
        if observed.walks and not run.changed and groups and all(group.get("lr") == 0 for group in groups):
            yield "The learning rate is 0, so no step changes anything."
    if any(walk.negated for walk in observed.walks) and not any(map(_maximizes, observed.optimizers.values())):
        yield "The loss is negated before backward, so each step makes it larger. Is that meant?"
    yield from _growing(run.trained)
    if observed.seen["one class for all"] and observed.seen["one class for all"] == observed.seen["loss of classes"]:
        yield "The loss gets one and the same class for all samples, but the labels of the batches differ: use them."
    whole = passes(run.trained)
    if len(whole) > 2 and all(len(each) == 1 for each in whole) and run.several:
        yield (
            "Each time, only the data loader's first batch is used (next(iter(dataloader)) in a loop). Unless it "
            "shuffles, that is always the same batch. Use `for X, y in dataloader`."
        )
    yield from _classes(run.trained)
    if observed.seen["scores cut off at 0"] and observed.seen["scores cut off at 0"] == observed.seen["log-softmax"]:
        yield "All scores that the loss gets are 0 or larger, and many are 0: leave out a ReLU after the last layer."


def _maximizes(optimizer: Any) -> bool:
    return any(group.get("maximize") for group in getattr(optimizer, "param_groups", []))


def _growing(batches: Sequence[Batch]) -> Iterator[str]:
    """Whether the loss explodes."""
    losses = [batch.losses[0][0] for batch in batches if batch.losses]
    if len(losses) > 2 and losses[0] > 0 and not max(losses[-2:]) <= 10 * losses[0]:
        yield (
            f"The loss grows from {losses[0]:.3g} to {max(losses):.3g} within {len(losses)} batches: the learning rate "
            "is too large, or the steps go the wrong way."
        )


def _classes(batches: Sequence[Batch]) -> Iterator[str]:
    """Whether each batch has samples of one class only, and different batches different classes."""
    labels = [batch.y for batch in batches if batch.y is not None and batch.y.ndim == 1 and batch.y.dtype.kind in "iu"]
    if len(labels) > 1 and all(len(y) > 3 and len(set(y.tolist())) == 1 for y in labels):
        found = sorted({int(y[0]) for y in labels})
        others = f", and all {len(labels)} batches have the same" if len(found) == 1 else ""
        yield f"Each batch has samples of one class only{others}: shuffle the data (DataLoader(..., shuffle=True))."


TESTS: tuple[Callable[[Run], Iterator[Mistake]], ...] = (
    no_backward,
    other_parameters,
    wrong_order,
    not_zeroed,
    no_step,
    unused,
    walked_twice,
    clipping,
    outside_the_loop,
    optimizer_made_again,
    model_made_again,
    rate_falls,
    earlier_graphs,
    accumulation,
    loss_inputs,
    labels,
    modes,
    on_test_data,
    graphs_kept,
    metrics,
)
