"""The report of one run, or of several compared: one HTML file without scripts, which needs nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from minitrain.runs.config import OPTIMIZERS, SCHEDULER_SETTINGS, SHAPES, WITH_MOMENTUM, Config, default_config
from minitrain.runs.messages import counted
from minitrain.study import picture
from minitrain.study.line_chart import Line, chart
from minitrain.study.picture import as_address
from minitrain.study.run_record import Layer, RunRecord, Tested

MINUS = "\u2212"
TIMES = "\u00d7"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
SHOWN = 12  # images of each kind
NEURONS = 64  # pictures of the first layer
COLUMNS = 8  # of them in a row
RUN_COLOURS = 6
DASHES = ("", "6 3", "2 3")
# From the first layer to the last: light to dark on a light page, dark to light on a dark one.
RAMPS = {
    "b": {"light": ("#c06bb8", "#5e1258"), "dark": ("#b272ab", "#f6c4f0")},  # what comes from backward
    "f": {"light": ("#2f9a8d", "#06443e"), "dark": ("#35a193", "#bdf2e9")},  # what comes from forward
    "n": {"light": ("#8a8e97", "#1b1d22"), "dark": ("#7d828d", "#eceae6")},
}
# Where a run is overlaid with others: not what it computes, but where and how long it was recorded.
IRRELEVANT = {"data_dir", "checkpoint_every", "layers_every", "on_nan"}


def report_page(runs: Sequence[RunRecord]) -> str:
    """The page of these runs, which have the same data."""
    title = f"Report of a run: {runs[0].name}" if len(runs) == 1 else f"{len(runs)} runs on {runs[0].config.dataset}"
    body = _one(runs[0]) if len(runs) == 1 else _several(runs)
    css = resources.files("minitrain.study").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>\n{css}{_ramps(runs)}</style></head><body><main>\n"
        f"{body}\n</main></body></html>\n"
    )


def _ramps(runs: Sequence[RunRecord]) -> str:
    """The CSS variables of the layers' colours."""
    weighted, relus = (max(len(_kinds(run)[kind]) for run in runs) for kind in (0, 1))

    def variables(scheme: str) -> str:
        return ";".join(
            f"--{letter}{k}:{picture.text(picture.mixed(ramp[scheme], k / (count - 1) if count > 1 else 0.5))}"
            for letter, ramp in RAMPS.items()
            for count in [relus if letter == "f" else weighted]
            for k in range(count)
        )

    return f":root{{{variables('light')}}}@media (prefers-color-scheme:dark){{:root{{{variables('dark')}}}}}"


# --- one run ---


def _one(run: RunRecord) -> str:
    return "\n".join([_head(run), _curves([run], [""]), _layer_charts(run), *_results(run), _settings(run), _next(run)])


def _head(run: RunRecord) -> str:
    return (
        f"<header><div><h1>Report of a run: {escape(run.name)}</h1>"
        f'<p class="sub">{escape(_summary(run))}</p>{_state(run)}</div>{_figures(run)}</header>'
    )


def _summary(run: RunRecord) -> str:
    config = run.config
    sizes = "-".join(map(str, config.sizes))
    return (
        f"{config.dataset}, {sizes}, {config.parameters:,} parameters. {OPTIMIZERS[config.optimizer]} with learning "
        f"rate {config.lr:g}, batches of {config.batch_size}. {counted(len(run.epochs), 'epoch')}, "
        f"{counted(len(run.steps), 'update')}."
    )


def _state(run: RunRecord) -> str:
    if run.complete:
        return ""
    return (
        f'<p class="state">Not complete: {len(run.epochs)} of {run.config.epochs} epochs. The results below are those '
        "of the last checkpoint.</p>"
    )


def _figures(run: RunRecord) -> str:
    if run.tested is None:
        return ""
    accuracy, loss = run.tested.evaluation.accuracy, run.tested.evaluation.loss
    rows = {
        "test accuracy": percent(accuracy),
        "test loss": f"{loss:.4f}",
        "mistakes": f"{len(run.tested.wrong):,} of {len(run.tested.labels):,}",
    }
    return f'<dl class="figures">{"".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in rows.items())}</dl>'


def percent(share: float) -> str:
    """0.98 as 98.0%."""
    return f"{100 * share:.1f}%"


def number(value: float) -> str:
    """Four significant digits, with a proper minus."""
    return f"{value:.4g}".replace("-", MINUS)


# --- curves ---


def _colour(number: int) -> dict[str, Any]:
    return {"colour": f"--run{number % RUN_COLOURS}", "dash": DASHES[number // RUN_COLOURS % len(DASHES)]}


def _last(runs: Sequence[RunRecord]) -> float:
    """The end of the axis of epochs."""
    ends = [x for run in runs for x in (*run.at[-1:], *run.epochs[-1:, 0])]
    return float(max(ends, default=1.0))


def _curves(runs: Sequence[RunRecord], labels: Sequence[str]) -> str:
    last, alone = _last(runs), len(runs) == 1
    losses = [
        Line(label or "train", run.at, run.losses, smooth=True, **_colour(k))
        for k, (run, label) in enumerate(zip(runs, labels, strict=True))
    ]
    if alone:
        losses.append(Line("test", runs[0].epochs[:, 0], runs[0].epochs[:, 2], "--test", dots=len(runs[0].epochs) < 60))
    about = "Training batches, by epoch. The line is the median of neighbouring updates, the band goes from the least "
    about += "to the greatest loss." + (" The test loss is measured after each epoch." if alone else "")
    lost = sum(int((~(np.isfinite(run.losses) & (run.losses > 0))).sum()) for run in runs)
    if lost:
        about += f" {lost:,} of them {'is' if lost == 1 else 'are'} 0, nan or infinite, and cannot be drawn."
    loss = chart(losses, f"Loss of each update, {_range(runs)}", width=752, height=262, last=last, log=True)
    accuracies = [
        Line(label or _end_accuracy(run), run.epochs[:, 0], run.epochs[:, 1], dots=len(run.epochs) < 60, **_colour(k))
        for k, (run, label) in enumerate(zip(runs, labels, strict=True))
    ]
    best = ""
    if alone and len(runs[0].epochs):
        top = runs[0].epochs[runs[0].epochs[:, 1].argmax()]
        best = f" The best was {percent(top[1])} after epoch {top[0]:.0f}."
    accuracy = '<p class="note">No epoch has ended yet.</p>'
    if any(len(run.epochs) for run in runs):
        accuracy = chart(
            accuracies,
            f"Test accuracy after each epoch.{best}",
            width=436,
            height=262,
            last=last,
            show=lambda value: f"{100 * value:.4g}%",
        )
    return (
        f'<section class="two"><div><h2>Loss, step by step</h2><p class="note">{about}</p>{loss}</div>'
        f'<div><h2>Accuracy on the test images</h2><p class="note">After each epoch.{best}</p>{accuracy}</div>'
        "</section>"
    )


def _end_accuracy(run: RunRecord) -> str:
    return percent(run.epochs[-1, 1]) if len(run.epochs) else ""


def _range(runs: Sequence[RunRecord]) -> str:
    ends = [f"from {number(run.losses[0])} to {number(run.losses[-1])}" for run in runs if len(run.losses)]
    return "; ".join(ends) or "none yet"


# --- layers ---


def symbols(names: Sequence[str], letter: str) -> list[str]:
    """W₁, W₂ and so on; without a number if there is one."""
    numbers = [str(k).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")) for k in range(1, len(names) + 1)]
    return [letter] if len(names) == 1 else [letter + n for n in numbers]


def _kinds(run: RunRecord) -> tuple[list[Layer], list[Layer]]:
    return [x for x in run.layers if x.weight is not None], [x for x in run.layers if x.zeros is not None]


QUANTITIES = (
    ("How strong the gradient is", "‖dL/dW‖", "b"),
    ("How large the weights are", "‖W‖", "n"),
    ("How far an update goes", "‖change‖ / ‖W‖", "b"),
    ("What ReLU sets to 0", "the share of zeros in its output", "f"),
)


def _values(layer: Layer, quantity: int) -> npt.NDArray[np.float64]:
    values = (layer.gradient, layer.weight, None, layer.zeros)[quantity]
    return layer.relative_change if values is None else values


def _layer_chart(quantity: int, lines: Sequence[Line], last: float, title: str) -> str:
    how: dict[str, Any] = {"log": True}
    if quantity == 1:
        how = {}
    elif quantity == 2:
        how["guide"] = (1e-3, "a thousandth of the weight")
    elif quantity == 3:
        how = {"show": lambda value: f"{100 * value:.4g}%", "ends": (0.0, 0.5)}
    return chart(lines, title, width=294, height=216, last=last, **how)


def _layer_charts(run: RunRecord) -> str:
    weighted, relus = _kinds(run)
    if not run.layers:
        return f'<section><h2>Layer by layer</h2><p class="note">{_without_layers(run)}</p></section>'
    parts = []
    for quantity, (heading, formula, letter) in enumerate(QUANTITIES):
        layers = relus if quantity == 3 else weighted
        if not layers:
            continue
        names = symbols([x.name for x in layers], "h" if quantity == 3 else "W")
        lines = [
            Line(name, x.at, _values(x, quantity), f"--{letter}{k}", smooth=True)
            for k, (name, x) in enumerate(zip(names, layers, strict=True))
        ]
        svg = _layer_chart(quantity, lines, _last([run]), f"{heading}: {formula} of each layer, by epoch")
        parts.append(f'<div><h2>{heading}</h2><p class="note">{formula[0].upper() + formula[1:]}</p>{svg}</div>')
    every = run.config.layers_every
    rhythm = "at every update" if every == 1 else f"once in {counted(every, 'update')}"
    recorded = f"Recorded {rhythm}; a line is the median of neighbours."
    if run.config.hidden and not relus:
        recorded += " Zeros after ReLU cannot be recorded if the model is compiled, or shared by several processes."
    return (
        f'<section><div class="charts">{"".join(parts)}</div>'
        f'<p class="layers"><span>{recorded}</span>{_which(run)}</p></section>'
    )


def _which(run: RunRecord) -> str:
    """What the symbols of the layers stand for, and which neurons are silent."""
    weighted, relus = _kinds(run)
    parts = []
    for name, layer in zip(symbols([x.name for x in weighted], "W"), weighted, strict=True):
        shape = f" {TIMES} ".join(map(str, run.shapes.get(f"{layer.name}.weight", ())))
        parts.append(f"<span><b>{name}</b> {escape(layer.name)}.weight, {shape}</span>")
    for name, layer in zip(symbols([x.name for x in relus], "h"), relus, strict=True):
        silent = None if run.tested is None else run.tested.silent.get(layer.name)
        text = f"<b>{name}</b> after {escape(layer.name)}, ReLU"
        if silent is not None and run.tested is not None:
            count = int(silent.sum())
            text += f"; {count or 'no'} of {silent.size} neurons {'is' if count == 1 else 'are'} 0 for all test images"
        parts.append(f"<span>{text}</span>")
    return "".join(parts)


def _without_layers(run: RunRecord) -> str:
    if run.config.layers_every == 0:
        return "This run has no table of its layers. New runs write one, unless --layers-every is 0."
    if run.config.backend == "torch":
        return (
            "This run has no table of its layers. Steps that are captured on a GPU cannot be watched: a replay runs "
            "from the batch to the update without a stop."
        )
    return "layers.csv is missing or empty." if run.complete else "The table of the layers has no row yet."


# --- results ---


def _results(run: RunRecord) -> Iterable[str]:
    if run.tested is None:
        why = f"They could not be read: {escape(run.why_not)}"
        yield f'<section><h2>Test images</h2><p class="note">{why}</p></section>'
    else:
        yield _classes(run, run.tested)
        yield from _images(run, run.tested)
    yield _first_layer(run)


def _classes(run: RunRecord, tested: Tested) -> str:
    confusion, names = tested.evaluation.confusion, [*map(escape, run.classes)]
    long = max(map(len, run.classes)) > 3
    columns = "".join(f'<th scope="col">{f"<div class=long>{name}</div>" if long else name}</th>' for name in names)
    most_wrong = int((confusion - np.diag(confusion.diagonal())).max())
    rows = []
    for i, name in enumerate(names):
        cells = []
        for j, other in enumerate(names):
            count = int(confusion[i, j])
            if not count:
                cells.append("<td></td>")
                continue
            images = f"{counted(count, 'image')} of class {name}"
            said = f"{images} classified right" if i == j else f"{images} taken for {other}"
            share = count / max(1, int(confusion[i].sum())) if i == j else count / most_wrong
            cells.append(f'<td title="{said}" style="{_cell(share, i == j)}">{count}</td>')
        rows.append(f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>')
    table = (
        f'<div class="scroll"><table class="confusion"><thead><tr><th></th>{columns}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
    lines = []
    e = tested.evaluation
    for i, name in enumerate(names):
        wrong = confusion[i].copy()
        wrong[i] = 0
        often = f"{names[int(wrong.argmax())]} ({wrong.max()})" if wrong.any() else "-"
        recall = e.recall[i]
        bar = f'<span class="track"><span style="width:{100 * (recall or 0):.1f}%"></span></span>'
        lines.append(
            f'<tr><th scope="row">{name}</th><td>{e.count[i]:,}</td>'
            f'<td>{bar}<span class="percent">{_share(recall)}</span></td>'
            f'<td>{_share(e.precision[i])}</td><td class="left">{often}</td></tr>'
        )
    per_class = (
        '<table class="list"><thead><tr><th scope="col" class="left">class</th><th scope="col">images</th>'
        '<th scope="col">found (recall)</th><th scope="col">right when said (precision)</th>'
        f'<th scope="col" class="left">most often taken for</th></tr></thead><tbody>{"".join(lines)}</tbody></table>'
    )
    return (
        '<section class="half"><div><h2>What is taken for what</h2><p class="note">Row: the class. Column: what the '
        f"model says.</p>{table}</div><div><h2>Class by class</h2>"
        f'<p class="note">On {sum(e.count):,} test images.</p><div class="scroll">{per_class}</div></div></section>'
    )


def _share(share: float | None) -> str:
    return "-" if share is None else percent(share)


def _cell(share: float, right: bool) -> str:
    """The colours of a cell on both schemes: ink for what is right, orange for what is wrong."""
    ends = {
        "light": ("#f0eeea", "#1b1d22" if right else "#d9752a"),
        "dark": ("#24272d", "#c9ccd3" if right else "#f39a4a"),
    }
    parts = []
    for letter, pair in zip("ld", ends.values(), strict=True):
        colour = picture.mixed(pair, 0.35 + 0.65 * share)
        parts.append(f"--{letter}:{picture.text(colour)};--{letter}t:{picture.text_on(colour)}")
    return ";".join(parts)


def _images(run: RunRecord, tested: Tested) -> Iterable[str]:
    wrong, unsure = tested.wrong, tested.unsure
    if wrong:
        number = "All of them" if len(wrong) <= SHOWN else f"{SHOWN} of {len(wrong):,}"
        yield (
            f'<section><h2>The most confident mistakes</h2><p class="note">{number}, the most confident first.</p>'
            f"{_tiles(run, tested, wrong[:SHOWN])}</section>"
        )
    if unsure:
        yield (
            '<section><h2>The least sure successes</h2><p class="note">Right, but with the smallest probability; the '
            f"least sure first.</p>{_tiles(run, tested, unsure[:SHOWN])}</section>"
        )


def _tiles(run: RunRecord, tested: Tested, chosen: Sequence[int]) -> str:
    items = []
    for i in chosen:
        p, label, said = tested.probabilities[i], int(tested.labels[i]), int(tested.predicted[i])
        name, sure = escape(run.classes[label]), f"{_probability(p[said])} sure"
        if label == said:
            second = int(np.argsort(-p, kind="stable")[1])
            caption = f"<b>{name}</b>"
            below = f"{sure}<br>{escape(run.classes[second])}: {_probability(p[second])}"
        else:
            caption = f"<b>{name}</b> taken for <b>{escape(run.classes[said])}</b>"
            below = f"{sure}<br>{name}: {_probability(p[label])}"
        address = as_address(picture.ink(tested.images[i]))
        items.append(
            f'<li><figure><div class="paper"><img class="ink" alt="Test image {i}, {name}" src="{address}"></div>'
            f'<figcaption title="Test image {i}">{caption}<span>{below}</span></figcaption></figure></li>'
        )
    return f'<ul class="tiles">{"".join(items)}</ul>'


def _probability(p: float) -> str:
    """As a percentage that never rounds to 0 or 100."""
    shown = 100 * float(p)
    if shown >= 99.95:
        return "over 99.9%"
    return f"{shown:.0f}%" if shown >= 9.95 else f"{shown:.1f}%" if shown >= 0.05 else "under 0.1%"


def _first_layer(run: RunRecord) -> str:
    then, now = run.first, run.now
    height, width = SHAPES[run.config.dataset]
    shape = height, width
    with np.errstate(all="ignore"):  # training may have ended in infinite weights
        change = np.linalg.norm(now.astype(np.float64) - then, axis=1)
    # In the order of the layer, so that both pictures show the same neurons in the same places.
    chosen = np.sort(np.argsort(-np.nan_to_num(change, nan=np.inf), kind="stable")[:NEURONS])
    largest = _largest(np.concatenate([then[chosen], now[chosen]]))
    colours = {
        scheme: picture.png(np.arange(255, dtype=np.uint8)[None], picture.palette(scheme)) for scheme in picture.SCALES
    }
    scale = _both(colours, "the scale of the colours")
    which = "each" if len(chosen) == len(now) else f"the {len(chosen)} that have changed the most"
    pictures = []
    with np.errstate(all="ignore"):
        changed = now - then
    for when, symbol, weights, end in (
        ("At the beginning", "W", then, largest),
        ("Now", "W", now, largest),
        ("What training changed", "change", changed, _largest(changed[chosen])),
    ):
        drawn = picture.tiles(weights[chosen], shape, COLUMNS, end or 1.0)
        pictures.append(
            f'<div class="weights"><h3>{when}</h3><p class="scale">‖{symbol}‖ = {number(_norm(weights))}'
            f"<span>{MINUS}{number(end)} {scale} {number(end)}</span></p>"
            f"{_both(drawn, f'{when}: a picture for each of {len(chosen)} neurons')}</div>"
        )
    return (
        f'<section><h2>What the first layer looks for</h2><p class="note">A picture of the weights for {which} of its '
        f"{len(now)} neurons. Where it is blue, ink at this pixel raises the neuron; where it is orange, it lowers it. "
        "The change often looks like the images, since a neuron's gradient is a weighted sum of them.</p>"
        f'<div class="three">{"".join(pictures)}</div></section>'
    )


def _largest(weights: npt.NDArray[Any]) -> float:
    """The end of their colours' scale, which is finite."""
    largest = float(np.nanmax(np.abs(weights), initial=0))
    return largest if np.isfinite(largest) else float(np.finfo(np.float32).max)


def _norm(weights: npt.NDArray[Any]) -> float:
    with np.errstate(all="ignore"):
        return float(np.linalg.norm(weights.astype(np.float64)))


def _both(pngs: dict[str, bytes], alt: str) -> str:
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{as_address(pngs["dark"])}">'
        f'<img alt="{escape(alt)}" src="{as_address(pngs["light"])}"></picture>'
    )


# --- configuration ---


def train_command(config: Config) -> str:
    """The command that trains this configuration again."""
    default, parts = default_config(config.dataset), ["minitrain train"]
    always = {"weight_decay"} if config.optimizer == "adamw" else set()  # whose default depends on another option
    always |= {"gamma"} if config.scheduler == "exponential" else set()
    for name, value in vars(config).items():
        if name == "data_dir" or (value == getattr(default, name) and name not in always and name != "dataset"):
            continue
        if name == "dataset" and value == "fashion-mnist":
            continue
        option = name.replace("_", "-")
        if isinstance(value, bool):
            parts.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, tuple):
            parts.append(" ".join([f"--{option}", *map(str, value)]))
        else:
            parts.append(f"--{option} {value}")
    return " ".join(parts)


def _settings(run: RunRecord) -> str:
    config, shape = run.config, SHAPES[run.config.dataset]
    order = "shuffled" if config.shuffle else "in order"
    optimizer = f"{OPTIMIZERS[config.optimizer]}, learning rate {config.lr:g}"
    if config.optimizer in WITH_MOMENTUM and config.momentum:
        optimizer += f", momentum {config.momentum:g}"
    if config.weight_decay:
        optimizer += f", weight decay {config.weight_decay:g}"
    rows = {
        "Data": f"{config.dataset}, images of {shape[0]} {TIMES} {shape[1]}",
        "Model": f"{'-'.join(map(str, config.sizes))}, ReLU; {config.parameters:,} parameters",
        "Loss": "cross-entropy, mean over the batch",
        "Optimizer": optimizer,
        "Batches": f"{run.batches} an epoch, of {config.batch_size} images, {order}",
        "Epochs": f"{len(run.epochs)} of {config.epochs}",
        "Seed": str(config.seed),
    }
    if config.scheduler != "none":
        uses = [n for n, needs in SCHEDULER_SETTINGS.items() if config.scheduler in needs and n != "scheduler"]
        settings = ", ".join(f"{n.replace('_', ' ')} {getattr(config, n):g}" for n in uses)
        rows["Scheduler"] = f"{config.scheduler}{', ' + settings if settings else ''}"
    if config.backend == "torch":
        rows["Backend"] = f"torch, device {config.device}, {config.precision}{', compiled' * config.compile}"
    if len(run.epochs):
        rows["Time"] = f"{run.epochs[:, 3].sum():.3g} s, {np.median(run.epochs[:, 3]):.3g} s an epoch"
    for session in run.sessions:
        changes = session.get("changes", {})
        if changes:
            what = ", ".join(f"{name.replace('_', ' ')} {pair}" for name, pair in _changed(changes))
            rows[f"From update {session['updates']:,}"] = what
    environment = {str(name): str(value) for name, value in run.sessions[-1]["environment"].items()}
    return (
        f'<section class="pair"><div><h2>Configuration</h2>{_listed(rows)}<h3 style="margin-top:16px">To train it again'
        f"</h3><pre><code>{escape(train_command(config))}</code></pre></div>"
        f"<div><h2>Environment</h2>{_listed(environment)}</div></section>"
    )


def _changed(changes: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for name, pair in changes.items():
        yield name, " to ".join(map(str, pair)) if isinstance(pair, list) else str(pair)


def _listed(rows: dict[str, str]) -> str:
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows.items())
    return f'<dl class="settings">{items}</dl>'


def _next(run: RunRecord) -> str:
    """How to look at one step: the next one, and one with a large loss."""
    path = str(run.path)
    name = shlex.quote(f"./{path}" if path.startswith("-") else path)
    lines = [("The step after the last checkpoint:", f"minitrain step {name}")]
    finite = np.where(np.isfinite(run.losses), run.losses, -np.inf)
    if len(finite):
        recent = run.steps[:, 0] == run.steps[-1, 0]
        worst = int(np.where(recent, finite, -np.inf).argmax())
        epoch, batch, loss = run.steps[worst, 0], run.steps[worst, 1], run.losses[worst]
        text = f"The step of the last epoch with the largest loss, {number(loss)}:"
        lines.append((text, f"minitrain step {name} --epoch {epoch:.0f} --batch {batch:.0f}"))
    shown = "".join(f"{escape(text)}<pre><code>{escape(command)}</code></pre>" for text, command in lines)
    return (
        '<section><h2>Look at one step</h2><p class="note">A page that shows every number of one forward pass, its '
        f"gradients and its update, with the formula and the source.</p>{shown}</section>"
    )


# --- several runs ---


def labels_of(runs: Sequence[RunRecord]) -> list[str]:
    """What distinguishes each run: the settings that differ; its name where that is not enough."""
    settings = [vars(run.config) for run in runs]
    differ = [n for n in settings[0] if n not in IRRELEVANT and len({str(s[n]) for s in settings}) > 1]
    labels = [", ".join(_setting(n, s[n]) for n in differ) for s in settings]
    repeated = len(set(labels)) < len(labels)
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.path) for run in runs]
    return [
        f"{label} ({name})" if label and repeated else label or name for label, name in zip(labels, names, strict=True)
    ]


def _setting(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name.replace("_", " ") if value else f"no {name.replace('_', ' ')}"
    shown = (
        "-".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else value
    )
    return f"{name.replace('_', ' ')} {shown}"


def _several(runs: Sequence[RunRecord]) -> str:
    labels = labels_of(runs)
    short = [label if len(label) <= 26 else chr(ord("A") + k) if k < 26 else str(k) for k, label in enumerate(labels)]
    head = (
        f"<header><div><h1>{len(runs)} runs on {escape(runs[0].config.dataset)}</h1>"
        '<p class="sub">Overlaid, and labelled by what differs in their configurations.</p></div></header>'
    )
    parts = [head, _table(runs, labels, short), _curves(runs, short), _overlaid_layers(runs, short)]
    for run, label in zip(runs, labels, strict=True):
        sections = "\n".join([*_results(run), _settings(run), _next(run)])
        parts.append(
            f'<details class="run"{" open" * (len(runs) < 3)}><summary><h2>{escape(label)}</h2></summary>'
            f'<p class="note">{escape(str(run.path))}. {escape(_summary(run))}</p>{_state(run)}{sections}</details>'
        )
    return "\n".join(parts)


def _table(runs: Sequence[RunRecord], labels: Sequence[str], short: Sequence[str]) -> str:
    rows = []
    for k, (run, label, sign) in enumerate(zip(runs, labels, short, strict=True)):
        name = label if sign == label else f"{sign}: {label}"
        best = run.epochs[:, 1].max() if len(run.epochs) else None
        tested = run.tested
        cells = [
            f"{len(run.epochs)} of {run.config.epochs}",
            "-" if tested is None else percent(tested.evaluation.accuracy),
            "-" if best is None else percent(best),
            "-" if tested is None else f"{tested.evaluation.loss:.4f}",
            "-" if tested is None else f"{len(tested.wrong):,}",
            f"{run.epochs[:, 3].sum():.3g} s" if len(run.epochs) else "-",
        ]
        key = f'<span class="key" style="--c:var({_colour(k)["colour"]})"></span>'
        rows.append(f'<tr><th scope="row">{key}{escape(name)}</th>{"".join(f"<td>{c}</td>" for c in cells)}</tr>')
    heads = ("epochs", "test accuracy", "best so far", "test loss", "mistakes", "time")
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    return (
        '<section><div class="scroll"><table class="list wide"><thead><tr><th scope="col" class="left">run'
        f"</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _overlaid_layers(runs: Sequence[RunRecord], labels: Sequence[str]) -> str:
    """For each quantity a row of charts, one for each layer, with a line for each run that has it."""
    sections = []
    for quantity, (heading, formula, _) in enumerate(QUANTITIES):
        charts = []
        of = [_kinds(run)[1 if quantity == 3 else 0] for run in runs]
        names = symbols(["x"] * max(map(len, of)), "h" if quantity == 3 else "W")
        for depth, name in enumerate(names):
            lines = [
                Line(label, layers[depth].at, _values(layers[depth], quantity), smooth=True, **_colour(k))
                for k, (label, layers) in enumerate(zip(labels, of, strict=True))
                if depth < len(layers)
            ]
            about = f"{formula}, {name}" if quantity == 3 else formula.replace("W", name)
            svg = _layer_chart(quantity, lines, _last(runs), f"{heading}: {about}, by epoch")
            layer = "; ".join(dict.fromkeys(layers[depth].name for layers in of if depth < len(layers)))
            charts.append(f'<div><h3>{name} <span class="note">{escape(layer)}</span></h3>{svg}</div>')
        if charts:
            formula = formula[0].upper() + formula[1:]
            sections.append(
                f'<section><h2>{heading}</h2><p class="note">{formula}, layer by layer</p>'
                f'<div class="charts">{"".join(charts)}</div></section>'
            )
    without = [label for run, label in zip(runs, labels, strict=True) if not run.layers]
    note = f"Without a table of the layers, and so not drawn here: {escape('; '.join(without))}." if without else ""
    return "".join(sections) + (f'<p class="note">{note}</p>' if note else "")
