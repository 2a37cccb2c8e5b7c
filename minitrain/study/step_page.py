"""The page of one training step: a recorded Step written as one HTML file that needs no network and no library."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import html
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minitrain.files import write_output
from minitrain.ops import Array
from minitrain.study.differences import loss_after
from minitrain.study.recording import Backward

if TYPE_CHECKING:
    from minitrain.study.recording import Operation, Step, Value

HERE = Path(__file__).parent
NOTEBOOK_LIMIT = 2_000_000  # bytes; a larger page is saved, and linked
FRAME_HEIGHT = 820  # pixels
WORTH_PACKING = 0.9  # an array is compressed if that leaves less than this part of it
# A gradient is wrong where it differs from its central difference by more than these parts of both, of the largest
# gradient of its array, and of the sum of the terms, which float32 rounds.
RELATIVE, OF_LARGEST, ROUNDING = 1e-3, 2e-5, 1e-7
TARGET_OF = ("NLLLoss", "MSELoss", "BCELoss", "BCEWithLogitsLoss", "SmoothL1Loss")
LARGE = 30_000  # entries; a larger array is not stored if the page can compute its bits
ROW_UP_TO = 16  # features that lie in one row
WIDEST = 44  # cells
TEXT_AT_ONCE = 13 << 14  # bytes, a multiple of 13
ALPHABET = np.array([c for c in range(33, 127) if chr(c) not in '"&<'], np.uint8)


@dataclasses.dataclass(frozen=True)
class Fault:
    """A mistake that was planted: what it is, the diagnosis, the wrong source, and the numbers of its operations."""

    name: str
    text: str
    diagnosis: str
    source: str
    ops: tuple[int, ...]

    def __str__(self) -> str:
        """The note at the top of the page, as HTML: the diagnosis's last sentence, and the rest on demand."""
        parts = [("The diagnosis", self.diagnosis), ("The planted code", self.source)]
        more = "".join(
            f"<details><summary>{title}</summary><pre>{html.escape(text)}</pre></details>" for title, text in parts
        )
        found = self.diagnosis.rstrip().rpartition("\n\n")[2]
        return (
            f'<div class="wrap"><div class="fault" role="note"><b>Planted: {html.escape(self.name)}</b>'
            f"<p>{html.escape(self.text)}</p><p><b>Found:</b> {html.escape(found)}</p>{more}</div></div>"
        )


def write_page(step: Step, path: Path, **description: Any) -> None:
    """Write the page of a step. description: see page_of."""
    write_output(path, page_of(step, **description).encode())


def notebook_html(step: Step) -> str:
    """The page inside a frame of its own. Above 2 MB a link to the page, saved in the current directory."""
    page = page_of(step)
    data = page.encode()
    if len(data) > NOTEBOOK_LIMIT:
        size = f"The page of this step has {len(data) / 1e6:.1f} MB"
        path = Path(f"step-{hashlib.sha256(data).hexdigest()[:8]}.html")
        try:
            path.write_bytes(data)
        except OSError as error:
            reason = html.escape(error.strerror or str(error))
            return (
                f"<p>{size}, and cannot be saved here ({reason}): <code>step.save(FILE)</code> saves it elsewhere.</p>"
            )
        return f'<p>{size}. It is saved as <a href="{path}" target="_blank">{path}</a>.</p>'
    return (
        f'<iframe srcdoc="{html.escape(page)}" sandbox="allow-scripts" title="One training step" '
        f'style="width:100%;height:{FRAME_HEIGHT}px;border:1px solid #8888;border-radius:6px"></iframe>'
    )


def page_of(
    step: Step,
    *,
    title: str = "One training step",
    about: str = "",
    classes: Sequence[str] | None = None,
    sample: int | None = None,
    layer: str | None = None,
    fault: Fault | None = None,
) -> str:
    """The page as text.

    about: a sentence below the title. classes: the names of the labels. sample: the one shown first; None for the first
    wrong one. layer: the dotted name of the layer to scroll to first. fault: what was planted.
    """
    with np.errstate(all="ignore"):  # the page shows where nan and infinity are
        if all(tensor.check is None for tensor in step.tensors):
            step.check()
        document, arrays = step.data()
        document["page"] = describe(step, document, arrays)
    store_briefly(step, document, arrays)
    document["page"] |= {"classes": _texts(classes), "open": layer}
    document["page"]["longClasses"] = any(len(name) > 3 for name in classes or ())
    if sample is not None:
        document["page"]["first"] = sample
    for number in () if fault is None else fault.ops:
        document["ops"][number]["planted"] = True
    return _html(document, arrays, title, about or _about(document), fault)


# What the page needs beyond the recorded document.


def describe(step: Step, document: dict[str, Any], arrays: list[Array]) -> dict[str, Any]:
    """The parts that tensors play, where their entries lie, and which gradients are wrong; extends the document.

    Returns document["page"]: samples (the size of the batch), labels, scores, image, losses, first, promised.
    """
    tensors, ops = document["tensors"], document["ops"]
    labels = _labels(step)
    scores = _scores(step)
    samples = _samples(step, scores, labels)
    for i, (tensor, value) in enumerate(zip(tensors, step.tensors, strict=True)):
        tensor["whole"] = value.value.dtype.kind in "iub"
        tensor["batched"] = _is_batched(step, tensors, i, samples)
        tensor["pixels"] = _is_picture(step, tensors, i)
        _describe_update(step, tensor, i)
        _find_failures(tensor, arrays, _rounding(step, value))
        _find_examples(tensor, value.grad)
        tensor["strange"] = {name: _strange(getattr(value, name)) for name in ("value", "grad", "after")}
    for i in range(len(tensors)):
        tensors[i]["grid"] = _grid(step, tensors, i)
    for i in range(len(tensors)):
        _lay_out_parameter(step, tensors, i)
    for operation in ops:
        sends = [tensors[x["tensor"]] for x in operation["inputs"] if "tensor" in x]
        result = tensors[operation["result"]]
        operation["ill"] = any(x["failed"] for x in sends) and not result["failed"]
    page: dict[str, Any] = {"samples": samples, "labels": labels, "scores": scores, "image": None, "first": 0}
    page["image"] = _image(tensors)
    if scores is not None:
        _mark_classes(step, tensors, scores)
        if labels is not None:
            guesses = step.tensors[scores].value.argmax(axis=1)
            missed = np.flatnonzero(guesses != step.tensors[labels].value)
            page["first"] = int(missed[0]) if missed.size else 0
    page["fault_tensor"] = next((op["result"] for op in reversed(ops) if tensors[op["result"]]["failed"]), None)
    rates = {i: float(group.options["lr"]) for group in step.groups for i in group.parameters if "lr" in group.options}
    page["promised"] = sum(
        rate * float(np.sum(np.square(grad, dtype=np.float64)))
        for i, rate in rates.items()
        if (grad := step.tensors[i].grad) is not None
    )
    page["losses"] = _losses(step, arrays, scores, labels)
    page["stopped"] = _stopped(step, tensors, page["first"])
    page["strange"] = _first_strange(step, tensors)
    return page


def _stopped(step: Step, tensors: list[dict[str, Any]], sample: int) -> tuple[int, int] | None:
    """An entry, of this sample if there are samples, whose gradient a ReLU stopped: (tensor, index)."""
    for operation in step.ops:
        source = _sources(operation)[0] if operation.function.__name__ == "ReLU" else None
        grad, sent = step.tensors[operation.result].grad, None if source is None else step.tensors[source].grad
        if source is None or grad is None or sent is None:
            continue
        per = grad.size // len(grad) if tensors[source]["batched"] else 0
        found = np.flatnonzero((sent == 0) & (grad != 0))
        if per:
            found = found[found // per == sample]
        if found.size:
            return source, int(found[0])
    return None


def _strange(array: Array | None) -> list[int] | None:
    """How many entries are nan, how many infinite, and the first of either; None if all are finite."""
    if array is None or array.dtype.kind != "f" or np.isfinite(array).all():
        return None
    flat = array.reshape(-1)
    return [int(np.isnan(flat).sum()), int(np.isinf(flat).sum()), int(np.argmin(np.isfinite(flat)))]


def _first_strange(step: Step, tensors: list[dict[str, Any]]) -> tuple[int, str, int] | None:
    """The first entry of the step that is nan or infinite, as the page writes entries: (tensor, "v" or "g", index)."""
    given = [(i, "value") for i, value in enumerate(step.tensors) if value.made_by is None]
    made = [(operation.result, "value") for operation in step.ops]
    back = [
        (i, "grad")
        for event in step.events
        if isinstance(event, Backward)
        for i in [step.ops[event.op].result, *(i for i in event.sends_to if i is not None)]
    ]
    for i, name in (*given, *made, *back):
        if (found := tensors[i]["strange"][name]) is not None:
            return i, name[0], found[2]
    return None


def _sources(operation: Operation) -> list[int | None]:
    """For each input the tensor's number, or None for a constant."""
    return [x if isinstance(x, int) else None for x in operation.inputs]


def _labels(step: Step) -> int | None:
    """The tensor of the classes: the second input of a loss, whole numbers, one for each sample."""
    for operation in step.ops:
        if operation.function.__name__ in TARGET_OF and len(_sources(operation)) > 1:
            number = _sources(operation)[1]
            if number is not None and step.tensors[number].value.dtype.kind in "iu":
                return number if step.tensors[number].value.ndim == 1 else None
    return None


def _scores(step: Step) -> int | None:
    """The tensor (N, C) that the last log-softmax takes."""
    for operation in reversed(step.ops):
        if operation.function.__name__ == "LogSoftmax":
            number = _sources(operation)[0]
            if number is not None and step.tensors[number].value.ndim == 2:
                return number
    return None


def _samples(step: Step, scores: int | None, labels: int | None) -> int:
    """The size of the batch; 0 if it is unknown."""
    for number in (scores, labels):
        if number is not None:
            return int(step.tensors[number].value.shape[0])
    for tensor in step.tensors:
        if tensor.made_by is None and tensor.parameter is None and tensor.buffer is None and tensor.value.ndim > 1:
            return int(tensor.value.shape[0])
    return 0


def _is_batched(step: Step, tensors: list[dict[str, Any]], number: int, samples: int) -> bool:
    """Whether the first axis is the samples: an input of that size, or computed from such a tensor."""
    tensor = step.tensors[number]
    if not samples or tensor.value.ndim == 0 or tensor.value.shape[0] != samples or tensor.parameter or tensor.buffer:
        return False
    if tensor.made_by is None:
        return not tensor.leaf
    inputs = [i for i in _sources(step.ops[tensor.made_by]) if i is not None and i < number]
    return any(tensors[i].get("batched") for i in inputs)


def _is_picture(step: Step, tensors: list[dict[str, Any]], number: int) -> bool:
    """Whether the values are pixels from 0 to 1: an input's, or only moved."""
    tensor = step.tensors[number]
    if not tensors[number]["batched"] or tensor.value.dtype.kind != "f":
        return False
    if tensor.made_by is not None:
        operation = step.ops[tensor.made_by]
        source = _sources(operation)[0]
        moves = operation.function.__name__ in ("Flatten", "Reshape")
        return moves and source is not None and bool(tensors[source]["pixels"])
    if tensor.value.ndim <= 2 or not tensor.value.size:
        return False
    finite = tensor.value[np.isfinite(tensor.value)]
    return bool(finite.min(initial=0) >= 0 and finite.max(initial=0) <= 1)


def _describe_update(step: Step, tensor: dict[str, Any], number: int) -> None:
    """Add the size of the change. Where after is one float32 operation, keep its rate instead of the array."""
    value = step.tensors[number]
    tensor["stats"]["change"] = None
    if value.after is None:
        return
    change = value.after.astype(np.float64) - value.value
    finite = np.abs(change[np.isfinite(change)])
    tensor["stats"]["change"] = [float(finite.max(initial=0)), float(np.sqrt((finite * finite).sum()))]
    rate = next((group.options.get("lr") for group in step.groups if number in group.parameters), None)
    tensor["lr"] = rate
    if isinstance(rate, float) and value.grad is not None and value.used is None and value.value.dtype == np.float32:
        derived = value.value - np.float32(rate) * value.grad
        if derived.dtype == np.float32 and np.array_equal(derived.view("u4"), value.after.view("u4")):
            tensor["after"] = {"how": "sgd", "lr": rate}


def _rounding(step: Step, value: Value) -> float:
    """How far float32 may round a sum of the terms that make a gradient of this tensor: they may cancel to almost 0."""
    rounding = 0.0
    for op, place in value.used_by:
        operation = step.ops[op]
        grad = step.tensors[operation.result].grad
        others = [step.tensors[x].value for k, x in enumerate(operation.inputs) if isinstance(x, int) and k != place]
        size = max([1.0, *(_largest(x) for x in others if x.dtype.kind == "f")])
        rounding += 0.0 if grad is None else ROUNDING * size * float(np.abs(grad[np.isfinite(grad)]).sum(dtype="f8"))
    return rounding


def _largest(array: Array) -> float:
    """The largest |v| of the finite values."""
    return float(np.abs(array[np.isfinite(array)]).max(initial=0))


def _find_failures(tensor: dict[str, Any], arrays: list[Array], rounding: float) -> None:
    """The entries whose gradient differs from the central difference, the largest error first."""
    check, tensor["failed"], tensor["checked"], tensor["tolerance"] = tensor["check"], [], 0, 0.0
    if check is None or check.get("plus") is None or tensor["grad"] is None:
        return
    plus, minus = (arrays[check[side]["blob"]].ravel() for side in ("plus", "minus"))
    analytic = arrays[tensor["grad"]["blob"]].ravel().astype(np.float64)
    entries = np.arange(plus.size) if check["entries"] is None else arrays[check["entries"]["blob"]].ravel()
    numeric = (plus - minus) / (2 * check["eps"])
    analytic = analytic[entries]
    tensor["checked"] = int(entries.size)
    tensor["tolerance"] = rounding + OF_LARGEST * _largest(numeric)
    error = np.abs(numeric - analytic)
    wrong = ~(error <= RELATIVE * np.maximum(np.abs(numeric), np.abs(analytic)) + tensor["tolerance"])
    wrong[[int(k) for k in check.get("kinks", {})]] = False
    wrong &= np.isfinite(numeric)  # where the loss is not finite there is nothing to compare with
    found = np.flatnonzero(wrong)
    tensor["failed"] = [int(entries[k]) for k in found[np.argsort(-error[found])]]


def _find_examples(tensor: dict[str, Any], grad: Array | None) -> None:
    """Entries of a weight's gradient to ask about: the largest, and a zero, with one cause if there is such a zero.

    In a row of zeros, the column is one where the other rows have gradients; elsewhere the row has gradients.
    """
    tensor["peak"] = tensor["quiet"] = None
    if grad is None or not tensor["parameter"] or grad.ndim < 2 or not grad.size:
        return
    finite = np.isfinite(grad)
    tensor["peak"] = int(np.argmax(np.where(finite, np.abs(grad), -1))) if finite.any() else None
    rows = grad.reshape(len(grad), -1)
    still, zeros = np.flatnonzero(~rows.any(axis=1)), np.flatnonzero(rows == 0)
    if still.size:
        tensor["quiet"] = int(still[0]) * rows.shape[1] + int(np.count_nonzero(rows, axis=0).argmax())
    elif zeros.size:
        tensor["quiet"] = int(zeros[0])


def store_briefly(step: Step, document: dict[str, Any], arrays: list[Array]) -> None:
    """Store large arrays in less room, without the loss of a bit.

    Where the page can compute an array's bits from others, the reference says how instead: {"how": ..., ...}; see
    DERIVED in step.js. Random mantissas do not compress. An optimizer's state can be neither computed nor compressed,
    so of a large one only the entries stay whose gradients were checked.
    """
    document["excerpts"] = {}
    for i, (tensor, value) in enumerate(zip(document["tensors"], step.tensors, strict=True)):
        if value.value.size < LARGE or value.value.dtype != np.float32:
            continue
        tensor["value"] = _as_relu(step, value) or tensor["value"]
        tensor["grad"] = _as_relu_gradient(step, value) or _as_sum(step, value, arrays) or tensor["grad"]
        if tensor["after"] is not None and "blob" in tensor["after"] and value.after is not None:
            distance = _distance(value.after, value.value)
            if distance is not None:
                arrays.append(distance)
                tensor["after"] = {"how": "near", "blob": len(arrays) - 1, "x": i}
        _keep_some_state(tensor, value, arrays, document["excerpts"])


def _same_bits(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _as_relu(step: Step, value: Value) -> dict[str, Any] | None:
    """What a ReLU returned."""
    if value.made_by is None or step.ops[value.made_by].function.__name__ != "ReLU":
        return None
    source = _sources(step.ops[value.made_by])[0]
    if source is None:
        return None
    x = step.tensors[source].value
    computed = np.where(x > 0, x, np.float32(0))
    return {"how": "relu", "x": source} if _same_bits(computed, value.value) else None


def _as_relu_gradient(step: Step, value: Value) -> dict[str, Any] | None:
    """What a ReLU sent back, where nothing else used its input."""
    if value.grad is None or len(value.used_by) != 1 or step.ops[value.used_by[0][0]].function.__name__ != "ReLU":
        return None
    result = step.ops[value.used_by[0][0]].result
    grad = step.tensors[result].grad
    if grad is None:
        return None
    computed = np.where(value.value > 0, grad, np.float32(0))
    return {"how": "relu_gradient", "grad": result} if _same_bits(computed, value.grad) else None


def _as_sum(step: Step, value: Value, arrays: list[Array]) -> dict[str, Any] | None:
    """A gradient that a Linear sent to its weight or its input, as the distance of its bits from the sum of products.

    The sum is rounded to float32 after every term, as fused multiply-add does it. With most BLAS libraries the distance
    is 0 nearly everywhere.
    """
    if value.grad is None or len(value.used_by) != 1 or value.used_by[0][1] > 1:
        return None
    op, place = value.used_by[0]
    operation = step.ops[op]
    source, weight = _sources(operation)[:2]
    grad = step.tensors[operation.result].grad
    if operation.function.__name__ != "Linear" or source is None or weight is None or grad is None or grad.ndim != 2:
        return None
    times = step.tensors[source if place == 1 else weight].value.astype(np.float64)
    by = (grad if place == 1 else grad.T).astype(np.float64)  # the sum runs over the first axis of both
    if value.grad.dtype != np.float32 or not (np.isfinite(times).all() and np.isfinite(by).all()):
        return None
    total = np.zeros(value.grad.shape, np.float32)
    for column, row in zip(by, times, strict=True):
        total = (total + column[:, None] * row).astype(np.float32)
    distance = _distance(value.grad, total)
    if distance is None:
        return None
    arrays.append(distance)
    return {
        "how": "sum",
        "blob": len(arrays) - 1,
        "times": source if place == 1 else weight,
        "grad": operation.result,
        "sizes": [len(by), *value.grad.shape],
        "over": "samples" if place == 1 else "outputs",
    }


def _keep_some_state(tensor: dict[str, Any], value: Value, arrays: list[Array], excerpts: dict[int, int]) -> None:
    """Replace the optimizer's state by that of the entries that were checked, and of those that questions ask about.

    excerpts: for each array that holds only some entries, the number of the array of their flat indices; extended.
    """
    states = [x for pair in tensor["state"].values() for x in pair.values() if x is not None]
    large = {x["blob"] for x in states if arrays[x["blob"]].size == value.value.size}
    if not large:
        return
    checked = (tensor["check"] or {}).get("entries")
    asked = [k for k in (tensor["peak"], tensor["quiet"], *tensor["failed"][:1]) if k is not None]
    kept = np.union1d(np.array(asked, np.int64), arrays[checked["blob"]].ravel() if checked else []).astype(np.uint32)
    arrays.append(kept)
    tensor["kept"] = {"blob": len(arrays) - 1}
    for number in large:
        arrays[number] = arrays[number].ravel()[kept]
        excerpts[number] = len(arrays) - 1


def _distance(array: Array, other: Array) -> Array | None:
    """How far the bits of float32 numbers are from another array's, as positive integers; None if it is too far."""
    apart = _ordered(array) - _ordered(other)
    zigzag = np.where(apart < 0, -2 * apart - 1, 2 * apart)
    return zigzag.astype(np.uint32) if zigzag.max(initial=0) < 2**32 else None


def _ordered(array: Array) -> Array:
    """float32 bits as integers in the order of the numbers, so that neighbours are 1 apart."""
    bits = np.ascontiguousarray(array, np.float32).view(np.int32).astype(np.int64)
    ordered: Array = np.where(bits < 0, -1 - (bits & 0x7FFFFFFF), bits)
    return ordered


# Where the entries of an array lie: [tiles, rows, columns, entries of a tile], of one sample if there are samples.


def features(count: int) -> list[int]:
    """One row up to 16, else the most nearly square factors, else rows of 32."""
    if count <= ROW_UP_TO:
        return [1, 1, max(count, 1), max(count, 1)]
    for rows in range(math.isqrt(count), 0, -1):
        if count % rows == 0 and count // rows <= WIDEST:
            return [1, rows, count // rows, count]
    return [1, math.ceil(count / 32), 32, count]


def _grid(step: Step, tensors: list[dict[str, Any]], number: int) -> list[int]:
    tensor = step.tensors[number]
    shape = tensor.value.shape
    if tensors[number]["batched"] and len(shape) > 1:
        shape = shape[1:]
    if len(shape) > 1:
        return [math.prod(shape[:-2]), shape[-2], shape[-1], shape[-2] * shape[-1]]
    count = math.prod(shape)
    if tensor.made_by is not None and shape:
        for source in _sources(step.ops[tensor.made_by]):  # flattened, or computed entry by entry: as its input lies
            if source is not None and source < number and tensors[source]["batched"] and tensor.value.ndim > 1:
                tiles, rows, columns, size = tensors[source]["grid"]
                if tiles * size == count and (rows > 1 or tiles > 1 or count <= ROW_UP_TO):
                    return [tiles, rows, columns, size]
    return features(count)


def _lay_out_parameter(step: Step, tensors: list[dict[str, Any]], number: int) -> None:
    """A Linear's weight is a picture for each output, laid out as the input; its bias is laid out as the result."""
    for op, place in step.tensors[number].used_by:
        operation = step.ops[op]
        source, shape = _sources(operation)[0], step.tensors[number].value.shape
        if operation.function.__name__ != "Linear" or source is None or step.tensors[number].parameter is None:
            continue
        tiles, rows, columns, size = tensors[source]["grid"]
        if place == 1:
            whole = [rows, columns] if tiles == 1 and size == shape[1] else features(shape[1])[1:3]
            tensors[number]["grid"] = [shape[0], *whole, shape[1]]
        elif place == 2 and math.prod(tensors[operation.result]["grid"][::3]) == shape[0]:
            tensors[number]["grid"] = tensors[operation.result]["grid"]


def _mark_classes(step: Step, tensors: list[dict[str, Any]], scores: int) -> None:
    """Note whose last or first axis is the classes: scores, what is computed from them, the last layer's parameters."""
    count = step.tensors[scores].value.shape[1]
    for i, tensor in enumerate(step.tensors):
        later = tensor.made_by is not None and i >= scores and tensor.value.shape[1:] == (count,)
        tensors[i]["per_class"] = later
    made = step.tensors[scores].made_by
    for source in _sources(step.ops[made]) if made is not None else []:
        if source is None or not step.tensors[source].parameter:
            continue
        if step.tensors[source].value.shape[:1] == (count,):
            tensors[source]["per_class"] = True


def _image(tensors: list[dict[str, Any]]) -> dict[str, Any] | None:
    for i, tensor in enumerate(tensors):
        if tensor["batched"] and tensor["made_by"] is None and len(tensor["shape"]) > 2 and not tensor["whole"]:
            return {"tensor": i, "shape": tensor["shape"][-2:]}
    return None


def _losses(step: Step, arrays: list[Array], scores: int | None, labels: int | None) -> dict[str, Any] | None:
    """Each sample's loss before and after the update: references to two arrays."""
    found = None if scores is None or labels is None else loss_after(step)
    if found is None or scores is None or labels is None:
        return None
    after = found[1][scores]
    rows, classes = np.arange(len(after)), step.tensors[labels].value
    if classes.min() < 0 or classes.max() >= after.shape[1]:  # such as ignore_index
        return None
    places = []
    for z in (step.tensors[scores].value, after):
        z = z.astype(np.float64)
        z = z - z.max(axis=1, keepdims=True)
        arrays.append(-(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))[rows, classes])
        places.append({"blob": len(arrays) - 1})
    return {"before": places[0], "after": places[1]}


# The file.


def _about(document: dict[str, Any]) -> str:
    count = sum(math.prod(x["shape"]) for x in document["tensors"] if x["parameter"])
    samples, model = document["page"]["samples"], document["meta"]["model"]
    parts = [f"{model}" if model else "", f"{count:,} parameters" if count else ""]
    parts += [f"{samples} samples at a time"] if samples else []
    return ", ".join(filter(None, parts)) + "."


def _texts(names: Sequence[str] | None) -> list[str] | None:
    return None if names is None else [str(name) for name in names]


def _kind(dtype: np.dtype[Any]) -> str:
    return f"{dtype.kind}{dtype.itemsize}"


def pack(array: Array) -> tuple[dict[str, Any], str]:
    """An array as text, and what is needed to read it: {"dtype", "n", "zip", "bytes"}. The bits stay as they are.

    Compressed, if that helps: all first bytes, then all second bytes and so on, and gzip; the sign of a float32 first
    moves to its end, so that the exponent fills a byte. Floats of other widths than 32 and 64 bits become float64,
    which holds them exactly.
    """
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float64)
    flat = np.ascontiguousarray(array).reshape(-1)
    flat = flat.astype(flat.dtype.newbyteorder("<"), copy=False)
    raw = flat.tobytes()
    turned = flat
    if flat.dtype == np.float32:
        bits = flat.view(np.uint32)
        turned = bits << np.uint32(1) | bits >> np.uint32(31)
    planes = turned.view(np.uint8).reshape(-1, flat.dtype.itemsize).T.tobytes()
    packed = gzip.compress(planes, 6, mtime=0) if len(raw) > 256 else raw
    smaller = len(packed) < WORTH_PACKING * len(raw)
    data = packed if smaller else raw
    return {"dtype": _kind(flat.dtype), "n": flat.size, "zip": smaller, "bytes": len(data)}, as_text(data)


def as_text(data: bytes) -> str:
    """Bytes as text that may stand inside <script>: 13 bits in 2 of 91 characters, an eighth less than base64."""
    texts = []
    for start in range(0, len(data), TEXT_AT_ONCE):
        bits = np.unpackbits(np.frombuffer(data[start : start + TEXT_AT_ONCE], np.uint8), bitorder="little")
        groups = np.pad(bits, (0, -bits.size % 13)).reshape(-1, 13)
        digits = (groups.astype(np.float32) @ np.exp2(np.arange(13, dtype=np.float32))).astype(np.uint16)
        texts.append(ALPHABET[np.stack([digits % 91, digits // 91], axis=1)].tobytes().decode())
    return "".join(texts)


def as_json(document: Any) -> str:
    """JSON that may stand inside <script>; nan and infinity, which JSON lacks, become null."""
    text = json.dumps(_finite(document), ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(x) for key, x in value.items()}
    return [_finite(x) for x in value] if isinstance(value, list | tuple) else value


def _html(document: dict[str, Any], arrays: list[Array], title: str, about: str, fault: Fault | None) -> str:
    used, excerpts = sorted(_references(document)), document.pop("excerpts")
    document["blobs"] = [{} for _ in range(len(arrays))]
    blobs, seen = [], dict[str, int]()
    for number in used:
        packed, text = pack(arrays[number])
        document["blobs"][number] = packed | {"of": excerpts.get(number)}
        first = seen.setdefault(f"{packed} {text}", number)
        if first != number:
            document["blobs"][number]["same"] = first  # such as an image, flattened
        else:
            blobs.append(f'<script type="text/plain" id="blob-{number}">{text}</script>')
    script, style = ((HERE / name).read_text(encoding="utf-8") for name in ("step.js", "step.css"))
    code = f"\n{script}"
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return PAGE.format(
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'",
        title=html.escape(title),
        about=html.escape(about),
        fault="" if fault is None else str(fault),
        style=style,
        data=as_json(document),
        blobs="\n".join(blobs),
        script=code,
    )


def _references(value: Any) -> set[int]:
    """The numbers of the arrays that a document refers to."""
    if isinstance(value, dict):
        own = {value["blob"]} if isinstance(value.get("blob"), int) else set()
        return own.union(*map(_references, value.values()))
    return set().union(*map(_references, value)) if isinstance(value, list) else set()


PAGE = """<!doctype html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<a class="btn skip" href="#flow">To the operations</a>
<header class="wrap mast"><div><h1>{title}</h1><p class="sub">{about}</p></div>
<div class="losses" id="losses"></div></header>
{fault}<noscript><p class="wrap">This page draws its numbers with JavaScript; please allow it to run.</p></noscript>
<div class="barwrap"><div class="wrap bar">
<div class="replay" role="group" aria-label="Replay">
<button type="button" class="btn primary" id="play">▶ Replay</button>
<button type="button" class="btn" id="back" aria-label="One event back" title="One back ( [ )">◂</button>
<button type="button" class="btn" id="on" aria-label="One event on" title="One on ( ] )">▸</button>
<span class="now" id="now" role="status"></span></div>
<div class="samples" id="samples" role="radiogroup" aria-label="Sample of the batch"></div>
<nav class="hrail" id="hrail" aria-label="Operations, in one line"></nav>
</div><p class="event" id="event" role="status" hidden></p></div>
<div class="wrap layout">
<nav class="rail" id="rail" aria-label="Operations"></nav>
<main class="score" id="score"><svg class="wire" id="wire" aria-hidden="true"></svg>
<div class="lanehead lanes"><div><span class="f">↓ Forward</span> <small>values</small></div>
<div><span class="b">↑ Backward</span> <small>gradients of the loss</small></div></div>
<div class="lanes primer"><p>Each operation computes its result from the values above it, down to the loss
<var>L</var>. Click a number to see how it was made.</p>
<p><span class="rm">d</span><var>L</var><span class="rm">/d</span><var>a</var>, the gradient of a number <var>a</var>,
says how much <var>L</var> would rise per unit if <var>a</var> rose a little. If it is negative, a larger <var>a</var>
lowers <var>L</var>. Read this side upwards, from <var>L</var>: each operation turns the gradient of its result into the
gradients of its inputs (the chain rule).</p></div>
<div id="flow" tabindex="-1"></div></main>
<section class="intro" id="intro" aria-label="Questions"></section>
<aside class="inspector idle" id="inspector" aria-label="How the chosen number was made"></aside>
</div>
<div class="tip" id="tip" aria-hidden="true"></div><div class="vh" id="live" role="status" aria-live="polite"></div>
<script type="application/json" id="data">{data}</script>
{blobs}
<script>{script}</script>
</body>
</html>
"""
