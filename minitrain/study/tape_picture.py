"""`draw_tape`: an SVG of the graph that backward walks: operations with formulas, leaves, gradients' sizes."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from minitrain.files import write_output
from minitrain.nn import Module
from minitrain.study.layered_layout import Arrow, Box, Point, layout
from minitrain.study.svg_text import escaped, shortened, text_width, wrapped
from minitrain.study.tape_graph import Item, Link, TapeGraph, common_name, formula, input_names, tape_graph
from minitrain.tape import AccumulateGrad, Node
from minitrain.tensor import Tensor

FOLD_FROM = 20  # operations: a smaller tape is drawn as it is
DETAILED = 16  # operations drawn with their formulas; with more, a list above the graph has them

MARGIN, GAP, INNER_GAP = 24.0, 40.0, 34.0
CARD, SMALL_CARD, PILL = (288.0, 360.0), (150.0, 300.0), (130.0, 270.0)  # least and most width
BESIDE = 62.0  # from an operation to what stands at its right
ROW, LOW_ROW = 48.0, 28.0  # what stands there: in two lines or one
PAD = 10.0  # from a card's edge to its text
FRAME = 18.0  # from a repetition's frame to what is in it
FOCUSABLE = 'tabindex="0" role="img"'
TIP = ' marker-end="url(#tip)"'  # an arrowhead, until the picture has an id; no escaped text contains this
TIMES = "\u00d7"
DECADES = 6  # that a gradient's bar spans
NOTE, LINES = 470.0, 14  # the width of a note, and its most lines

# A colour's name: in light, in dark. Teal, magenta and blue differ in lightness, too, for the colour-blind.
COLOURS = {
    "paper": ("#fbfaf8", "#121317"),
    "panel": ("#ffffff", "#1c1e24"),
    "ink": ("#1b1d22", "#eceae6"),
    "soft": ("#5f646e", "#a2a7b1"),
    "line": ("#c9c5bc", "#454a54"),
    "forward": ("#0b7a70", "#4fc3b5"),
    "forward ground": ("#e6f3f1", "#15302e"),
    "backward": ("#9a3192", "#e08ad8"),
    "backward ground": ("#f7eaf5", "#34203a"),
    "leaf": ("#2f6fb0", "#3f87d9"),
    "leaf ground": ("#e9f1fa", "#18293b"),
    "wrong": ("#a3260f", "#ff9a85"),
}
# By class: its fill, its stroke.
PAINT = {
    "bg": ("paper", ""),
    "ink": ("ink", ""),
    "soft": ("soft", ""),
    "fw": ("forward", ""),
    "fwg": ("forward ground", ""),
    "bw": ("backward", ""),
    "bwg": ("backward ground", ""),
    "bad": ("wrong", ""),
    "bar": ("leaf", ""),
    "tag": ("ink", ""),
    "tagged": ("paper", ""),
    "card": ("panel", "line"),
    "pill": ("leaf ground", "leaf"),
    "frame": ("", "soft"),
    "arrow": ("", "backward"),
    "plus": ("panel", "backward"),
    "note": ("panel", "ink"),
    "halo": ("backward", "paper"),
}
SANS = 'system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif'
MONO = 'ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace'


class TapePicture:
    """A picture of a tape. A notebook displays it; save writes it to a file.

    svg: its text.
    """

    def __init__(self, svg: str, summary: str) -> None:
        self.svg, self._summary = svg, summary

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file, which browsers and drawing programs open.

        Raises ValueError if the file's name has another ending than .svg, OSError if it cannot be written.
        """
        if Path(path).suffix.lower() != ".svg":
            raise ValueError(f"The picture of a tape is saved as SVG: the file's name must end in .svg, not {path}.")
        write_output(path, self.svg.encode())

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return f'<div style="overflow: auto">{self.svg}</div>'

    def __repr__(self) -> str:
        return f'<picture of a tape: {self._summary}; save("tape.svg") writes it to a file>'


def draw_tape(
    loss: Tensor,
    model: Module | None = None,
    *,
    names: Mapping[str, Tensor] | None = None,
    fold: bool | None = None,
) -> TapePicture:
    """Draw what loss.backward() will visit: each operation with its formula and shapes, the leaves, and the arrows.

    Called after backward (with or without retain_graph), it also shows the norms of the gradients that arrived: of each
    leaf's .grad, and of the results that retain_grad() was called on.

    loss: where backward starts; any Tensor that an operation computed from one that requires a gradient.
    model: names the leaves after its parameters. names: Tensors by name, leaves or results of operations. Other
        leaves and results get the names of the caller's variables, and of the parameters of its Modules.
    fold: whether repeated layers are drawn once, with how often they come; None means if there are more than 20
        operations. Only repetitions with the same operations, shapes and links are folded.
    Returns a TapePicture: a notebook displays it, save("tape.svg") writes it to a file.
    Raises TypeError if loss is not a Tensor, RuntimeError if it has no tape.
    """
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"draw_tape expects the Tensor that backward starts from, such as the loss, not {type(loss).__name__}."
        )
    if not loss.requires_grad:
        raise RuntimeError(
            "there is no tape: this Tensor does not require grad. Either none of its inputs requires a gradient, or it "
            "was computed under no_grad()."
        )
    if model is not None and not isinstance(model, Module):
        raise TypeError(f"draw_tape expects a Module to name the leaves after, not {type(model).__name__}.")
    root = loss._edge()
    if isinstance(root, AccumulateGrad):
        raise RuntimeError(
            "there is nothing to draw: this Tensor is a leaf; no operation computed it. Call draw_tape with a result, "
            "such as the loss."
        )
    found = _Names(model, names or {}, sys._getframe(1))
    graph = tape_graph(root, False)
    if fold or (fold is None and len(graph.nodes) > FOLD_FROM):
        graph = tape_graph(root, True)
    return _Drawing(graph, found).picture()


class _Names:
    """Names of leaves and results: the given ones, the model's, then the caller's variables and their parameters."""

    def __init__(self, model: Module | None, names: Mapping[str, Tensor], frame: FrameType) -> None:
        self.leaves: dict[int, str] = {}
        self.results: dict[Node, str] = {}
        for name, tensor in names.items():
            if not isinstance(tensor, Tensor):
                raise TypeError(f"names must map names to Tensors; {name!r} is a {type(tensor).__name__}.")
            self._add(name, tensor)
        self._add_parameters("", model)
        variables = {**frame.f_globals, **frame.f_locals} if frame.f_locals is not frame.f_globals else frame.f_globals
        own = [(name, value) for name, value in list(variables.items()) if name.isidentifier() and name[0] != "_"]
        modules = {id(value): (name, value) for name, value in own if isinstance(value, Module)}
        for name, module in modules.values():
            self._add_parameters(f"{name}." if len(modules) > 1 else "", module)
        for name, value in own:
            if isinstance(value, Tensor):
                self._add(name, value)

    def _add_parameters(self, prefix: str, model: Module | None) -> None:
        for name, parameter in model.named_parameters() if model is not None else ():
            self._add(prefix + name, parameter)

    def _add(self, name: str, tensor: Tensor) -> None:
        if tensor._grad_fn is None:
            self.leaves.setdefault(id(tensor), name)
        else:
            self.results.setdefault(tensor._grad_fn, name)


@dataclasses.dataclass
class _Shape:
    """What an item looks like. rows: what is drawn at its right, leaves or operations that lead to a leaf only."""

    box: Box
    width: float
    height: float
    rows: list[int] = dataclasses.field(default_factory=list)


class _Drawing:
    """One picture in the making."""

    def __init__(self, graph: TapeGraph, names: _Names) -> None:
        self.graph, self.items, self.names = graph, graph.items, names
        self.out: list[str] = []
        operations = [item for item in self.items if not item.is_leaf]
        self.detailed = len(operations) <= DETAILED
        unnamed = [leaf for leaf in graph.leaves if id(leaf.variable) not in names.leaves]
        self.leaf_names = {leaf: f"leaf {i}" for i, leaf in enumerate(graph.leaves, start=1) if leaf in unnamed}
        self.leaf_names |= {
            leaf: names.leaves[id(leaf.variable)] for leaf in graph.leaves if leaf not in self.leaf_names
        }
        self.norms = {leaf: _norm(leaf.variable) for leaf in graph.leaves}
        self.most = max((norm for norm in self.norms.values() if norm is not None and math.isfinite(norm)), default=0.0)
        self.after = any(norm is not None for norm in self.norms.values())
        self.beside = self._stand_beside()
        self.card = _within(CARD if self.detailed else SMALL_CARD, [self._headline(item) for item in operations])
        twigs = [item for i, item in enumerate(self.items) if i in self.beside and not item.is_leaf]
        self.twig = _within(PILL, [self._headline(item) for item in twigs])
        self.pill = _within(PILL, [self._pill_width(item) for item in self.items if item.is_leaf])
        self.shapes = {i: self._shape(i) for i in range(len(self.items))}
        self.places: dict[int, Point] = {}  # an item's anchor and top
        self.frames: dict[int, tuple[float, float, float, float]] = {}  # of a repetition: x, y, width, height
        self.ways: list[list[list[Point]]] = [[] for _ in graph.links]  # each link's pieces
        self.tips: list[bool] = [False for _ in graph.links]  # whether the last piece ends in an arrowhead
        self.notes: list[tuple[str, str, float, float, float]] = []  # key, text, left, top and bottom of what it is on

    # sizes

    def _stand_beside(self) -> dict[int, int]:
        """Items that are drawn at the right of their user, by number, with the user's.

        These are leaves that one operation uses, and operations between it and such a leaf (as a weight's transpose is)
        if the way on is elsewhere.
        """
        users: list[list[int]] = [[] for _ in self.items]
        targets: list[list[int]] = [[] for _ in self.items]
        for link in self.graph.links:
            users[link.target].append(link.source)
            targets[link.source].append(link.target)
        beside = {i: users[i][0] for i, item in enumerate(self.items) if item.is_leaf and len({*users[i]}) == 1}
        twigs = {
            i: users[i][0]
            for i, item in enumerate(self.items)
            if not item.is_leaf and len(users[i]) == len(targets[i]) == 1 and targets[i][0] in beside
            if item.run == self.items[users[i][0]].run and self._without(item) == []
        }
        beside.update(
            (i, user)
            for i, user in twigs.items()
            if any(not self.items[target].is_leaf and target not in twigs for target in targets[user])
        )
        return beside

    def _without(self, item: Item) -> list[str]:
        """The names of the inputs that require no gradient."""
        node = _node(item)
        return [name for name, (edge, _) in zip(input_names(node), node.next_functions, strict=True) if edge is None]

    def _headline(self, item: Item) -> float:
        node = _node(item)
        words = text_width(node.function.__name__, 13.5, bold=True) + text_width(_mark(item), 11)
        return words + text_width(_dims(node), 11, mono=True) + 2 * PAD + 16

    def _pill_width(self, item: Item) -> float:
        name = text_width(self._leaf_name(item), 12, bold=True)
        shape = text_width(_dims(item.members[0]), 11, mono=True)
        second = text_width(self._grad_text(item), 11) + 12 if self.after else 0.0
        return max(name + (0 if self.after else shape + 12), second + shape) + 2 * PAD + 4

    def _shape(self, number: int) -> _Shape:
        item = self.items[number]
        if item.is_leaf or number in self.beside:
            width = self.pill if item.is_leaf else self.twig
            return _Shape(Box(width / 2, width / 2, self._row(number)), width, self._row(number))
        rows = [link.target for link in self.graph.links if link.source == number and link.target in self.beside]
        rows = [row for row in dict.fromkeys(rows) if self.beside[row] == number]
        height, right = self._card_lines(item)[1], self.card / 2
        if rows:
            right += BESIDE + max(
                self.pill if self.items[row].is_leaf else self.twig + BESIDE + self.pill for row in rows
            )
            height = max(height, sum(self._row(row) + 8 for row in rows) - 8)
        return _Shape(Box(self.card / 2, right, height), self.card, height, rows)

    def _row(self, number: int) -> float:
        return ROW if self.after or not self.items[number].is_leaf else LOW_ROW

    def _card_lines(self, item: Item, room: float = 0.0) -> tuple[list[tuple[str, list[str]]], float]:
        """What stands below a card's headline, as (class, lines), and the card's height.

        room: the height that there is anyway, in which a small card shows the formula, too.
        """
        node, width = _node(item), self.card - 2 * PAD
        parts: list[tuple[str, list[str]]] = []
        if item.arriving > 1:
            parts.append(("bw plain", [f"{item.arriving} gradients add up here"]))
        if norms := [norm for norm in map(_retained_norm, item.members) if norm is not None]:
            parts.append(("bw plain", [f"‖dL/dy‖ = {_range(norms)}"]))
        if without := self._without(item):
            parts.append(("soft plain", wrapped("no gradient: " + ", ".join(without), width, 11, 1)))
        lines = (2, 4) if self.detailed else (1, 2)  # of the formula, forward and backward
        for k, (kind, part) in enumerate(zip(("fw", "bw"), formula(node), strict=True)):
            with_it = [*parts[:k], (kind, wrapped(part, width, 12, lines[k])), *parts[k:]]
            if not part or not (self.detailed or _card_height(with_it) <= room):
                break
            parts = with_it
        return parts, _card_height(parts)

    # places

    def _place(self) -> tuple[float, float]:
        """Lay out each repetition's inside, then everything, and gather the pieces of each link's way."""
        graph, items = self.graph, self.items
        links = [(n, link) for n, link in enumerate(graph.links) if self.beside.get(link.target) != link.source]
        insides = [_Inside(run, self, links) for run in range(len(graph.runs))]
        vertices: dict[tuple[str, int], int] = {}
        boxes: list[Box] = []
        for i, item in enumerate(items):
            key = ("item", i) if item.run is None else ("run", item.run)
            if i not in self.beside and key not in vertices:
                vertices[key] = len(boxes)
                boxes.append(self.shapes[i].box if item.run is None else insides[item.run].box)
        arrows: list[Arrow] = []
        carried: list[list[int]] = []  # the links that each arrow is part of
        shared: dict[tuple[int, int], int] = {}
        for n, link in links:
            source, target = items[link.source].run, items[link.target].run
            if source is not None and source == target:
                continue
            if source is not None and (source, link.target) in shared:
                carried[shared[source, link.target]].append(n)
                continue
            arrow = Arrow(
                vertices["item", link.source] if source is None else vertices["run", source],
                vertices["item", link.target] if target is None else vertices["run", target],
                None if source is None else insides[source].exits[link.target],
                0.0 if target is None else insides[target].entries[link.target],
            )
            if source is not None:
                shared[source, link.target] = len(arrows)
            arrows.append(arrow)
            carried.append([n])
        size = layout(boxes, arrows, GAP)
        for key, vertex in vertices.items():
            if key[0] == "item":
                self.places[key[1]] = boxes[vertex].x, boxes[vertex].y
        for inside in insides:
            inside.move()
        for arrow, numbers in zip(arrows, carried, strict=True):
            self.ways[numbers[0]].append(arrow.points)
            target = items[graph.links[numbers[0]].target].run
            self.tips[numbers[0]] = target is None and not arrow.joins
        for inside in insides:
            inside.gather()
        for number, shape in self.shapes.items():
            if shape.rows:
                x, y = self.places[number]
                self._place_rows(shape.rows, x + shape.width / 2 + BESIDE, y)
        return size

    def _place_rows(self, rows: list[int], x: float, y: float) -> None:
        for row in rows:
            width, height = self.shapes[row].width, self._row(row)
            self.places[row] = x + width / 2, y + (height - self.shapes[row].height) / 2
            for leaf in (leaf for leaf, user in self.beside.items() if user == row):
                self.places[leaf] = x + width + BESIDE + self.pill / 2, y + (height - self.shapes[leaf].height) / 2
            y += height + 8

    # drawing

    def picture(self) -> TapePicture:
        """Lay it out and draw it."""
        width, height = self._place()
        graph = self.graph
        summary = f"{_count(len(graph.nodes), 'operation')} and {_count(len(graph.leaves), 'leaf', 'leaves')}"
        inner = max(width, 560.0)
        top = self._heading(summary, inner)
        self._start(top + 34, inner, width)
        left, down = MARGIN + (inner - width) / 2, top + 60
        self.out.append(f'<g transform="translate({_n(left)} {_n(down)})">')
        for run in range(len(graph.runs)):
            self._frame(run)
        for n, link in enumerate(graph.links):
            self._arrow(n, link)
        for i, item in enumerate(self.items):
            if not item.is_leaf:
                self._card(i, item)
        for i, item in enumerate(self.items):
            if item.is_leaf:
                self._pill(i, item)
        for note in self.notes:
            self._note(*note, (MARGIN - left, MARGIN - left + inner), height)
        self.out.append("</g>")
        body = "\n".join(self.out)
        described = escaped(self._described(summary))
        name = "tape-" + hashlib.sha256((body + described).encode()).hexdigest()[:8]
        body = body.replace(TIP, f' marker-end="url(#{name}-tip)"')
        w, h = _n(inner + 2 * MARGIN), _n(down + height + MARGIN)
        return TapePicture(
            f'<svg xmlns="http://www.w3.org/2000/svg" id="{name}" width="{w}" height="{h}" viewBox="0 0 {w} {h}" '
            f'style="color-scheme:light dark" role="graphics-document document" '
            f'aria-labelledby="{name}-title {name}-desc">\n'
            f'<title id="{name}-title">The tape that backward() walks: {summary}</title>\n'
            f'<desc id="{name}-desc">{described}</desc>\n'
            f"<style>{_style(name, [key for key, *_ in self.notes])}</style>\n"
            f'<defs><marker id="{name}-tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="11" markerHeight="11" '
            'markerUnits="userSpaceOnUse" orient="auto"><path class="bw" d="M0 1L10 5L0 9Z"/></marker></defs>\n'
            f'<rect class="bg" width="100%" height="100%"/>\n{body}\n</svg>\n',
            summary,
        )

    def _text(self, x: float, y: float, text: str, kind: str = "ink", size: float = 12) -> None:
        self.out.append(f'<text x="{_n(x)}" y="{_n(y)}" class="{kind}" font-size="{size:g}">{escaped(text)}</text>')

    def _heading(self, summary: str, width: float) -> float:
        """The heading, the key, and the formulas where the cards have none; returns where the graph may begin."""
        y = MARGIN + 14
        self._text(MARGIN, y, "What backward() walks", "ink bold", 17)
        y += 20
        self._text(MARGIN, y, f"{summary}, from the top down", "soft", 12)
        x, y = MARGIN, y + 24
        self._box("fwg", x, y - 11, 22, 14, 4)
        self._text(x + 28, y, "forward: the result y", "fw")
        self._box("bwg", x + 190, y - 11, 22, 14, 4)
        self._text(x + 218, y, "backward: dL/d(input), from dL/dy", "bw")
        y += 19
        self.out.append(f'<path class="arrow" d="M{_n(x)} {_n(y - 4)}h22"{TIP}/>')
        self._text(x + 28, y, "sends a gradient: dL/d(the box it points to)", "bw", 12)
        y += 19
        self.out.append(f'<rect class="pill" x="{_n(x)}" y="{_n(y - 11)}" width="22" height="14" rx="7"/>')
        self._text(x + 28, y, "leaf: what arrives is added to its .grad", "ink", 12)
        if any(item.arriving > 1 for item in self.items):
            y += 19
            self._add_sign(x + 11, y - 4)
            self._text(x + 28, y, "gradients that arrive here add up", "bw")
        if self.after and self.most > 0:
            y += 19
            self.out.append(f'<rect class="bar" x="{_n(x)}" y="{_n(y - 6)}" width="22" height="4" rx="2"/>')
            scale = f"full at the largest, {_number(self.most)}; empty at a millionth of it"
            self._text(x + 28, y, f"‖.grad‖ on a log scale: {scale}", "ink")
        if not self.detailed:
            y += 10
            for name, node, count in self._functions():
                y += 17
                self._text(x, y, shortened(f"{name} {TIMES} {count}", 142, 12, bold=True), "ink bold", 12)
                parts = [(kind, part) for kind, part in zip(("fw", "bw"), formula(node), strict=True) if part]
                if sum(text_width(part, 12) for _, part in parts) + 170 <= width:
                    at = 150.0
                    for kind, part in parts:
                        self._text(x + at, y, part, kind, 12)
                        at += text_width(part, 12) + 20
                    continue
                lines = [(kind, line) for kind, part in parts for line in wrapped(part, width - 150, 12, 2)]
                for number, (kind, line) in enumerate(lines):
                    y += 15 if number else 0
                    self._text(x + 150, y, line, kind, 12)
        return y

    def _functions(self) -> list[tuple[str, Node, int]]:
        """Each Function of the tape: its name, a Node of it, how many there are; the most frequent first."""
        found: dict[str, list[Node]] = {}
        for node in self.graph.nodes:
            found.setdefault(node.function.__name__, []).append(node)
        return sorted(((name, nodes[0], len(nodes)) for name, nodes in found.items()), key=lambda entry: -entry[2])

    def _start(self, y: float, inner: float, width: float) -> None:
        """The gradient that backward starts with, above the loss."""
        root = self.graph.nodes[0]
        run = self.items[0].run
        x = MARGIN + (inner - width) / 2 + self.places[0][0]
        one = math.prod(root.result_shape) == 1
        text = "dL/dL = 1" if one else "dL/dy, given to backward(gradient)"
        self._text(x + 10, y + 2, text, "bw", 12)
        end = y + 26 + (self.places[0][1] if run is not None else 0.0)
        self.out.append(f'<path class="arrow" d="M{_n(x)} {_n(y - 12)}V{_n(end)}"{TIP}/>')

    def _frame(self, number: int) -> None:
        """The frame around a repetition."""
        run, (x, y, width, height) = self.graph.runs[number], self.frames[number]
        first, last = run.start + 1, run.stop
        words = f"{run.times} repetitions of {_count(run.period, 'operation')}, #{first} to #{last}."
        if self.graph.handed_on[number]:
            words += " Each sends gradients to the next one; the last one sends them on, below."
        self.out.append(f'<g data-run="{number}" data-times="{run.times}" {FOCUSABLE}><title>{words}</title>')
        self.notes.append((f"run {number}", words, x, y - 11, y + 11))
        self._box("frame", x, y, width, height, 12)
        text = f"{TIMES} {run.times}"
        wide = text_width(text, 14, bold=True) + 16
        self.out.append(f'<rect class="tag" x="{_n(x)}" y="{_n(y - 11)}" width="{_n(wide)}" height="22" rx="6"/>')
        self._text(x + 8, y + 5, text, "tagged bold", 14)
        self.out.append("</g>")

    def _arrow(self, n: int, link: Link) -> None:
        names = input_names(_node(self.items[link.source]))
        label = ", ".join(names[k] for k in link.inputs) if len(link.inputs) < 3 else f"{len(link.inputs)} inputs"
        inputs = " ".join(map(str, link.inputs))
        begin = f'<g data-from="{link.source}" data-to="{link.target}" data-inputs="{inputs}">'
        title = (
            f"<title>{escaped(f'dL/d({label}), from {self._said(link.source)} to {self._said(link.target)}')}</title>"
        )
        self.out.append(begin + title)
        if self.beside.get(link.target) == link.source:
            siblings = [other for other in self.graph.links if other.target == link.target]
            (x, _), (to_x, to_y) = self.places[link.source], self.places[link.target]
            x, to_x = x + self.shapes[link.source].width / 2, to_x - self.shapes[link.target].width / 2
            y = to_y + self.shapes[link.target].height / 2
            off = 20 * (siblings.index(link) / (len(siblings) - 1) - 0.5) if len(siblings) > 1 else 0.0
            to_x -= 7 if self.items[link.target].arriving > 1 else 0
            way = f"C{_n(x + 30)} {_n(y + off)} {_n(x + 26)} {_n(y)} {_n(to_x)} {_n(y)}" if off else f"H{_n(to_x)}"
            self.out.append(f'<path class="arrow" d="M{_n(x)} {_n(y + off)}{way}"{TIP}/>')
            self._text(x + 5, y + off + (-4 if off <= 0 else 12), shortened(label, BESIDE - 18, 10.5), "halo", 10.5)
        else:
            ways = self.ways[n]
            for k, points in enumerate(ways):
                if self.tips[n] and k == len(ways) - 1 and self.items[link.target].arriving > 1:
                    points = [*points[:-1], (points[-1][0], points[-1][1] - 7)]
                tip = TIP if self.tips[n] and k == len(ways) - 1 else ""
                self.out.append(f'<path class="arrow" d="{_curve(points)}"{tip}/>')
            (x, y), room = ways[0][0], 54.0
            self._text(x + 5, y + 13, shortened(label, room, 10.5), "halo", 10.5)
        self.out.append("</g>")

    def _said(self, number: int) -> str:
        item = self.items[number]
        if item.is_leaf:
            return self._leaf_name(item)
        return f"#{item.numbers[0]} {_node(item).function.__name__}"

    def _leaf_name(self, item: Item) -> str:
        return common_name([self.leaf_names[leaf] for leaf in item.members if isinstance(leaf, AccumulateGrad)])

    def _card(self, number: int, item: Item) -> None:
        node = _node(item)
        (x, y), shape = self.places[number], self.shapes[number]
        x -= shape.width / 2
        numbers, whole = " ".join(map(str, item.numbers)), self._whole(item)
        self.notes.append((str(number), whole, x, y, y + shape.height))
        self.out.append(f'<g data-item="{number}" data-nodes="{numbers}" {FOCUSABLE}><title>{escaped(whole)}</title>')
        self._box("card", x, y, shape.width, shape.height, 8)
        parts, natural = self._card_lines(item, shape.height) if number not in self.beside else ([], ROW)
        down = y + (shape.height - natural) / 2
        mark, size = _mark(item), shortened(_dims(node), shape.width * 0.5, 11, mono=True)
        at, right = x + PAD + text_width(mark, 11) + 6, x + shape.width - PAD
        room = right - text_width(size, 11, mono=True) - 8 - at
        name = shortened(node.function.__name__, room, 13.5, bold=True)
        self._text(x + PAD, down + 20, mark, "soft", 11)
        self._text(at, down + 20, name, "ink bold", 13.5)
        self._text(right, down + 20, size, "ink mono end", 11)
        taken = text_width(name, 13.5, bold=True) + 8
        result = self.names.results.get(node)
        if result and len(item.members) == 1 and room - taken > 20:
            self._text(at + taken, down + 20, shortened(result, room - taken, 12), "fw italic", 12)
        if number in self.beside:
            self._text(x + PAD, down + 37, shortened(formula(node)[0], shape.width - 2 * PAD, 11.5), "fw", 11.5)
        down += 30
        for kind, lines in parts:
            plain = "plain" in kind
            if not plain:
                self._box(f"{kind}g", x + PAD - 4, down, shape.width - 2 * PAD + 8, 15 * len(lines) + 6, 4)
            for line in lines:
                self._text(x + PAD, down + (11 if plain else 14), line, kind, 11 if "soft" in kind else 12)
                down += 15
            down += 1 if plain else 9
        self._plus(item, x + shape.width / 2, y)
        self.out.append("</g>")

    def _plus(self, item: Item, x: float, y: float) -> None:
        if item.arriving > 1:
            self._add_sign(x, y)

    def _add_sign(self, x: float, y: float) -> None:
        self.out.append(f'<circle class="plus" cx="{_n(x)}" cy="{_n(y)}" r="7"/>')
        self.out.append(f'<path class="arrow" d="M{_n(x - 4)} {_n(y)}h8M{_n(x)} {_n(y - 4)}v8"/>')

    def _pill(self, number: int, item: Item) -> None:
        (x, y), shape = self.places[number], self.shapes[number]
        x -= shape.width / 2
        whole = self._whole(item)
        self.notes.append((str(number), whole, x, y, y + shape.height))
        self.out.append(
            f'<g data-item="{number}" data-leaves="{len(item.members)}" {FOCUSABLE}><title>{escaped(whole)}</title>'
        )
        self._box("pill", x, y, shape.width, shape.height, 14)
        signed = number in self.beside and item.arriving > 1  # the sign lies on its left edge
        left, right = x + PAD + (6 if signed else 2), x + shape.width - PAD - 2
        size = shortened(_dims(item.members[0]), (right - left) * 0.6, 11, mono=True)
        taken = text_width(size, 11, mono=True) + 10
        room = right - left - (0 if self.after else taken)
        self._text(left, y + 18.5, shortened(self._leaf_name(item), room, 12, bold=True), "ink bold", 12)
        self._text(right, y + (33 if self.after else 18.5), size, "ink mono end", 11)
        if self.after:
            norms = self._norms(item)
            known = not norms or all(map(math.isfinite, norms))
            text = shortened(self._grad_text(item), right - left - taken, 11)
            self._text(left, y + 33, text, ("ink" if known else "bad bold") if norms else "soft", 11)
            if norms and known and _share(max(norms), self.most) > 0:
                low, high = (_share(norm, self.most) * (right - left) for norm in (min(norms), max(norms)))
                start = low if len(norms) > 1 else 0.0
                self._box("bar", left + start, y + 39, max(high - start, 2.0), 4, 2)
        if number in self.beside:
            self._plus(item, x, y + shape.height / 2)
        else:
            self._plus(item, x + shape.width / 2, y)
        self.out.append("</g>")

    def _norms(self, item: Item) -> list[float]:
        found = [self.norms[leaf] for leaf in item.members if isinstance(leaf, AccumulateGrad)]
        return [norm for norm in found if norm is not None]

    def _grad_text(self, item: Item) -> str:
        """What a leaf's second line says of its gradient; of a repetition's, the least and the largest."""
        if norms := self._norms(item):
            return f"‖.grad‖ {_range(norms)}"
        return ".grad is None"

    def _box(self, kind: str, x: float, y: float, width: float, height: float, round: float) -> None:
        self.out.append(
            f'<rect class="{kind}" x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="{_n(round)}"/>'
        )

    def _note(
        self, key: str, text: str, x: float, top: float, bottom: float, ends: tuple[float, float], height: float
    ) -> None:
        """What a title says, shown while its box has the focus: browsers show titles to a mouse only."""
        width = min(NOTE, ends[1] - ends[0])
        lines = [line for part in text.split("\n") for line in wrapped(part, width - 2 * PAD, 12, LINES)]
        if len(lines) > LINES:
            lines = [*lines[: LINES - 1], f"and {len(lines) - LINES + 1} more"]
        x, tall = min(max(x, ends[0]), ends[1] - width), 16 * len(lines) + PAD
        y = bottom + 6 if bottom + 6 + tall <= height else max(top - 6 - tall, 0.0)
        self.out.append(f'<g data-note="{key}" aria-hidden="true">')
        self._box("note", x, y, width, tall, 6)
        for number, line in enumerate(lines):
            self._text(x + PAD, y + 17 + 16 * number, line)
        self.out.append("</g>")

    # words

    def _whole(self, item: Item) -> str:
        """All that is known of an item, for its title."""
        if item.is_leaf:
            lines = []
            for leaf in item.members:
                assert isinstance(leaf, AccumulateGrad)
                norm = self.norms[leaf]
                grad = "None" if norm is None else f"of norm {_number(norm)}"
                shape = f"{list(leaf.result_shape)} {leaf.result_dtype}"
                lines.append(f"{self.leaf_names[leaf]} {shape}: .grad is {grad}")
            return "\n".join(lines)
        node = _node(item)
        documented = [" ".join(part.split()) for part in (node.function.__doc__ or "").strip().split("\n\n")]
        numbers = ", ".join(f"#{number}" for number in item.numbers)
        head = f"{numbers} {node.name()}, result {list(node.result_shape)} {node.result_dtype}"
        return "\n".join([head, *documented[:1]])

    def _described(self, summary: str) -> str:
        """The picture in words, for who cannot see it."""
        lines = [f"{summary}. backward() visits the operations in this order."]
        for run in self.graph.runs:
            lines.append(
                f"#{run.start + 1} to #{run.stop} are {run.times} repetitions of {run.period} operations, drawn once."
            )
        targets: dict[int, list[Link]] = {}
        for link in self.graph.links:
            targets.setdefault(link.source, []).append(link)
        for number, item in enumerate(self.items):
            if item.is_leaf:
                continue
            node = _node(item)
            sent = []
            for link in targets.get(number, []):
                inputs = ", ".join(input_names(node)[k] for k in link.inputs)
                sent.append(f"the gradient of {inputs} to {self._said(link.target)}")
            sends = " and ".join(sent) if sent else "its gradients to its next repetition"
            lines.append(f"{self._said(number)}, result {list(node.result_shape)}, sends {sends}.")
        for item in self.items:
            if item.is_leaf:
                lines.append(self._whole(item) + ".")
        return "\n".join(lines)


class _Inside:
    """What is inside a repetition's frame. It is laid out for itself and is one box in the whole."""

    def __init__(self, run: int, drawing: _Drawing, links: Sequence[tuple[int, Link]]) -> None:
        self.run, self.drawing = run, drawing
        items = drawing.items
        inside = [i for i, item in enumerate(items) if item.run == run and i not in drawing.beside]
        self.numbers = {i: k for k, i in enumerate(inside)}
        self.boxes = [drawing.shapes[i].box for i in inside]
        self.links: list[tuple[int, Arrow]] = []
        self.arrows: list[Arrow] = []
        entering: dict[int, list[int]] = {}
        leaving: dict[int, int] = {}
        entries: dict[int, int] = {}
        for n, link in links:
            if link.target in self.numbers and link.source not in self.numbers:
                entering.setdefault(link.target, []).append(n)
        if 0 in self.numbers:  # backward starts here
            entering.setdefault(0, [])
        for target in entering:
            entries[target] = len(self.boxes)
            self.boxes.append(Box(12, 12, 0))
            self.arrows.append(Arrow(entries[target], self.numbers[target], 0.0))
        self.entering = list(zip(entering.values(), self.arrows, strict=True))
        for n, link in links:
            if link.source not in self.numbers:
                continue
            if link.target not in self.numbers and link.target not in leaving:
                leaving[link.target] = len(self.boxes)
                self.boxes.append(Box(12, 12, 0, lowest=True))
            target_box = self.numbers.get(link.target, leaving.get(link.target, 0))
            self.links.append((n, Arrow(self.numbers[link.source], target_box)))
        self.arrows += [arrow for _, arrow in self.links]
        width, height = layout(self.boxes, self.arrows, INNER_GAP)
        anchor = self.boxes[next(iter(entries.values()))].x
        self.size = width + 2 * FRAME, height + (0 if leaving else FRAME)
        self.box = Box(anchor + FRAME, width + FRAME - anchor, self.size[1])
        self.entries = {i: self.boxes[k].x - anchor for i, k in entries.items()}
        self.exits = {i: self.boxes[k].x - anchor for i, k in leaving.items()}

    def move(self) -> None:
        """Move everything to where the frame was put."""
        x, y = self.box.x - self.box.left, self.box.y
        drawing = self.drawing
        drawing.frames[self.run] = (x, y, *self.size)
        for i, k in self.numbers.items():
            drawing.places[i] = self.boxes[k].x + x + FRAME, self.boxes[k].y + y
        for arrow in self.arrows:
            arrow.points = [(px + x + FRAME, py + y) for px, py in arrow.points]

    def gather(self) -> None:
        """Put the inner pieces before and after the outer ones."""
        drawing = self.drawing
        for n, arrow in self.links:
            drawing.ways[n].insert(0, arrow.points)
            if drawing.graph.links[n].target in self.numbers:
                drawing.tips[n] = not arrow.joins
        for numbers, arrow in self.entering:
            for n in numbers[:1]:
                drawing.ways[n].append(arrow.points)
                drawing.tips[n] = True


def _node(item: Item) -> Node:
    node = item.members[0]
    assert isinstance(node, Node)
    return node


def _card_height(parts: Sequence[tuple[str, list[str]]]) -> float:
    height = 30.0 + sum(15 * len(lines) + (1 if "plain" in kind else 9) for kind, lines in parts)
    return height + (4 if parts and "plain" in parts[-1][0] else 0)


def _mark(item: Item) -> str:
    """The numbers of its operations in the walk."""
    return f"#{item.numbers[0]}" + (f"…{item.numbers[-1]}" if len(item.numbers) > 1 else "")


def _dims(edge: Node | AccumulateGrad) -> str:
    return str(list(edge.result_shape))


def _within(limits: tuple[float, float], needed: Sequence[float]) -> float:
    """The largest width that is needed, within the limits."""
    return max(limits[0], min(max(needed, default=0.0), limits[1]))


def _norm(variable: Any) -> float | None:
    """The norm of its .grad, in float64, or None if there is no gradient."""
    grad = variable._grad
    return None if grad is None else float(np.linalg.norm(grad.array.astype(np.float64).ravel()))


def _retained_norm(node: Node | AccumulateGrad) -> float | None:
    """The norm of the gradient that retain_grad() has kept of a Node's result, or None."""
    variable = node._retain_for() if isinstance(node, Node) and node._retain_for is not None else None
    return None if variable is None else _norm(variable)


def _share(norm: float, most: float) -> float:
    """How much of its bar a norm fills: all at the largest norm, nothing DECADES powers of ten below."""
    return max(0.0, 1 + math.log10(norm / most) / DECADES) if norm > 0 and most > 0 and math.isfinite(norm) else 0.0


def _range(values: Sequence[float]) -> str:
    low, high = _number(min(values)), _number(max(values))
    if not all(map(math.isfinite, values)):
        return next(_number(value) for value in values if not math.isfinite(value))
    return low if low == high else f"{low} to {high}"


def _number(value: float) -> str:
    """3 digits; 1.2·10⁻⁵ where it is very small or large."""
    if not math.isfinite(value) or value == 0 or 1e-4 <= abs(value) < 1e5:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    digits, _, exponent = f"{value:.2e}".partition("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digits}·10{raised}"


def _count(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _curve(points: Sequence[Point]) -> str:
    """Straight down from the first point to the second, a curve to the third, and so on."""
    (x, y), *others = points
    d = [f"M{_n(x)} {_n(y)}"]
    for k, (to_x, to_y) in enumerate(others):
        if k % 2 == 0 or abs(to_x - x) < 0.05:
            d.append(f"L{_n(to_x)} {_n(to_y)}")
        else:
            middle = _n((y + to_y) / 2)
            d.append(f"C{_n(x)} {middle} {_n(to_x)} {middle} {_n(to_x)} {_n(to_y)}")
        x, y = to_x, to_y
    return "".join(d)


def _style(name: str, notes: Sequence[str]) -> str:
    """The rules of light and dark, and of what has the focus; they name this picture: a page may hold several."""
    boxes = [f'[data-run="{key[4:]}"]' if key.startswith("run ") else f'[data-item="{key}"]' for key in notes]
    shown = "".join(
        f'#{name} {box}:focus~[data-note="{key}"]{{display:inline}}' for box, key in zip(boxes, notes, strict=True)
    )

    def colours(scheme: int) -> str:
        paint = {"": "none"} | {colour: both[scheme] for colour, both in COLOURS.items()}
        rules = "".join(
            f"#{name} .{kind}{{fill:{paint[fill]};stroke:{paint[stroke]}}}" for kind, (fill, stroke) in PAINT.items()
        )
        return f"{rules}#{name} [tabindex]:focus>rect:first-of-type{{stroke:{paint['ink']}}}"

    return (
        f"#{name} text{{font-family:{SANS};font-variant-numeric:tabular-nums}}#{name} .mono{{font-family:{MONO}}}"
        f"#{name} .bold{{font-weight:650}}#{name} .italic{{font-style:italic}}#{name} .end{{text-anchor:end}}"
        f"#{name} .mid{{text-anchor:middle}}#{name} .halo{{paint-order:stroke;stroke-width:4}}"
        f"#{name} .arrow{{stroke-width:1.5}}#{name} .frame{{stroke-width:1.5;stroke-dasharray:5 4}}"
        f"#{name} [data-note]{{display:none}}#{name} [tabindex]:focus{{outline:none}}"
        f"#{name} [tabindex]:focus>rect:first-of-type{{stroke-width:3}}{shown}"
        f"{colours(0)}@media (prefers-color-scheme:dark){{{colours(1)}}}"
    )
