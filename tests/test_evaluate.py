"""evaluate, predict and export agree with the run's own numbers, and reject a damaged run in one line."""

import csv
import dataclasses
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

import minitrain
from minitrain import nn
from minitrain.cli import main
from minitrain.data import DataLoader, ToTensor
from minitrain.data.datasets import Digits, FashionMNIST
from minitrain.loops import Observer
from minitrain.runs.config import DIGITS, Config
from minitrain.runs.directory import RunDirectory
from minitrain.runs.evaluate import Evaluation, evaluate
from minitrain.runs.export import export
from minitrain.runs.model import build_model
from minitrain.runs.pictures import PictureError
from minitrain.runs.predict import Prediction, predict, probabilities
from minitrain.runs.run import train
from minitrain.runs.run_files import RunError
from minitrain.runs.trained import load_trained

SHORT: dict[str, Any] = {"dataset": "digits", "epochs": 2, "batch_size": 64, "hidden": (8,), "lr": 0.1}


class Quiet(Observer):
    """Prints nothing."""

    def line(self, text: str) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of digits, complete."""
    directory = train(DIGITS, tmp_path_factory.mktemp("trained") / "run")
    assert directory is not None
    return directory


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """All test images of digits, as files."""
    names = []
    for i, pixels in enumerate(Digits(train=False).data.array):
        names.append(str(tmp_path / f"{i:03d}.png"))
        Image.fromarray(pixels).save(names[-1])
    return names


def a_run(path: Path, weights: Any = None, **options: Any) -> Path:
    """The directory of a run that was never trained: SHORT with these options, and these weights or small ones."""
    config = Config(**{**SHORT, **options})
    path.mkdir()
    with RunDirectory(path) as directory:
        directory.describe(config, {}, {"updates": 0})
        directory.save_weights(small_weights() if weights is None else weights)
    return path


def small_weights() -> dict[str, Any]:
    """Those that fit the configuration SHORT."""
    minitrain.manual_seed(0)
    weights: dict[str, Any] = build_model(nn, 64, SHORT["hidden"], 10).state_dict()
    return weights


def an_evaluation(confusion: Any, classes: list[str], loss: float = 1.0) -> Evaluation:
    confusion = np.array(confusion)
    return Evaluation(classes, float(confusion.trace() / max(1, confusion.sum())), loss, confusion)


# --- evaluate ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [16, 64, 100, 1000])
def test_accuracy_and_loss_are_the_last_of_the_runs_log_to_the_last_digit(
    batch_size: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = train(Config(**{**SHORT, "batch_size": batch_size}), tmp_path / "run")
    assert directory is not None
    log = capsys.readouterr().out
    evaluation = evaluate(directory)
    printed = capsys.readouterr().out
    assert log.endswith(f"{printed}Done!\n")
    with (directory / "epochs.csv").open(newline="", encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]
    assert (evaluation.accuracy, evaluation.loss) == (float(last["accuracy"]), float(last["loss"]))


def test_every_figure_is_what_counting_by_hand_gives(trained: Path) -> None:
    evaluation = evaluate(trained, observer=Quiet())
    data: Any = Digits(train=False, transform=ToTensor())
    model = load_trained(trained).model
    with minitrain.no_grad():
        pairs = [(int(y), int(model(X.unsqueeze(0)).argmax(1))) for X, y in data]
    counted = Counter(pairs)
    assert evaluation.confusion.tolist() == [[counted[i, j] for j in range(10)] for i in range(10)]
    assert evaluation.accuracy == sum(i == j for i, j in pairs) / len(pairs)
    for c in range(10):
        among_taken = [i == c for i, j in pairs if j == c]
        among_real = [j == c for i, j in pairs if i == c]
        assert evaluation.precision[c] == sum(among_taken) / len(among_taken)
        assert evaluation.recall[c] == sum(among_real) / len(among_real)
        assert evaluation.count[c] == len(among_real)


def test_a_class_that_is_never_predicted_or_never_there_has_a_dash(tmp_path: Path) -> None:
    evaluation = an_evaluation([[3, 0, 0], [1, 0, 0], [0, 0, 0]], ["a", "b", "c"])
    assert evaluation.precision == [0.75, None, None]
    assert evaluation.recall == [1.0, 0.0, None]
    assert str(evaluation).splitlines()[1:4] == [
        "a          75.0%  100.0%      3",
        "b              -    0.0%      1",
        "c              -       -      0",
    ]


def test_the_confusion_matrix_has_a_row_for_what_it_is_and_a_column_for_what_it_is_taken_for() -> None:
    evaluation = an_evaluation([[5, 2], [0, 7]], ["Ankle boot", "Bag"])
    assert str(evaluation).splitlines()[-3:] == [
        "           Ankle   Bag",
        "Ankle boot     5     2",
        "Bag            .     7",
    ]


@pytest.mark.parametrize("data", [FashionMNIST, Digits])
def test_the_tables_fit_into_a_terminal_and_name_every_class(data: Any) -> None:
    text = str(an_evaluation(np.full((10, 10), 10_000), data.classes))
    assert max(map(len, text.splitlines())) <= 80
    headings = text.splitlines()[-11].split()
    assert len(set(headings)) == 10
    assert all(text.count(f"\n{name} ") == 2 for name in data.classes)


@pytest.mark.parametrize("samples", [1, 2, 297])
@pytest.mark.parametrize("batch_size", [1, 296, 2**63 - 1])
def test_any_number_of_images_in_batches_of_any_size_is_counted_once_each(
    samples: int, batch_size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Digits, "__len__", lambda self: samples)
    evaluation = evaluate(a_run(tmp_path / "run", batch_size=batch_size), observer=Quiet())
    assert evaluation.confusion.sum() == samples
    assert evaluation.accuracy == evaluation.confusion.trace() / samples


@pytest.mark.skipif("MINITRAIN_DATA" not in os.environ, reason="needs the genuine Fashion-MNIST in MINITRAIN_DATA")
def test_fashion_mnist_is_evaluated_where_data_dir_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = build_model(nn, 784, (8,), 10).state_dict()
    run = a_run(tmp_path / "run", weights, dataset="fashion-mnist", data_dir=str(tmp_path / "gone"))
    data_dir = os.environ["MINITRAIN_DATA"]
    monkeypatch.delenv("MINITRAIN_DATA")
    assert evaluate(run, data_dir, Quiet()).confusion.sum(axis=1).tolist() == [1000] * 10
    assert main(["evaluate", str(run)]) == 1
    assert not (tmp_path / "gone").exists()  # what a run names is not written to


def test_json_has_all_the_figures(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(trained), "--json", str(tmp_path / "figures.json")]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    evaluation = evaluate(trained, observer=Quiet())
    assert figures["run"] == str(trained)
    assert (figures["accuracy"], figures["loss"]) == (evaluation.accuracy, evaluation.loss)
    assert figures["confusion"] == evaluation.confusion.tolist()
    assert figures["classes"][3] == {
        "name": "3",
        "precision": evaluation.precision[3],
        "recall": evaluation.recall[3],
        "count": evaluation.count[3],
    }
    assert capsys.readouterr().out.endswith(f"{evaluation}\n")


def test_a_model_that_has_diverged_is_evaluated_and_predicts_nothing(
    tmp_path: Path, pictures: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    weights = {name: tensor * float("nan") for name, tensor in small_weights().items()}
    run = str(a_run(tmp_path / "run", weights))
    assert main(["evaluate", run, "--json", str(tmp_path / "figures.json")]) == 0
    assert "Avg loss:      nan" in capsys.readouterr().out

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    assert json.loads((tmp_path / "figures.json").read_text(), parse_constant=refuse)["loss"] is None
    assert main(["predict", run, pictures[0]]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        f"minitrain: warning: {run}/model.safetensors: 610 weights are nan or infinite\n"
        f"minitrain: error: {pictures[0]}: the model's answer is nan: its training has diverged\n"
    )


def test_the_random_stream_is_not_touched(trained: Path) -> None:
    minitrain.manual_seed(1)
    expected = minitrain.rand(3).tolist()
    minitrain.manual_seed(1)
    evaluate(trained, observer=Quiet())
    assert minitrain.rand(3).tolist() == expected


def test_a_run_of_torchs_is_evaluated_without_torch(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", backend="torch", device="cuda", precision="bf16")
    Image.new("L", (8, 8)).save(tmp_path / "p.png")
    program = (
        "import sys; sys.modules['torch'] = None\nfrom minitrain.cli import main\n"
        f"assert main(['evaluate', {str(run)!r}]) == main(['predict', {str(run)!r}, {str(tmp_path / 'p.png')!r}]) == 0"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


# --- predict ----------------------------------------------------------------------------------------------------------


def test_predictions_of_the_test_images_are_what_evaluate_counts(trained: Path, pictures: list[str]) -> None:
    confusion = np.zeros((10, 10), int)
    labels = Digits(train=False).targets.array
    for label, prediction in zip(labels, predict(trained, pictures), strict=True):
        assert isinstance(prediction, Prediction)
        confusion[label, int(prediction.ranking[0][0])] += 1
    assert (confusion == evaluate(trained, observer=Quiet()).confusion).all()


def test_probabilities_are_the_models_on_the_very_array(trained: Path, pictures: list[str]) -> None:
    data: Any = Digits(train=False, transform=ToTensor())
    X, _ = next(iter(DataLoader(data, batch_size=len(data))))
    model = load_trained(trained).model
    with minitrain.no_grad():
        expected = model(X).softmax(1).array
        alone = model(X[:1]).softmax(1).array[0]
    found = list(predict(trained, pictures))
    for prediction, row in zip(found, expected, strict=True):
        assert isinstance(prediction, Prediction)
        ranking = [likely for _, likely in prediction.ranking]
        assert ranking == sorted(ranking, reverse=True)
        by_class = [dict(prediction.ranking)[name] for name in Digits.classes]
        np.testing.assert_allclose(by_class, row, rtol=1e-4, atol=1e-7)  # one image at a time: other sums in BLAS
    assert (probabilities(load_trained(trained), Digits(train=False).data.array[0]) == alone).all()


def test_a_line_for_each_picture_has_the_best_class_and_the_runners_up(
    trained: Path, pictures: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(trained), *pictures[:3]]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for line, file, answer in zip(printed.out.splitlines(), pictures, predict(trained, pictures[:3]), strict=False):
        assert isinstance(answer, Prediction)
        shares = ", ".join(f"{name} ({100 * likely:.1f}%)" for name, likely in answer.ranking[:3])
        assert line == f"{file}  {shares}"


def test_of_equally_likely_classes_the_first_comes_first(tmp_path: Path, pictures: list[str]) -> None:
    weights = {name: tensor * 0 for name, tensor in small_weights().items()}
    (answer,) = predict(a_run(tmp_path / "run", weights), pictures[:1])
    assert isinstance(answer, Prediction)
    assert [name for name, _ in answer.ranking] == Digits.classes
    assert str(answer) == "0 (10.0%), 1 (10.0%), 2 (10.0%)"


def test_a_broken_file_does_not_stop_the_others(
    trained: Path, pictures: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(Path(pictures[0]).read_bytes()[:50])
    assert main(["predict", str(trained), pictures[0], str(broken), "nothing.png", pictures[1]]) == 1
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()] == pictures[:2]
    assert [line.split(": ")[:3] for line in printed.err.splitlines()] == [
        ["minitrain", "error", str(broken)],
        ["minitrain", "error", "nothing.png"],
    ]


def test_a_doubt_is_a_warning_on_stderr(
    trained: Path, pictures: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dark = tmp_path / "dark on white.png"
    Image.fromarray(255 - Digits(train=False).data.array[0]).save(dark)
    assert main(["predict", str(trained), str(dark)]) == 0
    warned = capsys.readouterr()
    assert warned.err.startswith(f"minitrain: warning: {dark}: its border is bright")
    assert warned.err.count("\n") == 1
    assert main(["predict", "--invert", str(trained), str(dark)]) == 0
    inverted = capsys.readouterr()
    assert inverted.err == ""
    assert main(["predict", str(trained), pictures[0]]) == 0
    assert inverted.out.split("  ")[1] == capsys.readouterr().out.split("  ")[1]


def test_a_name_with_a_line_break_stays_on_one_line(
    trained: Path, pictures: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "a\nb\x1b[31m.png"
    Path(pictures[0]).rename(odd)
    assert main(["predict", str(trained), str(odd), str(odd) + "\n"]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("\n") == printed.err.count("\n") == 1
    assert "\x1b" not in printed.out + printed.err


def similar(lines: list[str], shown: list[str]) -> bool:
    """Whether they are the same but for the last digits, which are the BLAS's."""
    numbers = re.compile(r"\d+\.\d+")
    ours, theirs = "\n".join(lines), "\n".join(shown)
    found, expected = ([float(number) for number in numbers.findall(text)] for text in (ours, theirs))
    return numbers.sub("#", ours) == numbers.sub("#", theirs) and found == pytest.approx(expected, abs=0.1001)


# --- a run that cannot be used ----------------------------------------------------------------------------------------


def no_run(path: Path) -> Path:
    path.mkdir()
    return path


def a_file(path: Path) -> Path:
    path.touch()
    return path


def with_config(path: Path, content: str) -> Path:
    (a_run(path) / "config.json").write_text(content)
    return path


def with_weights(path: Path, content: bytes) -> Path:
    (a_run(path) / "model.safetensors").write_bytes(content)
    return path


def without_weights(path: Path) -> Path:
    (a_run(path) / "model.safetensors").unlink()
    return path


def turned_weights(path: Path) -> Path:
    """As many numbers as the configuration calls for, but of other shapes."""
    weights = small_weights()
    return a_run(path, {name: tensor.reshape(*reversed(tensor.shape)) for name, tensor in weights.items()})


@pytest.mark.parametrize(
    ("make", "status", "message"),
    [
        (lambda path: path, 2, "there is no run in "),
        (no_run, 2, "there is no run in "),
        (a_file, 2, "it is a file; name the directory of a run"),
        (lambda path: with_config(path, "{"), 1, "config.json as a run's configuration"),
        (lambda path: with_config(path, "[]"), 1, "config.json as a run's configuration"),
        (lambda path: with_config(path, "[" * 10**5), 1, "config.json as a run's configuration"),
        (lambda path: with_weights(path, b""), 1, "to write it again from the last checkpoint"),
        (lambda path: with_weights(path, b"PK\x03\x04" + bytes(99)), 1, "as a file of torch.save: it is damaged"),
        (without_weights, 1, "has no model.safetensors and no checkpoint; "),
        (lambda path: a_run(path, hidden=(10**9,)), 1, "has 610 weights, but the run's configuration"),
        (lambda path: a_run(path, hidden=(10**9,) * 1000), 1, "needs over 10**18"),
        (lambda path: a_run(path, hidden=(2**63 - 1,) * 2), 1, "needs over 10**18"),
        (lambda path: a_run(path, hidden=()), 1, "has 610 weights, but"),
        (lambda path: a_run(path, hidden=(8, 8)), 1, "has 610 weights, but"),
        (lambda path: a_run(path, dataset="fashion-mnist"), 1, "(fashion-mnist, hidden [8]) needs 6,370"),
        (turned_weights, 1, "has 'linear_relu_stack.0.weight' of shape (64, 8), but the run's"),
        (lambda path: a_run(path, [1, 2]), 1, "does not hold a model's weights by name"),
        (lambda path: a_run(path, {"a": 1}), 1, "does not hold a model's weights by name"),
        (
            lambda path: a_run(path, {"a": minitrain.zeros(610)}),
            1,
            "has 'a' of shape (610,), but the run's configuration",
        ),
    ],
)
def test_a_run_that_cannot_be_used_is_refused_in_one_line(
    make: Any, status: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(make(tmp_path / "run"))
    Image.new("L", (8, 8)).save(tmp_path / "p.png")
    for command in (["evaluate", run], ["predict", run, str(tmp_path / "p.png")], ["export", run, str(tmp_path / "e")]):
        assert main(command) == status
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("minitrain: error: ")
        assert message in printed.err
        assert printed.err.count("\n") == 1
    assert not (tmp_path / "e").exists()


def edited(run: Path, **values: Any) -> Path:
    """A run whose config.json says something else, in a file that is whole."""
    with RunDirectory(run) as directory:
        directory.describe(Config(**SHORT), {}, {"updates": 0})
        directory.description |= values
        directory.write_description()
    return run


@pytest.mark.parametrize(
    "values",
    [
        {"dataset": "mnist"},
        {"dataset": ["digits"]},
        {"dataset": None},
        {"hidden": 8},
        {"hidden": [8.0]},
        {"hidden": [True]},
        {"hidden": [-8]},
        {"hidden": "8"},
        {"batch_size": "64"},
        {"batch_size": 0},
        {"data_dir": 3},
    ],
)
def test_a_configuration_of_wrong_types_or_values_is_refused(values: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(RunError, match=rf"configuration of .* {next(iter(values))}"):
        load_trained(edited(a_run(tmp_path / "run"), **values))


@pytest.mark.parametrize("session", [None, 1, {}, {"updates": "0"}, {"updates": 0, "changes": []}])
def test_sessions_of_wrong_types_are_refused(session: Any, tmp_path: Path) -> None:
    sessions = [] if session is None else [{"environment": {}, **session} if isinstance(session, dict) else session]
    with pytest.raises(RunError, match="session"):
        load_trained(edited(a_run(tmp_path / "run"), sessions=sessions))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
@example(place=0.0, bit=0, cut=True)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_to_a_file_goes_unnoticed(
    name: str, trained: Path, tmp_path: Path, place: float, bit: int, cut: bool
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir(exist_ok=True)
    for each in ("config.json", "model.safetensors"):
        (copy / each).write_bytes((trained / each).read_bytes())
    content = bytearray((trained / name).read_bytes())
    at = int(place * len(content))
    if cut:
        del content[at:]
    else:
        content[at] ^= 1 << bit
    (copy / name).write_bytes(content)
    try:
        found = load_trained(copy)
    except RunError:
        return
    whole = load_trained(trained)
    assert found.config == whole.config
    for ours, theirs in zip(found.model.parameters(), whole.model.parameters(), strict=True):
        assert ours.array.tobytes() == theirs.array.tobytes()


def test_a_run_that_is_not_complete_gives_the_weights_of_its_last_good_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = train(Config(**SHORT), tmp_path / "run")
    assert directory is not None
    log = capsys.readouterr().out
    whole = minitrain.load(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    older, newer = sorted((directory / "checkpoints").iterdir())

    evaluate(directory)
    printed = capsys.readouterr()
    assert log.endswith(f"{printed.out}Done!\n")
    assert printed.err == f"minitrain: the run is not complete; using the weights in {newer}\n"
    export(directory, tmp_path / "exported")
    for name, tensor in minitrain.load(tmp_path / "exported").items():
        assert tensor.tolist() == whole[name].tolist()
    capsys.readouterr()

    newer.write_bytes(newer.read_bytes()[:-9])
    evaluate(directory)
    printed = capsys.readouterr()
    assert printed.out == "\n".join(log.splitlines()[3:6]) + "\n" or printed.out in log
    assert [str(path) in printed.err for path in (older, newer)] == [True, True]

    older.write_bytes(b"")
    assert main(["evaluate", str(directory)]) == 1
    assert "no checkpoint in" in capsys.readouterr().err


# --- export, and weights from torch -----------------------------------------------------------------------------------


class NeuralNetwork(torch.nn.Module):
    """The tutorial's, with a hidden layer of digits' size."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = torch.nn.Flatten()
        self.linear_relu_stack = torch.nn.Sequential(
            torch.nn.Linear(8 * 8, 64),
            torch.nn.ReLU(),
            torch.nn.Linear(64, 10),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.linear_relu_stack(self.flatten(x))
        return logits


def test_what_is_exported_gives_the_same_logits_in_the_tutorials_torch_model(trained: Path, tmp_path: Path) -> None:
    file = str(tmp_path / "weights.safetensors")
    assert main(["export", str(trained), file]) == 0
    model = NeuralNetwork()
    model.load_state_dict(safetensors.torch.load_file(file), strict=True)
    X = Digits(train=False).data.array[:, None].astype(np.float32) / 255
    with torch.no_grad(), minitrain.no_grad():
        theirs = model(torch.from_numpy(X)).numpy()
        ours = load_trained(trained).model(minitrain.tensor(X)).array
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    assert (ours.argmax(1) == theirs.argmax(1)).all()
    for our, their in zip(load_trained(trained).model.parameters(), model.parameters(), strict=True):
        assert (our.array == their.detach().numpy()).all()


def test_the_exported_file_can_be_used_as_a_runs_weights_again(trained: Path, tmp_path: Path) -> None:
    export(trained, tmp_path / "weights")
    run = a_run(tmp_path / "run", minitrain.load(tmp_path / "weights"), hidden=(64,), batch_size=16)
    assert str(evaluate(run, observer=Quiet())) == str(evaluate(trained, observer=Quiet()))


def test_a_file_that_is_there_is_replaced_only_by_force(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "weights"
    file.write_text("mine")
    assert main(["export", str(trained), str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.err == (
        f"minitrain: error: {file} already exists; choose another name, or add --force to replace it\n"
    )
    assert file.read_text() == "mine"
    assert main(["export", str(trained), str(file), "--force"]) == 0
    assert file.read_bytes() == (trained / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("file", "message"), [("", "name a file"), (".", "name a file"), ("no/file", "create it first")]
)
def test_an_export_to_where_no_file_can_be_is_refused(
    file: str, message: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(trained), file]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_fails_leaves_the_old_file(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "weights"
    file.write_text("mine")
    monkeypatch.setattr(os, "fsync", full)
    assert main(["export", str(trained), str(file), "--force"]) != 0
    assert "No space left on device" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("weights", "mine")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("contiguous", [True, False])
def test_weights_saved_by_torch_load_here(dtype: torch.dtype, contiguous: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = NeuralNetwork().to(dtype)
    state = theirs.state_dict()
    if not contiguous:  # laid out by columns, as torch cannot write them; its own remedy is contiguous()
        with torch.no_grad():
            for layer in (theirs.linear_relu_stack[0], theirs.linear_relu_stack[2]):
                layer.weight = torch.nn.Parameter(layer.weight.t().contiguous().t())
        assert not theirs.state_dict()["linear_relu_stack.0.weight"].is_contiguous()
        state = {name: tensor.contiguous() for name, tensor in theirs.state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "weights")
    ours = build_model(nn, 64, (64,), 10)
    assert str(ours.load_state_dict(minitrain.load(tmp_path / "weights"))) == "<All keys matched successfully>"
    for our, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert our.dtype == minitrain.float32
        assert (our.array == their.detach().float().numpy()).all()


def test_weights_of_a_dtype_that_numpy_lacks_are_refused_with_the_remedy(tmp_path: Path) -> None:
    safetensors.torch.save_file(NeuralNetwork().to(torch.bfloat16).state_dict(), tmp_path / "weights")
    with pytest.raises(ValueError, match=r"dtype BF16, which is not offered; save it as float32"):
        minitrain.load(tmp_path / "weights")


def test_weights_in_half_precision_are_loaded_as_they_are(tmp_path: Path) -> None:
    theirs = NeuralNetwork().to(torch.float16).state_dict()
    safetensors.torch.save_file(theirs, tmp_path / "weights")
    for name, ours in minitrain.load(tmp_path / "weights").items():
        assert ours.dtype == minitrain.float16
        assert (ours.array == theirs[name].numpy()).all()


def test_weights_that_torch_saved_into_a_run_are_evaluated(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", hidden=(64,))
    safetensors.torch.save_file(NeuralNetwork().double().state_dict(), run / "model.safetensors")
    assert evaluate(run, observer=Quiet()).confusion.sum() == 297


def test_pictures_that_cannot_be_read_are_given_not_raised(trained: Path) -> None:
    (answer,) = predict(trained, ["nothing.png"])
    assert isinstance(answer, PictureError)
    assert dataclasses.is_dataclass(evaluate(trained, observer=Quiet()))
