"""draw_tape draws what backward will walk: every operation, leaf and arrow, legibly, and repeated layers once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitrain
from minitrain import nn
from minitrain.autograd import Function, draw_tape
from minitrain.study.svg_text import escaped, shortened, text_width, wrapped
from minitrain.study.tape_picture import COLOURS, TapePicture
from minitrain.tape import AccumulateGrad, Node
from minitrain.tensor import Tensor

SVG = "{http://www.w3.org/2000/svg}"
Rect = tuple[float, float, float, float]


class Read:
    """What can be read from a picture."""

    def __init__(self, picture: TapePicture) -> None:
        self.root = ElementTree.fromstring(picture.svg)
        self.text = " ".join(self.root.itertext())
        self.item_of: dict[int, int] = {}  # an operation's number in the walk: the item that shows it
        self.leaf_titles: dict[int, str] = {}
        self.rects: dict[int, Rect] = {}
        self.edges: list[tuple[int, int, list[int]]] = []
        self.ways: list[tuple[int, int, str]] = []
        self.times = [int(group.get("data-times", 0)) for group in self.root.iter(f"{SVG}g") if group.get("data-run")]
        for group in self.root.iter(f"{SVG}g"):
            if (item := group.get("data-item")) is not None:
                rect = group.find(f"{SVG}rect")
                assert rect is not None
                x, y, w, h = (float(rect.get(name, "")) for name in ("x", "y", "width", "height"))
                self.rects[int(item)] = x, y, x + w, y + h
                for number in group.get("data-nodes", "").split():
                    assert int(number) not in self.item_of
                    self.item_of[int(number)] = int(item)
                if group.get("data-leaves"):
                    self.leaf_titles[int(item)] = group.findtext(f"{SVG}title") or ""
            elif (source := group.get("data-from")) is not None:
                target = int(group.get("data-to", ""))
                self.edges.append((int(source), target, [int(k) for k in group.get("data-inputs", "").split()]))
                self.ways += [(int(source), target, path.get("d", "")) for path in group.iter(f"{SVG}path")]


def walk(loss: Tensor) -> list[Node]:
    """The operations that backward visits, in its order, from next_functions alone."""
    found: dict[Node, None] = {}
    waiting: list[Any] = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Node) and node not in found:
            found[node] = None
            waiting += [edge for edge, _ in node.next_functions]
    return sorted(found, key=lambda node: -node.sequence_nr)


def assert_shows_all(loss: Tensor, names: dict[str, Tensor], fold: bool | None = None) -> Read:
    """Every operation, leaf and link of the tape is in the picture, and nothing else."""
    read = Read(draw_tape(loss, names=names, fold=fold))
    nodes = walk(loss)
    assert sorted(read.item_of) == list(range(1, len(nodes) + 1))
    number = {node: i for i, node in enumerate(nodes, start=1)}
    name = {id(tensor): key for key, tensor in names.items()}
    leaf_item = {line.split()[0]: item for item, title in read.leaf_titles.items() for line in title.splitlines()}
    drawn = {(source, target) for source, target, _ in read.edges}
    needed = set()
    repetitions: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
    several: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
    for node in nodes:
        for k, (edge, _) in enumerate(node.next_functions):
            source = read.item_of[number[node]]
            if isinstance(edge, AccumulateGrad):
                target = leaf_item[name[id(edge.variable)]]
            elif edge is not None:
                target = read.item_of[number[edge]]
            else:
                continue
            if (source, target) in drawn:
                needed.add((source, target))
            members = {item: [n for n in sorted(read.item_of) if read.item_of[n] == item] for item in (source, target)}
            if len(members[source]) == 1:
                assert any((source, target) == (a, b) and k in inputs for a, b, inputs in read.edges)
            if isinstance(edge, Node):
                come = members[source].index(number[node]), members[target].index(number[edge])
                repetitions.setdefault((source, target, k), []).append(come)
                several[source, target] = members[source], members[target]
    for (source, target), (a, b) in several.items():
        reached = {to for (of, at, _), pairs in repetitions.items() if (of, at) == (source, target) for _, to in pairs}
        assert len(a) > 1 or reached in ({0}, set(range(len(b))))
    for (source, target, _), pairs in repetitions.items():
        assert_one_stands_for_all(pairs, *several[source, target], (source, target) in drawn)
    assert needed == drawn
    assert len(leaf_item) == len(
        {id(e.variable) for n in nodes for e, _ in n.next_functions if isinstance(e, AccumulateGrad)}
    )
    assert_nothing_overlaps(read)
    return read


def assert_one_stands_for_all(pairs: list[tuple[int, int]], a: list[int], b: list[int], drawn: bool) -> None:
    """Links of a folded item's operations, as (repetition, repetition), are what one arrow, or none, says."""
    together = len(a) == len(b) > 1 and a[0] < b[-1] and b[0] < a[-1]  # in one run
    steps = {to - of for of, to in pairs}
    if together and not drawn:
        assert steps == {1}
        assert len(pairs) == len(a) - 1
    elif together:
        assert steps <= {0, 1}
        assert [of for of, to in pairs if of == to] == list(range(len(a)))
    elif len(a) > 1:
        froms = [of for of, _ in pairs]
        assert froms == list(range(froms[0], froms[0] + len(froms)))
        if len(b) == 1 or froms == [len(a) - 1]:
            assert froms[-1] == len(a) - 1
        else:
            assert len(steps) == 1


def assert_nothing_overlaps(read: Read) -> None:
    """No two boxes overlap, and no arrow runs through a box that it does not belong to."""
    boxes = list(read.rects.items())
    for i, (_, (a, b, c, d)) in enumerate(boxes):
        for _, (e, f, g, h) in boxes[i + 1 :]:
            assert c <= e or g <= a or d <= f or h <= b
    edges = np.array([rect for _, rect in boxes])
    for source, target, d in read.ways:
        own = np.array([item in (source, target) for item, _ in boxes])
        for x, y in points(d):
            inside = (edges[:, 0] + 1 < x) & (x < edges[:, 2] - 1) & (edges[:, 1] + 1 < y) & (y < edges[:, 3] - 1)
            assert not (inside & ~own).any()


def points(d: str) -> list[tuple[float, float]]:
    """Points along a path of M, L, C, and H."""
    found: list[tuple[float, float]] = []
    x = y = 0.0
    for command, text in re.findall(r"([MLCH])([^MLCH]*)", d):
        n = [float(number) for number in text.split()]
        corners = [(x, y), *zip(n[::2], n[1::2], strict=True)] if command != "H" else [(x, y), (n[0], y)]
        for t in np.linspace(0, 1, 12) if command != "M" else [1.0]:
            line = np.array(corners)
            while len(line) > 1:
                line = line[:-1] * (1 - t) + line[1:] * t
            found.append((float(line[0, 0]), float(line[0, 1])))
        x, y = corners[-1]
    return found


def ones(*shape: int) -> Tensor:
    return minitrain.ones(*shape, requires_grad=True)


def mlp(layers: int) -> tuple[nn.Module, Tensor]:
    body = [layer for _ in range(layers) for layer in (nn.Linear(4, 4), nn.Tanh())]
    model = nn.Sequential(*body, nn.Linear(4, 2))
    return model, nn.CrossEntropyLoss()(model(minitrain.rand(3, 4)), minitrain.tensor([0, 1, 0]))


STEPS = st.lists(st.tuples(st.sampled_from("+*-t"), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6)


@given(
    steps=STEPS,
    times=st.integers(1, 6),
    own=st.booleans(),
    gather=st.sampled_from(["nothing", "in order", "backwards", "every other"]),
    fold=st.sampled_from([True, False, None]),
)
@settings(max_examples=100, deadline=None)
def test_any_program_is_drawn_completely(
    steps: list[tuple[str, int, int]], times: int, own: bool, gather: str, fold: bool | None
) -> None:
    names = {"first": ones(2), "second": ones(2)}
    values, outputs = list(names.values()), []
    for k in range(times):
        if own:
            values.append(names.setdefault(f"w{k}", ones(2)))
        for operation, i, j in steps:
            a, b = values[-1 - i % len(values)], values[-1 - j % len(values)]
            values.append({"+": a + b, "*": a * b, "-": a - b, "t": a.tanh()}[operation])
        outputs.append(values[-1])
    loss = (values[0] * values[-1]).sum()
    if gather != "nothing":
        outputs = outputs[:: {"in order": 1, "backwards": -1, "every other": 2}[gather]]
        loss = loss + minitrain.stack([output.exp() for output in outputs]).sum()
    assert_shows_all(loss, names, fold)


@pytest.mark.parametrize("layers", [1, 5, 50])
def test_a_model_is_drawn_completely(layers: int) -> None:
    model, loss = mlp(layers)
    for fold in (True, False):
        assert_shows_all(loss, dict(model.named_parameters()), fold)


def test_two_hundred_operations_do_not_overlap() -> None:
    random = np.random.RandomState(0)
    names = {f"leaf{i}": ones(2) for i in range(20)}
    values = list(names.values())
    for _ in range(198):
        a, b = values[-1], values[-1 - int(random.geometric(0.2)) % len(values)]
        values.append([a + b, a * b, a.relu(), b.tanh() - a][random.randint(4)])
    assert_shows_all(sum(values[1:], values[0]).sum(), names)


def test_equal_layers_are_drawn_once_with_how_often_they_come() -> None:
    model, loss = mlp(50)
    read = Read(draw_tape(loss, model))
    assert read.times == [49]
    assert "\u00d7 49" in read.text
    assert len(set(read.item_of.values())) == 7  # NLLLoss, LogSoftmax, Linear; Tanh, Linear; Tanh, Linear of the input
    assert "2…98.weight" in read.text
    assert "48.weight [4, 4] float32" in read.text
    assert len(set(Read(draw_tape(loss, model, fold=False)).item_of.values())) == 103


def test_a_small_tape_is_not_folded_unless_asked() -> None:
    model, loss = mlp(5)
    assert not Read(draw_tape(loss, model)).times
    assert Read(draw_tape(loss, model, fold=True)).times == [4]


def test_residual_blocks_are_folded_with_their_skips() -> None:
    weights = {f"w{i}": ones(4, 4) for i in range(12)}
    x = minitrain.ones(2, 4) @ ones(4, 4)
    weights["first"] = x.grad_fn.next_functions[1][0].variable
    for i in range(12):
        x = (x @ weights[f"w{i}"]).tanh() + x
    read = assert_shows_all(x.sum(), weights)
    assert read.times == [12]
    assert "2 gradients add up here" in read.text


def test_a_weight_shared_by_all_repetitions_is_one_leaf() -> None:
    w, h = ones(4, 4), minitrain.ones(2, 4)
    for _ in range(30):
        h = (h @ w).tanh()
    read = assert_shows_all(h.sum(), {"w": w}, fold=True)
    assert read.times == [29]
    assert list(read.leaf_titles.values()) == ["w [4, 4] float32: .grad is None"]


def test_a_recurrent_network_is_folded_with_all_its_outputs() -> None:
    w, v, states = ones(4, 4), ones(3, 4), [minitrain.ones(2, 4)]
    for _ in range(20):
        states.append((states[-1] @ w + minitrain.rand(2, 3) @ v).tanh())
    read = assert_shows_all(minitrain.stack(states[1:]).mean(), {"w": w, "v": v})
    assert sorted(read.times) == [19, 20]  # the first step's state requires no gradient
    assert "20 inputs" in read.text


def test_repetitions_that_differ_are_not_folded() -> None:
    x, peeked = ones(2), []
    for _ in range(12):
        x = x.tanh().exp()
        peeked.append(x)
    loss = (x * peeked[5]).sum()  # goes into the middle of the run
    read = assert_shows_all(loss, {"x": walk(loss)[-1].next_functions[0][0].variable}, fold=True)
    assert max(read.times, default=0) < 12
    for number, other in ((12, 13), (14, 12)):
        assert read.item_of[number] != read.item_of[other]


def test_links_that_reach_further_than_the_next_repetition_are_not_hidden() -> None:
    first, second = ones(2), ones(2)
    values = [first, second]
    for _ in range(13):
        values.append(values[-1] + values[-2])
    read = assert_shows_all(values[-1].sum(), {"first": first, "second": second}, fold=True)
    assert read.times == [5]  # in pairs: each sum goes to the sum before, and to the one before that


def test_leaves_that_come_again_irregularly_are_not_hidden() -> None:
    weights = {f"w{i}": ones(2) for i in range(3)}
    x = minitrain.ones(2)
    for i in (0, 1, 1, 2, 0, 2, 0, 1, 2, 2):
        x = (x * weights[f"w{i}"]).tanh()
    read = assert_shows_all(x.sum(), weights, fold=True)
    assert not read.times


def test_a_long_tape_takes_no_recursion_and_little_time() -> None:
    x = ones(1)
    for _ in range(3000):
        x = x + x
    assert Read(draw_tape(x)).times == [2999]


def test_operations_show_formula_shape_and_what_requires_no_gradient() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1, bias=False))
    text = Read(draw_tape(nn.MSELoss()(model(minitrain.ones(4, 3)), minitrain.zeros(4, 1)), model)).text
    for part in ("y = x Wᵀ + b", "dL/dx = dL/dy W", "y = max(x, 0)", "[4, 2]", "[2, 3]", "0.weight", "2.weight"):
        assert part in text
    assert text.count("no gradient: x") == 1
    assert "no gradient: target" in text or "no gradient: t" in text


def test_an_operation_of_ones_own_is_drawn_with_or_without_a_formula() -> None:
    class Twice(Function):
        """y = 2x < 3x & "more";  dL/dx = 2 dL/dy."""

        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return 2 * x

        @staticmethod
        def backward(ctx: Any, grad_y: Any) -> Any:
            return 2 * grad_y

    class Bare(Twice):
        __doc__ = None

    text = Read(draw_tape(Bare.apply(Twice.apply(ones(1))))).text
    assert 'y = 2x < 3x & "more"' in text
    assert "Bare" in text


def test_leaves_have_the_names_of_the_callers_variables() -> None:
    model, scale = nn.Sequential(nn.Linear(2, 2)), ones(2)
    prediction = model(minitrain.ones(1, 2)) * scale
    loss = prediction.sum()
    read = Read(draw_tape(loss))
    assert {title.split()[0] for title in read.leaf_titles.values()} == {"0.weight", "0.bias", "scale"}
    assert "prediction" in read.text
    other = nn.Linear(2, 2)
    assert "model.0.weight" in Read(draw_tape(loss + other(minitrain.ones(2)).sum())).text
    assert "mine" in Read(draw_tape(loss, names={"mine": scale})).text


def test_a_leaf_that_nobody_names_is_numbered() -> None:
    assert "leaf 1" in Read(draw_tape((ones(2) * 2).sum())).text


def test_names_are_text_whatever_they_contain() -> None:
    name = "<script>alert('1')</script>url(#tip)&\"\x00\ud800"
    picture = draw_tape((ones(2) * 2).sum(), names={name: (w := ones(2))} | {"w": w})
    picture = draw_tape((w * 2).sum(), names={name: w})
    assert "<script" not in picture.svg
    assert not list(ElementTree.fromstring(picture.svg).iter(f"{SVG}script"))
    read = Read(picture)
    assert next(iter(read.leaf_titles.values())).startswith("<script>alert('1')</script>url(#tip)&\"\ufffd\ufffd [2]")
    assert "<script" in read.text


def test_a_long_name_is_shortened_and_its_title_has_all_of_it() -> None:
    name = "encoder.layers.11.self_attention.output_projection.dense.weight"
    read = Read(draw_tape((w := ones(2)).sum(), names={name: w}))
    shown = [text.text or "" for text in read.root.iter(f"{SVG}text") if "…" in (text.text or "")]
    assert any(text.startswith("encoder.") and text.endswith("weight") for text in shown)
    assert name in next(iter(read.leaf_titles.values()))


def test_after_backward_the_gradients_sizes_are_shown() -> None:
    w, v = minitrain.tensor([3.0, 4.0], requires_grad=True), ones(2)
    product = w * w
    product.retain_grad()
    loss = product.sum() + 0 * v.sum()
    before = draw_tape(loss, names={"w": w, "v": v})
    assert "‖" not in before.svg
    loss.backward(retain_graph=True)
    text = Read(draw_tape(loss, names={"w": w, "v": v})).text
    assert "‖.grad‖ 10" in text  # of [6, 8]
    assert "‖.grad‖ 0" in text
    assert "‖dL/dy‖ = 1.41" in text
    w.grad = v.grad = None
    loss.backward()  # frees the graph: its links remain
    assert "‖.grad‖ 10" in Read(draw_tape(loss, names={"w": w, "v": v})).text


def test_a_gradient_that_is_not_finite_is_marked() -> None:
    w = minitrain.zeros(2, requires_grad=True)
    loss = (w.log() * 0).sum()
    loss.backward()
    read = Read(draw_tape(loss, names={"w": w}))
    (shown,) = [text for text in read.root.iter(f"{SVG}text") if (text.text or "").startswith("‖.grad‖ nan")]
    assert "bad" in shown.get("class", "")


def test_a_repetition_shows_the_range_of_its_gradients() -> None:
    model, loss = mlp(50)
    loss.backward()
    norms = [float(np.linalg.norm(model[i].weight.grad.numpy())) for i in range(2, 100, 2)]
    read = Read(draw_tape(loss, model))
    shown = next(
        text.text or ""
        for text in read.root.iter(f"{SVG}text")
        if " to " in (text.text or "") and "‖" in (text.text or "")
    )
    low, high = (
        float(
            re.sub(
                "·10([⁻⁰-⁹¹²³]+)", lambda m: "e" + m[1].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")), number
            )
        )
        for number in shown.removeprefix("‖.grad‖ ").split(" to ")
    )
    assert low == pytest.approx(min(norms), rel=0.01)
    assert high == pytest.approx(max(norms), rel=0.01)


def test_drawing_changes_nothing() -> None:
    model, loss = mlp(3)
    first = draw_tape(loss, model)
    assert draw_tape(loss, model).svg == first.svg
    loss.backward()
    assert model[0].weight.grad is not None


def refused(make: Callable[[], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        draw_tape(make())


def test_what_has_no_tape_is_refused_clearly() -> None:
    refused(lambda: ones(2), RuntimeError, "this Tensor is a leaf; no operation computed it")
    refused(lambda: minitrain.ones(2), RuntimeError, r"there is no tape: .*does not require grad.*no_grad\(\)")
    refused(lambda: (ones(2) * 2).detach(), RuntimeError, "there is no tape")
    refused(lambda: 3.0, TypeError, "expects the Tensor that backward starts from, such as the loss, not float")
    with pytest.raises(TypeError, match="names must map names to Tensors; 'w' is a float"):
        draw_tape(ones(2).sum(), names={"w": 1.0})  # type: ignore[dict-item]


def test_what_is_not_a_model_is_refused_clearly() -> None:
    with pytest.raises(TypeError, match="expects a Module to name the leaves after, not str"):
        draw_tape(ones(2).sum(), "tape.svg")  # type: ignore[arg-type]


def test_it_is_saved_and_displayed(tmp_path: Path) -> None:
    picture = draw_tape(ones(2).sum())
    picture.save(tmp_path / "tape.svg")
    assert (tmp_path / "tape.svg").read_text(encoding="utf-8") == picture.svg == picture._repr_svg_()
    assert picture.svg in picture._repr_html_()
    assert repr(picture) == '<picture of a tape: 1 operation and 1 leaf; save("tape.svg") writes it to a file>'
    with pytest.raises(ValueError, match=r"must end in \.svg"):
        picture.save(tmp_path / "tape.png")


def test_it_has_a_title_and_a_description_in_words() -> None:
    w = ones(2)
    root = ElementTree.fromstring(draw_tape((w * 2).sum(), names={"w": w}).svg)
    assert root.get("role") == "graphics-document document"  # not img, which would hide its boxes from screen readers
    ids = {element.get("id") for element in root.iter()}
    assert set(root.get("aria-labelledby", "").split()) <= ids
    assert root.findtext(f"{SVG}title") == "The tape that backward() walks: 2 operations and 1 leaf"
    described = root.findtext(f"{SVG}desc") or ""
    assert "#1 Sum, result [], sends the gradient of x to #2 Mul." in described
    assert "#2 Mul, result [2], sends the gradient of a to w." in described


def test_each_box_can_be_focused_and_then_shows_a_note_with_what_its_title_says() -> None:
    blocks = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(12)])
    picture = draw_tape(blocks(minitrain.rand(4, 8)).sum(), blocks)
    root = ElementTree.fromstring(picture.svg)
    _, _, width, height = map(float, root.get("viewBox", "").split())
    style = root.findtext(f"{SVG}style") or ""
    assert f"#{root.get('id')} [data-note]{{display:none}}" in style
    boxes = [g for g in root.iter(f"{SVG}g") if g.get("data-item") or g.get("data-run")]
    notes = {g.get("data-note"): g for g in root.iter(f"{SVG}g") if g.get("data-note")}
    assert len(boxes) == len(notes) > 4
    for box in boxes:
        assert (box.get("tabindex"), box.get("role")) == ("0", "img")
        key, kind = (box.get("data-item"), "item") if box.get("data-item") else (f"run {box.get('data-run')}", "run")
        assert f'[data-{kind}="{box.get(f"data-{kind}")}"]:focus~[data-note="{key}"]{{display:inline}}' in style
        said = "".join((box.findtext(f"{SVG}title") or "").split())
        shown = [text.text or "" for text in notes[key].iter(f"{SVG}text")]
        if re.match(r"and \d+ more", shown[-1]):
            shown.pop()
        assert said.startswith("".join("".join(shown).removesuffix("…").split()))
        rect = notes[key].find(f"{SVG}rect")
        assert rect is not None
        y, w, h = (float(rect.get(name, "")) for name in ("y", "width", "height"))
        assert w <= width - 48
        assert 0 <= y <= y + h <= height
    parent = next(g for g in root.iter(f"{SVG}g") if g.get("transform"))
    order = [("note" if g.get("data-note") else "box") for g in parent if g.get("data-from") is None]
    assert order == sorted(order)  # so that the notes lie on top, and follow what shows them


def test_two_pictures_on_one_page_do_not_restyle_each_other() -> None:
    first, second = draw_tape(ones(2).sum()), draw_tape(ones(3).sum())
    ids = [ElementTree.fromstring(picture.svg).get("id") for picture in (first, second)]
    assert ids[0] != ids[1]
    for picture, name in zip((first, second), ids, strict=True):
        style = ElementTree.fromstring(picture.svg).findtext(f"{SVG}style") or ""
        rules = re.findall(r"([^{}]+)\{[^{}]*\}", style.replace("@media (prefers-color-scheme:dark){", ""))
        assert rules
        assert all(rule.strip("}").startswith(f"#{name} ") for rule in rules)
        assert "url(#tip" not in picture.svg


def luminance(colour: str) -> float:
    r, g, b = linear(colour)
    return float(0.2126 * r + 0.7152 * g + 0.0722 * b)


def linear(colour: str) -> Any:
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_is_legible_and_colours_differ_for_the_colour_blind(scheme: int) -> None:
    colours = {name: both[scheme] for name, both in COLOURS.items()}
    on = {
        "ink": ["paper", "panel", "leaf ground"],
        "soft": ["paper", "panel", "leaf ground"],
        "forward": ["paper", "panel", "forward ground"],
        "backward": ["paper", "panel", "backward ground"],
        "wrong": ["leaf ground"],
    }
    for text, grounds in on.items():
        for ground in grounds:
            light, dark = sorted([luminance(colours[text]), luminance(colours[ground])], reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
    # Machado et al. 2009: how red-blind and green-blind eyes see linear RGB.
    blind = [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ]
    main = ["forward", "backward", "leaf"]
    for matrix in blind:
        seen = [np.cbrt(np.clip(np.array(matrix) @ linear(colours[name]), 0, 1)) for name in main]
        for i, a in enumerate(seen):
            for b in seen[i + 1 :]:
                assert np.abs(a - b).max() > 0.08


@given(st.text(max_size=40))
def test_text_is_escaped_shortened_and_wrapped(text: str) -> None:
    element = ElementTree.fromstring(f'<a b="{escaped(text)}">{escaped(text)}</a>')
    assert "<" not in escaped(text)
    assert element.tag == "a"
    assert text_width(shortened(text, 60, 12), 12) <= 60
    lines = wrapped(text, 60, 12, 2)
    assert len(lines) <= 2
    assert all(text_width(line, 12) <= 60 for line in lines)
