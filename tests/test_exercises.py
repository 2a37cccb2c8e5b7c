"""Every exercise of the table: its stub fails, its solution passes, each planted mistake is found. New ones come by
themselves.
"""

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minitrain.learn import check_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.checking import CURVES_APART, LIMIT, SCREEN, Stage, _short, _values, check
from minitrain.learn.child_process import Child
from minitrain.learn.compare_values import CLOSE, difference
from minitrain.learn.exercises import EXERCISES, PACKAGE, Exercise, backward_passes, unpacked
from minitrain.learn.explain_errors import LearnerFile
from minitrain.learn.measurements import Case, Operation, numbers
from minitrain.learn.splice import body_of, splice
from minitrain.mistakes.catalogue import CATALOGUE
from minitrain.mistakes.specimen import VALUES, Specimen
from tests.exercise_words import NAMED
from tests.planted import planted

pytestmark = pytest.mark.usefixtures("parsing_one_at_a_time")
every_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))


def outcomes(folder: Path, files: Iterable[tuple[Exercise, str]]) -> list[list[Stage]]:
    """The stages of the check of each text, in the order of the files; two at a time."""

    def stages(number: int, exercise: Exercise, text: str) -> list[Stage]:
        path = folder / f"{exercise.name}-{number}.py"
        path.write_text(text, encoding="utf-8")
        return list(check(exercise, path, torch=False))

    files = list(files)
    for exercise in {exercise.name: exercise for exercise, _ in files}.values():
        exercise.expected, exercise.expected_losses  # noqa: B018  computed here, once, not by both threads
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(stages, range(len(files)), *zip(*files, strict=True)))


def failed(stages: list[Stage]) -> bool:
    """Whether the last stage, and only that, has failed, with something to say."""
    assert all(stage.passed for stage in stages[:-1])
    assert all(stage.text.strip() for stage in stages)
    return not stages[-1].passed


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the solution"
    return text.replace(old, new)


# --- the table --------------------------------------------------------------------------------------------------------


def test_there_is_an_exercise_for_everything_that_is_to_be_learned() -> None:
    targets = {exercise.target for exercise in EXERCISES.values()}
    assert len(EXERCISES) >= 24
    for operation in ("ReLU", "Linear", "Flatten", "Add", "LogSoftmax", "NLLLoss", "MSELoss", "Softmax", "Matmul"):
        assert f"ops.{operation}.backward" in targets
    for operation in ("Sum", "Mean", "Index"):
        assert f"ops.{operation}.backward" in targets
    assert {"tape.walk_back", "optim.Optimizer.zero_grad", "loops.train_loop"} <= targets
    assert {"optim.SGD.update", "optim.RMSprop.update", "optim.Adam.update"} <= targets
    assert sum(bool(exercise.bug) for exercise in EXERCISES.values()) >= 4
    assert {"momentum", "nesterov"} <= EXERCISES.keys()


def test_the_exercises_of_a_track_stand_together_and_a_first_one_takes_five_minutes() -> None:
    tracks = [exercise.track for exercise in EXERCISES.values()]
    assert len(set(tracks)) == sum(a != b for a, b in zip(tracks, [None, *tracks], strict=False))
    assert next(iter(EXERCISES.values())).minutes <= 5


@every_exercise
def test_an_exercise_says_what_a_learner_wants_to_know(exercise: Exercise) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", exercise.name)
    assert len(exercise.hints) >= 3
    assert len(set(exercise.hints)) == len(exercise.hints)
    assert 1 <= exercise.minutes <= 60
    assert exercise.title
    assert exercise.why.endswith((".", ".)"))
    assert exercise.task.endswith((".", ".)"))
    assert exercise.faults
    for text in (exercise.stub(), exercise.solution()):
        assert exercise.name in text.partition("\n")[0]
        assert max(map(len, text.splitlines())) <= 120
    assert exercise.title not in [other.title for other in EXERCISES.values() if other is not exercise]


@every_exercise
def test_an_exercise_builds_on_earlier_ones_that_are_no_harder(exercise: Exercise) -> None:
    names = list(EXERCISES)
    assert exercise.level in (1, 2, 3)
    for earlier in exercise.builds_on:
        assert names.index(earlier) < names.index(exercise.name)
        if not exercise.bug:  # a bug is easier to find than the piece is to write
            assert EXERCISES[earlier].level <= exercise.level


@every_exercise
def test_a_learners_file_can_be_run_by_itself(exercise: Exercise) -> None:
    for text in (exercise.stub(), exercise.solution()):
        exec(compile(text, "learners.py", "exec", dont_inherit=True), {"__name__": "learners"})


@every_exercise
def test_the_stub_differs_from_the_solution_in_the_body_alone(exercise: Exercise) -> None:
    bodies = [body_of(exercise.piece)] + [CATALOGUE[bug].body for bug in (exercise.bug,) if bug]
    lines = {line.strip() for body in bodies for line in body.splitlines()}
    stub, solution = ({line.strip() for line in text.splitlines()} for text in (exercise.stub(), exercise.solution()))
    differing = {line for line in stub ^ solution if "raise NotImplementedError" not in line}
    assert differing
    assert differing <= lines


def test_the_readmes_example_is_an_exercise() -> None:
    readme = (PACKAGE / "learn" / "README.md").read_text("utf-8")
    entry = re.search(r"^    exercise\(\n.*?^    \),\n", readme, re.MULTILINE | re.DOTALL)
    assert entry is not None
    names = {**vars(backward_passes), "Operation": Operation, "Case": Case, "numbers": numbers, "programs": programs}
    example: Exercise = eval(entry[0].strip().rstrip(","), names)
    answer, _ = example.run("values")
    assert answer["wrong"] is None
    assert answer["measured"] == 12
    assert example.expected_losses
    for fault in example.faults:
        assert CATALOGUE[fault].of == example.target
        assert example.wrong(fault) not in (example.solution(), example.stub())


# --- stubs, solutions and faults --------------------------------------------------------------------------------------


@every_exercise
def test_the_solution_passes(exercise: Exercise, tmp_path: Path) -> None:
    ((*stages, last),) = outcomes(tmp_path, [(exercise, exercise.solution())])
    for stage in (*stages, last):
        assert stage.passed, stage.text
    assert [stage.name for stage in stages][0::2] == ["file", "torch"]
    assert last.name == "training"


def test_a_stub_fails_with_a_message(tmp_path: Path) -> None:
    of_each_track = {exercise.track: exercise for exercise in EXERCISES.values() if not exercise.bug}.values()
    stubs = [(exercise, exercise.stub()) for exercise in of_each_track]
    for (exercise, stub), stages in zip(stubs, outcomes(tmp_path, stubs), strict=True):
        assert failed(stages)
        line = 1 + next(i for i, x in enumerate(stub.splitlines()) if 'NotImplementedError("write' in x)
        assert f"line {line}:" in stages[-1].text, exercise.name
        assert "still to be written" in stages[-1].text


TOLD = ("expected ", "Likely:", "Error:", "writes into", "no gradient arrived")
OTHER_WORDS = {  # of mistakes that an exercise's check calls by another name than gradcheck, or notices before
    "index-starts-from-ones": "term-without-grad",
    "normalize-rate-squared": "derivative-missing",
    "normalize-weight-times-x": "wrong-derivative",
    "zero-grad-does-nothing": "whether .grad is None after zero_grad(): no",
    "sgd-decay-written-into-the-gradient": "you must not write into them",
}


@every_exercise
def test_each_fault_is_found(exercise: Exercise, tmp_path: Path) -> None:
    assert {CATALOGUE[fault].of for fault in exercise.faults} <= {exercise.target}
    last = {fault: stage_here(exercise, CATALOGUE[fault]) for fault in exercise.faults[1:]}
    trying = [fault for fault in exercise.faults if last.get(fault) is None]  # in a process each, as a learner's is
    files = [(exercise, exercise.wrong(fault)) for fault in trying]
    for fault, stages in zip(trying, outcomes(tmp_path, files), strict=True):
        assert failed(stages), fault
        last[fault] = stages[-1]
    for fault, stage in last.items():
        assert stage is not None
        assert not stage.passed, fault
        assert stage.name in ("gradcheck", "updates", "values"), fault
        text = " ".join(stage.text.split())
        assert len(stage.text.splitlines()) <= SCREEN, fault
        if exercise.bug:
            assert "Likely:" not in text, fault
        elif fault in NAMED:
            assert NAMED[fault] in text, text
        elif CATALOGUE[fault].mistake == VALUES:
            assert "where the library has" in text or any(words in text for words in TOLD), text
        else:
            assert OTHER_WORDS.get(fault, CATALOGUE[fault].mistake) in text, text


def stage_here(exercise: Exercise, specimen: Specimen) -> Stage | None:
    """The stage that finds a mistake planted in this process; None if the piece raises, or if the stage passes.

    Another module may hold a function by another name, so that the mistake is not planted everywhere.
    """
    exercise.expected  # noqa: B018  computed here, with the library's function
    file = LearnerFile(Path("wrong.py"), exercise.wrong(specimen.name), exercise.piece, LIMIT)
    with planted(specimen), np.errstate(all="ignore"):
        try:
            answer, arrays = exercise.run("values")
        except Exception:
            return None
        child: Any = SimpleNamespace(arrays=unpacked(arrays), answer=lambda: answer, printed=lambda: "")
        stage = _short(_values(exercise, child, file))
    return None if stage.passed else stage


by_target: dict[str, list[Specimen]] = {}
for specimen in CATALOGUE.values():
    if specimen.of in {exercise.target for exercise in EXERCISES.values()}:
        by_target.setdefault(specimen.of, []).append(specimen)


def found_here(exercise: Exercise, specimen: Specimen) -> bool:
    """Whether the exercise's probes or its training run find a mistake, all in this process."""
    exercise.expected, exercise.expected_losses  # noqa: B018  computed here, with the library's function
    with planted(specimen), np.errstate(all="ignore"):
        try:
            if difference(exercise.arrays(), exercise.expected, CLOSE, "") is not None:
                return True
            if any(probe.report().wrong is not None for probe in exercise.probes):
                return True
            program = exercise.program or list
            return not np.allclose(program(), exercise.expected_losses, rtol=CURVES_APART)
        except Exception:
            return True


@pytest.mark.parametrize("target", by_target)
def test_each_mistake_of_the_catalogue_is_found_by_an_exercise_with_its_target(target: str, tmp_path: Path) -> None:
    trying = {specimen.name: specimen for specimen in by_target[target]}
    for exercise in [exercise for exercise in EXERCISES.values() if exercise.target == target]:
        trying = {name: specimen for name, specimen in trying.items() if not found_here(exercise, specimen)}
        if target.split(".")[-2][0].isupper():
            continue  # a method is found here or not at all; another module may hold a function by another name
        files = [(exercise, exercise.wrong(name)) for name in trying]
        for name, stages in zip(list(trying), outcomes(tmp_path, files), strict=True):
            if failed(stages):
                del trying[name]
    assert not trying


# What a learner would write, without the library's faster forms and its other options.
PLAIN = {
    "relu-forward": "y = np.maximum(x, 0)\nctx.save_for_backward(y)\nreturn y",
    "linear-forward": """
        needs_x, needs_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(x if needs_weight else None, weight if needs_x else None)
        ctx.shape = x.shape
        y = x @ weight.T
        return y if bias is None else y + bias
    """,
    "softmax-forward": """
        ctx.dim = dim
        exp = np.exp(x - x.max(axis=dim, keepdims=True))
        y = exp / exp.sum(axis=dim, keepdims=True)
        ctx.save_for_backward(y)
        return y
    """,
    "mse-forward": """
        difference = x - target
        ctx.reduction = reduction
        ctx.save_for_backward(difference)
        squares = difference * difference
        return {"none": squares, "sum": squares.sum(), "mean": squares.mean()}[reduction]
    """,
    "nll-forward": """
        w = np.ones(len(labels), x.dtype)
        losses = np.zeros(len(labels), x.dtype)
        for i, label in enumerate(labels):
            if weight is not None:
                w[i] = weight[label]
            losses[i] = -w[i] * rows[kept[i], label]
        total = w.sum()
    """,
    "relu-backward": "(y,) = ctx.saved_arrays\nreturn grad_y * (y > 0)",
    "sum-backward": """
        if not ctx.keepdim:
            for axis in sorted(ctx.dim):
                grad_y = np.expand_dims(grad_y, axis)
        return grad_y * np.ones(ctx.shape)
    """,
    "unbroadcast": """
        while grad.ndim > len(shape):
            grad = grad.sum(axis=0)
        for axis, size in enumerate(shape):
            if size == 1:
                grad = grad.sum(axis=axis, keepdims=True)
        return grad
    """,
    "mul-backward": """
        a, b = ctx.saved_arrays
        shape_a, shape_b = ctx.shapes
        grad_a = None if b is None else unbroadcast(grad_y * b, shape_a)
        return grad_a, None if a is None else unbroadcast(grad_y * a, shape_b)
    """,
    "index-backward": "grad_x = np.zeros(ctx.shape)\nnp.add.at(grad_x, ctx.index, grad_y)\nreturn grad_x",
    "matmul-backward": """
        a, b = ctx.saved_arrays
        shape_a, shape_b = ctx.shapes
        grad_a = None if b is None else unbroadcast(grad_y @ np.swapaxes(b, -1, -2), shape_a)
        return grad_a, None if a is None else unbroadcast(np.swapaxes(a, -1, -2) @ grad_y, shape_b)
    """,
    "linear-input-gradient": "grad_x = (grad_rows @ weight).reshape(ctx.shape) if needs_x else None",
    "linear-weight-gradient": "grad_weight = grad_rows.T @ as_rows(x) if needs_weight else None",
    "nll-backward": """
        kept, labels, w, total = ctx.saved_arrays
        if ctx.reduction == "mean":
            w = w / total
        if ctx.reduction == "none":
            grad_y = grad_y[kept]
        grad_x = np.zeros(ctx.shape)
        grad_x[kept, labels] = -w * grad_y
        return grad_x, None, None
    """,
    "receive-grad": """
        if self._grad is None:
            self._grad = wrap(grad.copy())
        else:
            self._grad.array += grad
    """,
    "used-twice": "if edge in pending:\n    pending[edge] = pending[edge] + input_grad\n    continue",
    "walk-back": """
        pending = {root: grad}
        waiting = [root] if isinstance(root, Node) else []
        while waiting:
            node = max(waiting, key=lambda node: node.sequence_nr)
            waiting.remove(node)
            gradients = node.input_gradients(pending.pop(node))
            if not retain_graph:
                node.free()
            for (edge, _), gradient in zip(node.next_functions, gradients):
                if edge is None or gradient is None:
                    continue
                if edge in pending:
                    pending[edge] = pending[edge] + gradient
                else:
                    pending[edge] = gradient
                    if isinstance(edge, Node):
                        waiting.append(edge)
        for leaf, gradient in pending.items():
            leaf.variable.receive_grad(gradient, owned=False)
    """,
    "zero-grad": """
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                elif param.grad is not None:
                    param.grad.zero_()
    """,
    "move-and-look": """
        before = flat[j]
        try:
            flat[j] = before + step
            high, up = flat[j], self.value()
            flat[j] = before - step
            low, down = flat[j], self.value()
        finally:
            flat[j] = before
        return up, down, high - low
    """,
    "central-differences": """
        rows = []
        for j in range(array.size):
            up, down, distance = self.around(array.flat, j, 1e-6)
            rows.append((up - down) / distance)
        return np.array(rows)
    """,
    "conv-windows": """
        H = (x.shape[2] - dilation[0] * (size[0] - 1) - 1) // stride[0] + 1
        W = (x.shape[3] - dilation[1] * (size[1] - 1) - 1) // stride[1] + 1
        found = np.empty((*x.shape[:2], H, W, *size), x.dtype)
        for i in range(H):
            for j in range(W):
                for p in range(size[0]):
                    for q in range(size[1]):
                        row, column = i * stride[0] + p * dilation[0], j * stride[1] + q * dilation[1]
                        found[:, :, i, j, p, q] = x[:, :, row, column]
        return found
    """,
    "conv-forward": """
        y = np.zeros((N, out, H, W), x.dtype)
        for n in range(N):
            for o in range(out):
                for i in range(H):
                    for j in range(W):
                        y[n, o, i, j] = (seen[n, :, i, j] * weight[o]).sum()
    """,
    "conv-bias-gradient": "grad_bias = np.array([grad_y[:, o].sum() for o in range(out)])",
    "conv-weight-gradient": """
        grad_weight = np.zeros(weight.shape)
        seen = windows(padded(_, ctx.padding), (kH, kW), ctx.stride, ctx.dilation)
        for i in range(H):
            for j in range(W):
                grad_weight += np.einsum("no,ncpq->ocpq", grad_y[:, :, i, j], seen[:, :, i, j])
    """,
    "conv-add-windows": """
        grad_x = np.zeros(shape, grads.dtype)
        for i in range(grads.shape[2]):
            for j in range(grads.shape[3]):
                for p in range(grads.shape[4]):
                    for q in range(grads.shape[5]):
                        row, column = i * stride[0] + p * dilation[0], j * stride[1] + q * dilation[1]
                        grad_x[:, :, row, column] += grads[:, :, i, j, p, q]
        return grad_x
    """,
    "conv-input-gradient": """
        grad_x = padded(np.zeros(ctx.x_shape), ctx.padding)
        for i in range(H):
            for j in range(W):
                for p in range(kH):
                    for q in range(kW):
                        row = i * ctx.stride[0] + p * ctx.dilation[0]
                        column = j * ctx.stride[1] + q * ctx.dilation[1]
                        grad_x[:, :, row, column] += grad_y[:, :, i, j] @ weight[:, :, p, q]
        grad_x = unpadded(grad_x, ctx.padding)
    """,
    "avg-pool-forward": """
        y = np.empty(seen.shape[:4], x.dtype)
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                y[:, :, i, j] = seen[:, :, i, j].sum((2, 3)) / divisor[i, j]
        return y
    """,
    "avg-pool-backward": """
        (divisor,) = ctx.saved_arrays
        N, C, H, W, kH, kW = ctx.window_shape
        grad = np.zeros(ctx.whole_shape)
        for i in range(H):
            for j in range(W):
                top, left = i * ctx.stride[0], j * ctx.stride[1]
                share = grad_y[:, :, i, j] / divisor[i, j]
                grad[:, :, top : top + kH, left : left + kW] += share.reshape(N, C, 1, 1)
        return unpadded(grad, ctx.padding), None
    """,
    "max-pool-forward": """
        whole = padded(x, padding, -np.inf)
        seen = windows(whole, size, stride, dilation)
        flat = seen.reshape(*seen.shape[:4], size[0] * size[1])
        largest = np.zeros(flat.shape[:4], int)
        for place in np.ndindex(*largest.shape):
            for k in range(size[0] * size[1]):
                if flat[place][k] > flat[place][largest[place]]:
                    largest[place] = k
        y = np.take_along_axis(flat, largest[..., np.newaxis], axis=-1)[..., 0]
    """,
    "max-pool-backward": """
        largest, x = ctx.saved_arrays
        grad = np.zeros(ctx.whole_shape)
        for n, c, i, j in np.ndindex(*grad_y.shape):
            p, q = divmod(largest[n, c, i, j], ctx.window_shape[5])
            row, column = i * ctx.stride[0] + p * ctx.dilation[0], j * ctx.stride[1] + q * ctx.dilation[1]
            grad[n, c, row, column] += grad_y[n, c, i, j]
        return unpadded(grad, ctx.padding)
    """,
    "normalize-forward": """
        mean, var = x.mean(axis=dim, keepdims=True), x.var(axis=dim, keepdims=True)
        rate = (var + eps) ** -0.5
        z = (x - mean) * rate
    """,
    "batch-norm-running": """
        x = input.array
        running_mean.mul_(1 - momentum).add_(momentum * wrap(x.mean(axis=dim)))
        running_var.mul_(1 - momentum).add_(momentum * wrap(x.var(axis=dim, ddof=1)))
    """,
    "batch-norm-evaluation": """
        y = input - running_mean.reshape(shape)
        y = y / ((running_var + eps) ** 0.5).reshape(shape)
        if weight is not None:
            y = y * w
    """,
    "layer-norm": """
        dim = tuple(range(-len(sizes), 0))
        centred = input - input.mean(dim, keepdim=True)
        z = centred / ((centred * centred).mean(dim, keepdim=True) + eps).sqrt()
        if weight is not None:
            z = z * weight
        return z if bias is None else z + bias
    """,
    "normalize-weight-gradient": """
        axes = [tuple(i for i, size in enumerate(shape) if size == 1) for shape in ctx.shapes]
        if needs_weight:
            grad_weight = (grad_y * z).sum(axis=axes[0], keepdims=True)
        if needs_bias:
            grad_bias = grad_y.sum(axis=axes[1], keepdims=True)
    """,
    "normalize-backward": """
        g = grad_y if weight is None else grad_y * weight
        n = 1
        for axis in ctx.dim:
            n *= z.shape[axis]
        sums = g.sum(axis=ctx.dim, keepdims=True), (g * z).sum(axis=ctx.dim, keepdims=True)
        grad_x = rate / n * (n * g - sums[0] - z * sums[1])
    """,
    "embedding-forward": "return one_hot(input, rows).to(weight.dtype) @ weight",
    "embedding-backward": """
        grad_x = np.zeros(ctx.shape)
        for word, grad in zip(ctx.index[0].ravel(), grad_y.reshape(-1, ctx.shape[1])):
            grad_x[word] += grad
        return grad_x
    """,
    "embedding-padding": """
        y = weight[input]
        learns = wrap((input.array != padding_idx)[..., np.newaxis].astype(weight.dtype))
        return y * learns + y.detach() * (1 - learns)
    """,
    "sgd": "param -= options['lr'] * (grad + options['weight_decay'] * param)",
    "momentum": """
        grad = grad + options["weight_decay"] * param
        if options["momentum"] == 0:
            param -= options["lr"] * grad
            return
        begun = "momentum_buffer" in state
        buf = _buffer(state, "momentum_buffer", param)
        buf *= options["momentum"]
        buf += (1 - options["dampening"]) * grad if begun else grad
        param -= options["lr"] * buf
    """,
    "nesterov": """
        buf = _buffer(state, "momentum_buffer", param)
        buf *= options["momentum"]
        buf += grad
        param -= options["lr"] * (grad + options["momentum"] * buf if options["nesterov"] else buf)
    """,
    "rmsprop": """
        step = _buffer(state, "step", STEP_0)
        step += 1
        grad = grad + options["weight_decay"] * param
        square_avg = _buffer(state, "square_avg", param)
        square_avg[...] = options["alpha"] * square_avg + (1 - options["alpha"]) * grad**2
        param -= options["lr"] * grad / (np.sqrt(square_avg) + options["eps"])
    """,
    "adam": """
        beta1, beta2 = options["betas"]
        step = _buffer(state, "step", STEP_0)
        step += 1
        grad = grad + options["weight_decay"] * param
        exp_avg = _buffer(state, "exp_avg", param)
        exp_avg[...] = beta1 * exp_avg + (1 - beta1) * grad
        exp_avg_sq = _buffer(state, "exp_avg_sq", param)
        exp_avg_sq[...] = beta2 * exp_avg_sq + (1 - beta2) * grad**2
        mean, square = exp_avg / (1 - beta1 ** step.item()), exp_avg_sq / (1 - beta2 ** step.item())
        param -= options["lr"] * mean / (np.sqrt(square) + options["eps"])
    """,
    "train-step": "optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
    "train-loop": """
        model.train()
        seen = first_batch * dataloader.batch_size
        for number, (X, y) in enumerate(dataloader):
            loss = loss_fn(model(X), y)
            observer.before_update(number + first_batch, X, y, loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(X)
            observer.after_update(number + first_batch, loss, seen, len(dataloader.dataset))
    """,
    "xavier": """
        fan_in, fan_out = _fans(tensor)
        bound = gain * (6 / (fan_in + fan_out)) ** 0.5
        return uniform_(tensor, -bound, bound, generator)
    """,
    "linear-parameters": """
        bound = 1 / self.in_features**0.5 if self.in_features else 0
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)
    """,
    "soft-targets": """
        t = (1 - label_smoothing) * target + label_smoothing / log_probs.shape[class_dim]
        losses = -(log_probs * t)
        if weight is not None:
            losses = losses * _per_class(weight, log_probs)
        losses = losses.sum(class_dim)
        return losses if reduction == "none" else losses.sum() if reduction == "sum" else losses.mean()
    """,
    "label-smoothing": """
        all_of_it = (log_probs, target, weight)
        label = apply(ops.NLLLoss, *all_of_it, ignore_index=ignore_index, reduction=reduction)
        mean = _loss_of_all_classes(*all_of_it, ignore_index, reduction) / log_probs.shape[class_axis(log_probs)]
        return label + label_smoothing * (mean - label)
    """,
    "bce-forward": """
        ctx.save_for_backward(x, target, pos_weight)
        w = np.ones_like(x) if pos_weight is None else (1 - target) + pos_weight * target
        return (1 - target) * x + w * np.logaddexp(0, -x).astype(x.dtype)
    """,
    "bce-backward": """
        x, target, pos_weight = ctx.saved_arrays
        e = np.exp(-np.abs(x))
        s = np.where(x > 0, 1, e) / (1 + e)  # sigmoid x
        if pos_weight is None:
            return grad_y * (s - target), -grad_y * x, None
        to_x = grad_y * ((1 - target) * s - pos_weight * target * (1 - s))
        return to_x, grad_y * (-x + (pos_weight - 1) * np.logaddexp(0, -x)), None
    """,
    "dropout": """
        if not training or p == 0:
            return input * 1
        factor = np.where(random.bernoulli(input.shape, 1 - p), 1 / (1 - p) if p < 1 else 0, 0)
        return wrap(factor.astype(input.dtype)) * input
    """,
    "clip-norm": """
        parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        grads = [param.grad for param in parameters if param.grad is not None]
        values = np.concatenate([grad.array.ravel() for grad in grads])
        norm = np.linalg.norm(values, norm_type)
        if norm > max_norm:
            for param in parameters:
                if param.grad is not None:
                    param.grad = wrap(param.grad.array * grads[0].dtype.type(max_norm / (norm + 1e-6)))
        return wrap(np.asarray(norm, grads[0].dtype))
    """,
    "clip-value": """
        for param in [parameters] if isinstance(parameters, Tensor) else parameters:
            if param.grad is not None:
                array = param.grad.array
                array[array > clip_value] = clip_value
                array[array < -clip_value] = -clip_value
    """,
    "step-lr": """
        stage, before = self.last_epoch // self.step_size, (self.last_epoch - 1) // self.step_size
        return lr * self.gamma if self.last_epoch and stage > before else lr
    """,
    "cosine": "return self.closed_form(base_lr)",
    "hand-forward": """
        sums = np.einsum("nd,dh->nh", X, parameters["W1"]) + parameters["b1"]
        hidden = sums * (sums > 0)
        return hidden, hidden.dot(parameters["W2"]) + parameters["b2"]
    """,
    "hand-loss": """
        exp = np.exp(logits - logits.max(1)[:, None])
        p = exp / exp.sum(1)[:, None]
        loss = 0.0
        for i, label in enumerate(labels):
            row = logits[i] - logits[i].max()
            loss += np.log(np.exp(row).sum()) - row[label]
        return loss / len(labels), (p - np.eye(logits.shape[1])[labels]) / logits.shape[0]
    """,
    "hand-backward": """
        gradients = {name: np.zeros(array.shape) for name, array in parameters.items()}
        for x, h, g in zip(X, hidden, grad_logits):
            back = (parameters["W2"] @ g) * (h != 0)
            gradients["W2"] += np.outer(h, g)
            gradients["b2"] += g
            gradients["W1"] += np.outer(x, back)
            gradients["b1"] += back
        return gradients
    """,
    "hand-numeric": """
        def loss():
            return loss_and_gradient(forward_pass(parameters, X)[1], labels)[0]
        gradients = {}
        for name, array in parameters.items():
            slopes = []
            for i in range(array.size):
                before = array.flat[i]
                array.flat[i] += 1e-5
                high, up = array.flat[i], loss()
                array.flat[i] -= 2e-5
                slopes.append((up - loss()) / (high - array.flat[i]))
                array.flat[i] = before
            gradients[name] = np.array(slopes).reshape(array.shape)
        return gradients
    """,
    "hand-update": "for name in parameters:\n    parameters[name] = parameters[name] - gradients[name] * lr",
    "hand-train": """
        losses = []
        for i in range(epochs * -(-len(X) // batch_size)):
            rows = np.arange(len(X))[i % -(-len(X) // batch_size) * batch_size :][:batch_size]
            hidden, logits = forward_pass(parameters, X[rows])
            loss, grad_logits = loss_and_gradient(logits, labels[rows])
            losses += [loss]
            update(parameters, backward_pass(parameters, X[rows], hidden, grad_logits), lr)
        return tuple(losses)
    """,
    "read-shapes": "return dict(scale=(), row=(1, 4), b=(4,), W=(3, 4), x=None)",
    "read-tape": """
        names = ["SumBackward0", "MulBackward0", "ExpBackward0", "AddBackward0", "MulBackward0"]
        receivers = [("#2",), ("#3", "#5"), ("#4",), ("#5", "leaf 1"), (None, "leaf 2")]
        return {f"#{i} {name}": to for i, (name, to) in enumerate(zip(names, receivers), 1)}
    """,
    "read-order": "return tuple(reversed('h u v s y loss'.split()))",
}


def test_what_a_learner_would_write_passes_as_well(tmp_path: Path) -> None:
    files = [
        (EXERCISES[name], EXERCISES[name].with_body(textwrap.dedent(body).strip())) for name, body in PLAIN.items()
    ]
    for (exercise, _), stages in zip(files, outcomes(tmp_path, files), strict=True):
        assert stages[-1].passed, f"{exercise.name}: {stages[-1].text}"
        assert stages[-1].name == "training"


def test_where_a_bug_is_to_be_found_the_check_does_not_tell_which(tmp_path: Path) -> None:
    hunts = [(exercise, exercise.stub()) for exercise in EXERCISES.values() if exercise.bug]
    for (exercise, _), stages in zip(hunts, outcomes(tmp_path, hunts), strict=True):
        assert failed(stages), exercise.name
        assert "Likely:" not in stages[-1].text
    relu = EXERCISES["relu-backward"]
    wrong = changed(relu.solution(), "y <= 0", "y > 0")
    assert "Likely: mask-inverted" in outcomes(tmp_path, [(relu, wrong)])[0][-1].text


FORGOTTEN = {
    "layer-norm": ("pass", "layer_norm returned None. Is a return missing?"),
    "embedding-forward": ("return weight.array[input.array]", "embedding returned an array; expected a Tensor"),
    "batch-norm-running": ("running_mean = input.mean(dim)", "running_mean has not changed; expected a step"),
    "batch-norm-evaluation": ("y = apply(ops.Normalize, input, w, None, dim=dim, eps=eps)", "is the same without the"),
}


def test_a_function_of_tensors_is_told_what_it_forgot(tmp_path: Path) -> None:
    files = [(EXERCISES[name], EXERCISES[name].with_body(body)) for name, (body, _) in FORGOTTEN.items()]
    for stages, (_, words) in zip(outcomes(tmp_path, files), FORGOTTEN.values(), strict=True):
        assert failed(stages)
        assert words in " ".join(stages[-1].text.split())


# --- the training run, torch, the programs of the files ---------------------------------------------------------------


@pytest.mark.slow  # a process for each exercise
def test_every_training_run_uses_the_piece(tmp_path: Path) -> None:
    def answer(exercise: Exercise) -> dict[str, Any]:
        body = 'raise NotImplementedError("reached")'
        code = splice(exercise.piece, exercise.with_body(body), f"{exercise.name}.py")
        with Child(exercise, exercise.piece, code, ["training"], 20) as child:
            return child.answer()

    for exercise in [exercise for exercise in EXERCISES.values() if exercise.program is not None]:
        answered = answer(exercise)
        assert answered["error"]["message"] == "reached", exercise.name
        assert answered["error"]["frames"][-1][0] == f"{exercise.name}.py"


@pytest.mark.parametrize("exercise", [x for x in EXERCISES.values() if x.program is not None], ids=lambda x: x.name)
def test_the_loss_of_the_training_run_falls(exercise: Exercise) -> None:
    losses = exercise.expected_losses
    assert np.isfinite(losses).all()
    tenth = len(losses) // 10
    assert np.mean(losses[-tenth:]) < 0.8 * np.mean(losses[:tenth])


@every_exercise
def test_torch_has_the_same_values(exercise: Exercise) -> None:
    from minitrain.with_torch import exercise_references as twins

    found = {label: array for probe in exercise.probes for label, array in probe.twin(twins)}
    assert found.keys() <= exercise.expected.keys()
    for label, array in found.items():
        tolerance = 1e-5 if array.dtype == np.float32 else 1e-7
        np.testing.assert_allclose(exercise.expected[label], array, tolerance, tolerance, err_msg=label)
    assert bool(found) == (exercise.name not in {"zero-grad", "test-loop", "hunt-memory", "read-tape"})


@pytest.mark.parametrize("exercise", [x for x in EXERCISES.values() if x.script], ids=lambda exercise: exercise.name)
def test_the_program_of_a_file_shows_the_bug(exercise: Exercise, tmp_path: Path) -> None:
    def run(text: str) -> SimpleNamespace:
        path = tmp_path / "program.py"
        path.write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, path], capture_output=True, text=True, encoding="utf-8", check=False)
        return SimpleNamespace(ok=done.returncode == 0, out=done.stdout, err=done.stderr)

    wrong, right = run(exercise.stub()), run(exercise.solution())
    assert right.ok, right.err
    assert wrong.out != right.out
    assert wrong.ok or "AnomalyError" in wrong.err


def test_the_cases_have_no_two_sizes_alike() -> None:
    assert cases.x34.shape == (3, 4)
    assert len(set(cases.x34.flat)) == 12


# --- what the check says about a beginner's mistakes ------------------------------------------------------------------

LOOP = """
    size = len(dataloader.dataset)
    model.train()
    for batch, (X, y) in enumerate(dataloader, start=first_batch):
        FIRST
        loss = loss_fn(model(X), y)
        observer.before_update(batch, X, y, loss)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        observer.after_update(batch, loss, batch * dataloader.batch_size + len(X), size)
        observer.settled(batch)
        LAST
"""
UNWRITTEN = "(y,) = ctx.saved_arrays\ng = np.empty_like(grad_y)\ng[y > 0] = grad_y[y > 0]\nreturn g"


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("relu-backward", UNWRITTEN, "9 of 12 numbers of dL/dx were never written."),
        ("mse-forward", EXERCISES["mse-forward"].wrong("mse-divided-by-the-rows"), "Yours is 4 times that."),
        ("softmax-forward", EXERCISES["softmax-forward"].wrong("softmax-overflows"), "become too large"),
        (
            "linear-forward",
            "ctx.save_for_backward(x, weight)\nreturn weight @ x.T",
            "y has shape [5, 3], where the library",
        ),
        ("conv-forward", "pass", "No line before this one has set that name."),
        ("train-loop", LOOP.replace("FIRST", "if len(X) < 3: break"), "The last batch of each pass is dropped"),
        ("train-loop", LOOP.replace("LAST", "return"), "ends after the first batch of each pass"),
        ("train-loop", "model.train()", "was never called"),
    ],
)
def test_a_beginners_mistake_is_told_in_plain_words(name: str, body: str, told: str, tmp_path: Path) -> None:
    exercise = EXERCISES[name]
    body = textwrap.dedent(body.replace("FIRST", "").replace("LAST", ""))
    (stages,) = outcomes(tmp_path, [(exercise, body if "def " in body else exercise.with_body(body))])
    assert failed(stages)
    assert told in " ".join(stages[-1].text.split())


def test_a_report_shows_the_first_wrong_input_and_verbose_all() -> None:
    exercise = EXERCISES["linear-weight-gradient"]
    wrong = exercise.with_body("grad_weight = as_rows(x).T @ grad_rows if needs_weight else None")
    short, full = (
        list(check(exercise, "mine.py", source=wrong, torch=False, verbose=verbose))[-1] for verbose in (False, True)
    )
    assert len(short.text.splitlines()) + short.rest == len(full.text.splitlines())
    assert short.rest > 0 == full.rest
    assert "Linear, weight [5, 4]" in short.text
    assert "entries right" not in short.text
    assert "Or:" not in short.text
    assert "Or:" in full.text
    assert "input 1" not in full.text
