"""The report of a run: its numbers are those of the run's files, it works on every run, and text stays text."""

from __future__ import annotations

import csv
import dataclasses
import re
import struct
import xml.etree.ElementTree as ET
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minitrain
from minitrain import cli, nn, optim
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.evaluate import evaluate
from minitrain.runs.resume import plan_resumption
from minitrain.runs.run import resume, train
from minitrain.runs.run_files import RunError
from minitrain.runs.verify import find_stretch, verify
from minitrain.study import picture
from minitrain.study.line_chart import Line, chart, linear_axis, log_axis, power, running_median, spread
from minitrain.study.report_page import labels_of, report_page, train_command
from minitrain.study.run_record import read_run
from minitrain.with_torch.choose_backend import choose_backend

SHORT: dict[str, Any] = {
    "dataset": "digits",
    "epochs": 1,
    "batch_size": 64,
    "hidden": (8,),
    "lr": 0.1,
    "shuffle": True,
    "layers_every": 5,
}


def run(path: Path, **options: Any) -> Path:
    config = Config(**{**SHORT, **options})
    with choose_backend(config) as backend:
        assert train(config, path, backend) == path
    return path


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("runs") / "short")


class _Parsed(HTMLParser):
    """The text of a page, and its tags with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# --- the table of the layers ---


def test_the_table_has_the_norms_that_numpy_has(tmp_path: Path) -> None:
    """One update of plain SGD by hand: the run's first row is that of the first batch."""
    config = Config(**{**SHORT, "shuffle": False})
    with choose_backend(config) as backend:
        from minitrain.runs.recipe import Training

        training = Training(config, backend)
        X, y = next(iter(training.train_dataloader))
        layers = training.model.linear_relu_stack
        h = layers[1](layers[0](training.model.flatten(X)))
        training.loss_fn(layers[2](h), y).backward()
        train(config, tmp_path / "run", backend)
    first, relu, last = rows(tmp_path / "run" / "layers.csv")[:3]
    for row, layer in ((first, layers[0]), (last, layers[2])):
        gradient, weight = layer.weight.grad.array, layer.weight.array
        after = weight - np.float32(0.1) * gradient
        assert float(row["gradient_norm"]) == np.linalg.norm(gradient)
        assert float(row["weight_norm"]) == np.linalg.norm(weight)
        assert float(row["change_norm"]) == pytest.approx(np.linalg.norm(after - weight), rel=1e-6)
        assert row["zeros"] == ""
    assert float(relu["zeros"]) == np.mean(h.array == 0)
    assert [row["layer"] for row in (first, relu, last)] == [f"linear_relu_stack.{n}" for n in range(3)]


def test_every_nth_update_has_rows(short: Path) -> None:
    table = rows(short / "layers.csv")
    assert [int(row["batch"]) for row in table[::3]] == [0, 5, 10, 15, 20]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_the_table_is_repeated_to_the_bit(backend: str, tmp_path: Path) -> None:
    path = run(tmp_path / "run", epochs=2, backend=backend, device="cpu")
    for from_start in (False, True):
        stretch = find_stretch(path, from_start=from_start)
        with choose_backend(stretch.config) as side:
            found = verify(stretch, side)
        assert found.ok
        assert found.lines["layers.csv"] == (15 if not from_start else 30, None)


def test_a_changed_table_is_noticed(tmp_path: Path) -> None:
    path = run(tmp_path / "run")
    table = (path / "layers.csv").read_bytes()
    (path / "layers.csv").write_bytes(table.replace(b"0.", b"1.", 1))
    with pytest.raises(RunError, match=r"layers.csv was changed or damaged"):
        find_stretch(path)


def test_a_resumed_run_has_the_same_table(tmp_path: Path) -> None:
    straight = run(tmp_path / "straight", epochs=2)
    path = run(tmp_path / "run")
    resume(plan_resumption(path, {"epochs": 2}))
    assert (path / "layers.csv").read_bytes() == (straight / "layers.csv").read_bytes()


def test_watching_changes_no_bit(short: Path, tmp_path: Path) -> None:
    other = run(tmp_path / "run", layers_every=0)
    for name in ("steps.csv", "model.safetensors"):
        assert (other / name).read_bytes() == (short / name).read_bytes()
    assert rows(other / "layers.csv") == []


def make_old(path: Path) -> Path:
    """Turn a run into one from before there was the table."""
    from minitrain.runs.checkpoints import checkpoints
    from minitrain.runs.config_file import config_json
    from minitrain.serialization import save

    content = minitrain_json(path / "config.json")
    for key in ("layers_every", "checksum", "format"):
        del content[key]
    (path / "config.json").write_bytes(config_json(content))
    for checkpoint in checkpoints(path):
        state = minitrain.load(checkpoint)
        del state["config"]["layers_every"], state["lines"]["layers.csv"]
        save(state, checkpoint)
    (path / "layers.csv").unlink()
    return path


def minitrain_json(path: Path) -> dict[str, Any]:
    import json

    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_an_old_run_is_reported_verified_and_resumed_without_the_table(tmp_path: Path) -> None:
    path = make_old(run(tmp_path / "run"))
    page = report_page([read_run(path)])
    assert "This run has no table of its layers" in page
    assert "What is taken for what" in page
    stretch = find_stretch(path)
    with choose_backend(stretch.config) as backend:
        found = verify(stretch, backend)
    assert found.ok
    assert "layers.csv" not in found.lines
    resume(plan_resumption(path, {"epochs": 2}))
    assert (path / "model.safetensors").exists()
    resume(plan_resumption(path, {"epochs": 3, "layers_every": 5}))
    assert {row["epoch"] for row in rows(path / "layers.csv")} == {"3"}


def test_a_compiled_model_has_the_norms_of_its_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ReLUs have no rows: a hook that is registered after compiling would never be called."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: None)
    monkeypatch.setattr("minitrain.with_torch.backend.find_compiler", lambda: "g++")
    tables = []
    for compile in (False, True):
        path = run(tmp_path / str(compile), backend="torch", device="cpu", compile=compile)
        tables.append(rows(path / "layers.csv"))
    assert tables[1] == [row for row in tables[0] if row["zeros"] == ""]
    page = report_page([read_run(path)])
    assert "‖dL/dW‖" in page
    assert "Zeros after ReLU cannot be recorded" in page


def test_a_run_without_rows_is_verified_where_they_could_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that a GPU has captured, repeated without a GPU."""
    with monkeypatch.context() as patch:
        patch.setattr("minitrain.runs.backend.Backend.watched", lambda self, model: None)
        path = run(tmp_path / "run")
    stretch = find_stretch(path)
    with choose_backend(stretch.config) as backend:
        assert verify(stretch, backend).ok
    assert "layers.csv is missing or empty" in report_page([read_run(path)])


# --- the page ---


def test_the_results_are_those_of_evaluate(short: Path) -> None:
    record, expected = read_run(short), evaluate(short)
    assert record.tested is not None
    assert (record.tested.evaluation.confusion == expected.confusion).all()
    assert (record.tested.evaluation.accuracy, record.tested.evaluation.loss) == (expected.accuracy, expected.loss)
    text = " ".join(_Parsed(report_page([record])).text)
    assert f"{100 * expected.accuracy:.1f}%" in text
    assert f"{expected.loss:.4f}" in text
    wrong = expected.confusion.sum() - expected.confusion.trace()
    assert f"{wrong} of {expected.confusion.sum()}" in text


def test_the_confusion_matrix_on_the_page_is_the_counts(short: Path) -> None:
    page = report_page([read_run(short)])
    table = re.search(r'<table class="confusion">.*?</table>', page, re.S)
    assert table is not None
    shown = [
        [int(re.sub("<.*?>", "", cell) or 0) for cell in re.findall(r"<td.*?</td>", row)]
        for row in re.findall(r"<tr>(<th scope=\"row\">.*?)</tr>", table[0])
    ]
    assert shown == evaluate(short).confusion.tolist()


def test_the_first_layer_has_a_picture_of_what_training_changed(short: Path) -> None:
    record = read_run(short)
    change = record.now - record.first
    drawn = picture.tiles(change, (8, 8), 8, float(np.abs(change).max()))
    page = report_page([record])
    for scheme in ("light", "dark"):
        assert picture.as_address(drawn[scheme]) in page
    untrained = report_page([dataclasses.replace(record, now=record.first)])
    assert "‖change‖ = 0<" in untrained


def test_mistakes_and_successes_are_in_their_order(short: Path) -> None:
    tested = read_run(short).tested
    assert tested is not None
    p, y = tested.probabilities, tested.labels
    assert np.allclose(p.sum(axis=1), 1)
    wrong, unsure = tested.wrong, tested.unsure
    assert {*wrong} == {*np.flatnonzero(p.argmax(1) != y)}
    assert len(wrong) + len(unsure) == len(y)
    assert (np.diff(p[wrong].max(axis=1)) <= 0).all()
    assert (np.diff(p[unsure, y[unsure]]) >= 0).all()


def test_silent_neurons_are_0_for_every_test_image(short: Path) -> None:
    record = read_run(short)
    weights = minitrain.load(short / "model.safetensors")
    assert record.tested is not None
    X = record.tested.images.reshape(-1, 64).astype(np.float32) / 255
    h = X @ weights["linear_relu_stack.0.weight"].array.T + weights["linear_relu_stack.0.bias"].array
    (silent,) = record.tested.silent.values()
    assert (silent == (h <= 0).all(axis=0)).all()


def test_the_first_layer_begins_as_the_run_began(short: Path) -> None:
    minitrain.manual_seed(0)
    record, expected = read_run(short), nn.Linear(64, 8)
    assert (record.first == expected.weight.array).all()
    assert (record.now == minitrain.load(short / "model.safetensors")["linear_relu_stack.0.weight"].array).all()


def test_reading_a_run_draws_no_random_number(short: Path) -> None:
    minitrain.manual_seed(3)
    expected = minitrain.rand(1).item()
    minitrain.manual_seed(3)
    read_run(short)
    assert minitrain.rand(1).item() == expected


def test_the_tables_on_the_page_are_the_files(short: Path) -> None:
    record = read_run(short)
    assert record.losses.tolist() == [float(row["loss"]) for row in rows(short / "steps.csv")]
    assert record.at[-1] == 1
    first = record.layers[0]
    table = [row for row in rows(short / "layers.csv") if row["layer"] == first.name]
    ratio = [float(row["change_norm"]) / float(row["weight_norm"]) for row in table]
    assert first.relative_change.tolist() == ratio


def test_the_page_asks_for_nothing_and_runs_nothing(short: Path) -> None:
    page = report_page([read_run(short)])
    tags = _Parsed(page).tags
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in tags}
    addresses = [value for _, attributes in tags for name, value in attributes.items() if name in ("src", "srcset")]
    assert addresses
    assert all(str(address).startswith("data:image/png;base64,") for address in addresses)
    policy = [a["content"] for tag, a in tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert len(page) < 500_000
    for svg in re.findall(r"<svg.*?</svg>", page, re.S):
        ET.fromstring(svg)


def test_text_of_the_user_stays_text(short: Path, tmp_path: Path) -> None:
    evil = "<script>\"&'</script>"
    record = read_run(short)
    sessions = [{**record.sessions[0], "environment": {evil: evil}, "changes": {evil: [evil, evil]}}]
    changed = dataclasses.replace(record, classes=[evil] * 10, path=tmp_path / evil, sessions=sessions, why_not=evil)
    for pages in ([changed], [changed, record], [dataclasses.replace(changed, tested=None)]):
        parsed = _Parsed(report_page(pages))
        assert "script" not in {tag for tag, _ in parsed.tags}
        assert any(evil in text for text in parsed.text)


def test_it_ends_by_saying_how_to_look_at_one_step(short: Path) -> None:
    record = read_run(short)
    worst = int(record.losses.argmax())
    text = " ".join(_Parsed(report_page([record])).text)
    assert f"minitrain step {short} --epoch 1 --batch {worst}" in text


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.03, "hidden": (4, 3), "seed": 5},
        {"optimizer": "adamw", "weight_decay": 0.0, "shuffle": False},
        {"scheduler": "exponential", "gamma": 0.1},
        {"scheduler": "step", "step_size": 3, "momentum": 0.5, "on_nan": "continue"},
        {"dataset": "fashion-mnist", "backend": "torch", "compile": True},
        {"hidden": ()},
    ],
)
def test_the_command_that_trains_it_again_does(options: dict[str, Any]) -> None:
    from minitrain.cli.options import configuration, given_settings

    config = Config(**{**SHORT, **options})
    arguments = cli._parser().parse_args(train_command(config).split()[1:])
    assert configuration(given_settings(arguments)) == config


# --- runs of all kinds ---


def test_two_runs_are_overlaid_by_what_differs(short: Path, tmp_path: Path) -> None:
    runs = [read_run(short), read_run(run(tmp_path / "other", lr=0.01, layers_every=10))]
    assert labels_of(runs) == ["lr 0.1", "lr 0.01"]
    page = report_page(runs)
    svg = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(svg) == 2 + 3 * 2 + 1  # loss and accuracy; three quantities of two weights; one ReLU
    for picture_ in svg:
        assert re.findall(r'class="end".*?>(.*?)</text>', picture_) == ["lr 0.1", "lr 0.01"]
    headings = re.findall(r"<h[23]>(?:How|What)(?: \w+)+</h[23]>|<h3>[Wh].*?</h3>", page)
    layers = [f'<h3>W{n} <span class="note">linear_relu_stack.{k}</span></h3>' for n, k in zip("₁₂", "02", strict=True)]
    assert headings[1:3] == layers  # each quantity once, with its layers below
    assert headings[4:6] == layers


def test_the_same_configuration_twice_is_labelled_by_name(short: Path, tmp_path: Path) -> None:
    runs = [read_run(short), read_run(run(tmp_path / "again", layers_every=0))]
    assert labels_of(runs) == ["short", "again"]
    assert "Without a table of the layers, and so not drawn here: again" in report_page(runs)


def test_runs_of_different_models_are_overlaid(short: Path, tmp_path: Path) -> None:
    deeper = read_run(run(tmp_path / "deeper", hidden=(6, 5)))
    flat = read_run(run(tmp_path / "flat", hidden=()))
    assert labels_of([read_run(short), deeper, flat]) == ["hidden 8", "hidden 6-5", "hidden "]
    assert "W₃" in report_page([read_run(short), deeper, flat])
    assert "What ReLU sets to 0" not in report_page([flat])


def test_a_run_that_is_still_training(short: Path, tmp_path: Path) -> None:
    """As another process sees it in the middle of a write: half a line, no model, one checkpoint."""
    import shutil

    path = tmp_path / "training"
    shutil.copytree(short, path)
    (path / "model.safetensors").unlink()
    (path / "epochs.csv").write_text("epoch,accuracy,loss,seconds\n")
    for name in ("steps.csv", "layers.csv"):
        content = (path / name).read_text()
        (path / name).write_text(content[: 3 * len(content) // 4].rpartition(",")[0])
    record = read_run(path)
    assert not record.complete
    assert 0 < len(record.losses) < 24
    page = report_page([record])
    assert "Not complete: 0 of 1 epochs" in page
    assert "No epoch has ended yet" in page


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("steps.csv", "1e300,0,64,2", "'1e300' for epoch"),
        ("steps.csv", "nan,nan,nan,nan", "'nan' for epoch"),
        ("steps.csv", "1,-5,64,2", "'-5' for batch"),
        ("steps.csv", f"{10**400},0,64,2", f"'{10**79}' for epoch"),
        ("epochs.csv", "inf,0.5,1,1", "'inf' for epoch"),
        ("layers.csv", "1,0.5,linear_relu_stack.0,1,1,1,", "'0.5' for batch"),
        ("layers.csv", '1,0,"linear', "3 columns, not 7"),
    ],
)
def test_a_row_at_no_place_is_refused(name: str, row: str, message: str, short: Path, tmp_path: Path) -> None:
    import shutil

    path = tmp_path / "run"
    shutil.copytree(short, path)
    with (path / name).open("a") as file:
        file.write(f"{row}\n")
    with pytest.raises(RunError, match=rf"cannot read .*{name}: line \d+ has {message}"):
        read_run(path)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("epochs.csv", "2,inf,1e308,1"),
        ("epochs.csv", "2,-3,-1e308,1e308"),
        ("layers.csv", "1,23,linear_relu_stack.0,inf,inf,inf,"),
        ("layers.csv", "1,23,linear_relu_stack.0,nan,0,-1,"),
        ("layers.csv", f"1,23,{'a' * 200_000},1,1,1,"),
        ("layers.csv", "1,23,,,,,"),
    ],
)
def test_numbers_out_of_all_range_are_left_out(name: str, row: str, short: Path, tmp_path: Path) -> None:
    import shutil

    path = tmp_path / "run"
    shutil.copytree(short, path)
    with (path / name).open("a") as file:
        file.write(f"{row}\n")
    page = report_page([read_run(path)])
    assert "What is taken for what" in page
    assert not re.search(r'points="[^"]*(nan|inf)', page)


def test_losses_that_cannot_be_drawn_are_counted(short: Path) -> None:
    record = read_run(short)
    steps = record.steps.copy()
    steps[3:6, 3] = [np.nan, np.inf, 0]
    assert "3 of them are 0, nan or infinite" in report_page([dataclasses.replace(record, steps=steps)])
    steps[:, 3] = np.nan
    now = np.full_like(record.now, np.nan)
    page = report_page([dataclasses.replace(record, steps=steps, epochs=record.epochs * np.nan, now=now)])
    assert "There are no finite values to draw" in page


# --- the command ---


def command(*arguments: object) -> int:
    return cli.main([*map(str, arguments)])


def test_the_command_writes_the_page(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {file: file.read_bytes() for file in short.rglob("*") if file.is_file()}
    assert command("report", short) == 0
    assert command("report", short, "-o", "page.html") == 0
    assert capsys.readouterr().out == "The report is in report.html\nThe report is in page.html\n"
    assert (tmp_path / "page.html").read_bytes() == (tmp_path / "report.html").read_bytes()
    assert before == {file: file.read_bytes() for file in short.rglob("*") if file.is_file()}


@pytest.mark.parametrize("figure", ["loss", "accuracy", "gradients", "weights", "updates", "zeros"])
def test_single_pictures(figure: str, short: Path, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    assert command("report", short, short, "--plot", path, "--figure", figure) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("figure", ["confusion", "first-layer"])
def test_single_pictures_of_one_run(
    figure: str, short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "picture.png"
    assert command("report", short, "--plot", path, "--figure", figure) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert command("report", short, short, "--plot", path, "--figure", figure) == 2
    assert "shows one run, but 2 are given" in capsys.readouterr().err


def test_bad_input_is_refused(short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    empty, bare, damaged = tmp_path / "empty", tmp_path / "bare", tmp_path / "damaged"
    empty.mkdir()
    bare.mkdir()
    shutil.copy(short / "config.json", bare)
    shutil.copytree(short, damaged)
    (damaged / "steps.csv").write_text("epoch,batch,samples,loss\n1,0\n")
    cases = [
        ([tmp_path / "none"], 2, "there is no run in"),
        ([empty], 2, "it has no config.json"),
        ([bare], 1, "has no model.safetensors and no checkpoint"),
        ([damaged], 1, "steps.csv: line 2 has 2 columns, not 4"),
        ([short, "-o", tmp_path / "no" / "page.html"], 2, "create it first"),
        ([short, "-o", short / "steps.csv"], 2, "belongs to the run"),
        ([short, "--figure", "loss"], 2, "add that"),
        ([short, "--plot", tmp_path / "a.png", "--open"], 2, "leave out -o and --open"),
    ]
    for arguments, status, message in cases:
        assert command("report", *arguments) == status, arguments
        assert message in capsys.readouterr().err


def test_runs_of_different_data_are_refused(short: Path) -> None:
    from minitrain.study.run_record import check_comparable

    record = read_run(short)
    other = dataclasses.replace(record, config=Config())
    with pytest.raises(ConfigError, match=r"was trained on digits, but .* on fashion-mnist"):
        check_comparable([record, other])


def test_ctrl_c_ends_it_in_one_line(
    short: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("minitrain.study.run_record.read_run", interrupted)
    assert command("report", short) == 130
    assert capsys.readouterr().err == "minitrain: interrupted\n"


# --- charts and pictures ---


def test_labels_never_overlap_and_stay_inside() -> None:
    for wanted in ([5.0, 5.0, 5.0], [100.0, 99.0, 1.0], [0.0, 50.0, 51.0, 100.0]):
        places = spread(wanted, 0, 100)
        assert min(np.diff(sorted(places))) > 14
        assert min(places) >= 0
        assert max(places) <= 100
        assert np.argsort(places, kind="stable").tolist() == np.argsort(wanted, kind="stable").tolist()


def test_a_median_of_neighbours_is_numpys() -> None:
    y = np.random.default_rng(0).random(90)
    smooth = running_median(y)
    assert smooth[40] == np.median(y[38:43])
    assert smooth[0] == np.median(y[:3])


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.9), (1e-7, 3e5), (2.0, 2.1), (0.001, 0.001)])
def test_axes_cover_their_values(low: float, high: float) -> None:
    for axis in (linear_axis(low, high, str), log_axis(low, high)):
        assert axis.low <= low * (1 + 1e-9)
        assert axis.high >= high * (1 - 1e-9)
        assert 2 <= len(axis.ticks) <= 12


@pytest.mark.parametrize("middle", [3.2755, -0.2, 5e-5, 1e-9, 2e6])
def test_what_hardly_changes_looks_so(middle: float) -> None:
    """Its axis covers 2% of its size, and its ticks have different texts."""
    axis = linear_axis(middle, middle * (1 + 1e-6), power)
    assert axis.high - axis.low >= 0.02 * abs(middle)
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


def test_the_text_of_ticks() -> None:
    shown = {
        0.0: "0",
        0.00015: "0.00015",
        1e-5: "10⁻⁵",
        5e-5: "5·10⁻⁵",
        2.5e-7: "2.5·10⁻⁷",
        1e4: "10⁴",
        -0.5: "\u22120.5",
    }
    assert {value: power(value) for value in shown} == shown


@pytest.mark.parametrize("least", [1e-3, 1e-6])
def test_the_text_at_a_guide_is_never_on_the_axis(least: float) -> None:
    lines = [Line("W", np.arange(3.0), np.geomspace(least, 0.1, 3))]
    svg = chart(lines, "updates", width=294, height=216, last=3, log=True, guide=(1e-3, "a thousandth"))
    place = re.search(r'class="tick halo" x="\d+" y="([0-9.]+)">a thousandth', svg)
    assert place is not None
    assert float(place[1]) < 216 - 24  # where the axis is


def test_a_long_run_is_drawn_small() -> None:
    y = 1 + np.random.default_rng(0).random(300_000)
    svg = chart([Line("long", np.arange(len(y)) / 1e4, y, smooth=True)], "long", width=752, height=262, last=30)
    assert len(svg) < 60_000


def test_a_png_has_the_pixels(tmp_path: Path) -> None:
    Image = pytest.importorskip("PIL.Image")
    weights = np.array([[-2.0, -1, 0, 1, 2, 0.5]])
    drawn = picture.tiles(weights, (2, 3), 1, 2.0)
    for scheme, ends in (("light", ("#84360a", "#f0eeea", "#0b3f82")), ("dark", ("#ffe3c2", "#24272d", "#d3eaff"))):
        (tmp_path / "a.png").write_bytes(drawn[scheme])
        pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
        found = [picture.text(tuple(map(int, pixels[place]))) for place in ((0, 0), (0, 2), (1, 1))]
        assert found == [*ends]
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    (tmp_path / "b.png").write_bytes(picture.ink(image))
    assert (np.asarray(Image.open(tmp_path / "b.png"))[..., 1] == image).all()
    length, kind = struct.unpack(">I4s", picture.ink(image)[8:16])
    assert (length, kind) == (13, b"IHDR")
    assert zlib.crc32(picture.ink(image)[12:29]) == struct.unpack(">I", picture.ink(image)[29:33])[0]


def test_text_can_be_read_on_every_colour_of_a_cell() -> None:
    def luminance(colour: str) -> float:
        return float(np.dot(picture._to_linear(picture.parsed(colour)), (0.2126, 0.7152, 0.0722)))

    for scheme in picture.SCALES:
        for colour in picture.palette(scheme)[:-1]:
            low, high = sorted([luminance(picture.text(colour)), luminance(picture.text_on(colour))])
            assert (high + 0.05) / (low + 0.05) >= 4.5


def test_layers_without_gradients_have_no_row() -> None:
    """A frozen layer keeps its name out of the table, and the other layers stay in it."""
    from minitrain.runs.layer_table import LayerTable

    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    model[0].weight.requires_grad_(False)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    table = LayerTable(model, optimizer, 1, lambda tensor: tensor.array)
    model(minitrain.rand(5, 3)).sum().backward()
    optimizer.step()
    assert [row.split(",")[2] for row in table.rows(1, 0)] == ["1", "2"]


def test_watching_makes_few_calls() -> None:
    """A deterministic measure of the table's cost: the calls of Python and C functions in the default rhythm."""
    import sys

    from minitrain.runs.layer_table import LayerTable

    def calls(every: int) -> int:
        count = 0

        def counting(frame: Any, event: str, argument: Any) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        minitrain.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
        optimizer, loss_fn = optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()
        X, y = minitrain.rand(4, 8), minitrain.tensor([0, 1, 2, 0])
        table = LayerTable(model, optimizer, every, lambda tensor: tensor.array)
        sys.setprofile(counting)
        for batch in range(60):
            loss_fn(model(X), y).backward()
            optimizer.step()
            optimizer.zero_grad()
            if every:
                table.rows(1, batch)
        sys.setprofile(None)
        return count

    assert calls(Config().layers_every) < 1.014 * calls(0)
