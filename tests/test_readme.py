"""What README shows is what comes out."""

import contextlib
import io
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def indented(text: str) -> str:
    return "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines())


def program_with(word: str) -> str:
    """README's Python that holds this word."""
    return next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if word in block)


def minitrain(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "minitrain", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_print_tapes_picture_is_what_its_program_prints() -> None:
    program = program_with("print_tape")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(program, {})
    assert f"```\n\n{indented(out.getvalue())}" in README


@pytest.mark.skipif("MINITRAIN_DATA" not in os.environ, reason="needs the genuine Fashion-MNIST in MINITRAIN_DATA")
def test_the_table_of_files_is_what_the_command_prints(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(Path(os.environ["MINITRAIN_DATA"]).absolute())
    environment = {key: value for key, value in os.environ.items() if key != "MINITRAIN_DATA"}
    command = [sys.executable, "-m", "minitrain", "data"]
    printed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert f"    $ minitrain data\n{indented(printed)}" in README


def test_the_import_lines_are_those_that_the_tests_change() -> None:
    from benchmarks.programs import MINITRAIN_IMPORTS, TORCH_IMPORTS

    removed = "".join(f"-{line}\n" for line in TORCH_IMPORTS.splitlines())
    added = "".join(f"+{line}\n" for line in MINITRAIN_IMPORTS.splitlines())
    assert f"```diff\n{removed}{added}```" in README


def test_the_programs_with_torch_run() -> None:
    import torch

    import minitrain as mt
    from minitrain.with_torch.convert_state import to_torch

    mt.manual_seed(0)
    batches = [(mt.rand(16, 784, dtype=mt.float64), mt.randint(0, 10, (16,))) for _ in range(3)]
    compared = {"batches": batches}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(program_with("accelerated.compare"), compared)
    assert "They agree" in out.getvalue()
    assert compared["result"].first is None  # type: ignore[attr-defined]

    mine, theirs = mt.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    names = {"model": mine, "torch_model": theirs}
    names["optimizer"] = mt.optim.Adam(mine.parameters(), lr=0.5)
    names["torch_optimizer"] = torch.optim.Adam(theirs.parameters())
    exec(program_with("load_optimizer_state"), names)
    assert torch.equal(theirs.weight, to_torch(mine.state_dict())["weight"])
    assert names["torch_optimizer"].param_groups[0]["lr"] == 0.5


def test_the_first_command_prints_the_lines_that_it_shows(tmp_path: Path) -> None:
    printed = minitrain("train", "--dataset", "digits", folder=tmp_path).stdout
    last = indented("\n".join(printed.splitlines()[-7:])).splitlines()
    shown = [*README[: README.index("    Done!\n")].splitlines()[-6:], "    Done!"]
    assert len(last) == len(shown)
    for line, expected in zip(last, shown, strict=True):
        numbers = [[float(number) for number in re.findall(r"\d+\.\d+", text)] for text in (line, expected)]
        assert numbers[0] == pytest.approx(numbers[1], abs=2e-5)
        assert re.sub(r"\d+\.\d+", "#", line).rstrip() == re.sub(r"\d+\.\d+", "#", expected).rstrip()


def test_what_compare_prints_is_what_it_shows(tmp_path: Path) -> None:
    from minitrain.with_torch.faults import FAULTS

    assert f"tells the {len(FAULTS)} there are" in README
    agreeing = minitrain("compare", "--dataset", "digits", folder=tmp_path)
    lines = agreeing.stdout.splitlines()
    assert agreeing.returncode == 0
    assert indented("\n".join(["$ minitrain compare --dataset digits", lines[0], "...", lines[-1]])) in README
    options = ["--dataset", "digits", "--inject", "relu-mask-inverted", "--stop"]
    parting = minitrain("compare", *options, folder=tmp_path)
    assert parting.returncode == 1
    verdict = parting.stdout[parting.stdout.index("They part first") :].splitlines()
    numbers = re.compile(r"\d\.\d+(e[-+]?\d+)?")  # whose last digits are the BLAS's
    assert numbers.sub("#", indented("\n".join(verdict))) in numbers.sub("#", README)


@pytest.mark.parametrize(("word", "error"), [("gradcheck(MyLinear", "GradcheckError"), ("entropy =", "AnomalyError")])
def test_what_goes_wrong_in_its_programs_is_reported_as_it_shows(word: str, error: str, tmp_path: Path) -> None:
    program = tmp_path / "entropy.py"
    program.write_text(program_with(word), encoding="utf-8")
    result = subprocess.run([sys.executable, program.name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    reported = result.stderr[result.stderr.rindex(f"{error}: ") :].replace(f"{tmp_path}/", "")
    errors = re.compile(r"largest error \S+")  # whose digits are the BLAS's
    assert errors.sub("#", indented(reported)) in errors.sub("#", README)


def test_an_operation_of_ones_own_runs() -> None:
    import minitrain as mt

    names: dict[str, object] = {"x": mt.tensor([2.0], requires_grad=True)}
    exec(program_with("class Cube"), names)
    names["y"].backward()  # type: ignore[attr-defined]
    assert names["x"].grad.tolist() == [12.0]  # type: ignore[attr-defined]


def test_the_state_that_it_saves_is_all_that_a_run_needs_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import minitrain as mt
    from minitrain import nn, optim
    from minitrain.data import DataLoader, TensorDataset

    monkeypatch.chdir(tmp_path)
    X, y = mt.randn(40, 3, generator=mt.Generator().manual_seed(0)), mt.arange(40) % 2

    def parts() -> dict[str, Any]:
        model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
        optimizer = optim.Adam(model.parameters())
        loader = DataLoader(TensorDataset(X, y), batch_size=4, shuffle=True)
        return {"torch": mt, "model": model, "optimizer": optimizer, "dataloader": loader}

    def steps(names: dict[str, Any], batches: Any) -> list[float]:
        losses = []
        for x, t in batches:
            loss = nn.functional.cross_entropy(names["model"](x), t)
            losses.append(loss.item())
            loss.backward()
            names["optimizer"].step()
            names["optimizer"].zero_grad()
        return losses

    saving, loading = re.split(r"\n\n(?=state = torch.load)", program_with("state.safetensors"))
    mt.manual_seed(0)
    straight = parts()
    batches = iter(straight["dataloader"])
    steps(straight, itertools.islice(batches, 3))
    exec(saving, straight)
    rest = steps(straight, batches)

    mt.manual_seed(1)
    resumed = parts()
    exec(loading, resumed)
    assert steps(resumed, resumed["dataloader"]) == rest
    assert len(rest) == 7


def test_the_numbers_of_the_exercises_and_of_the_zoo_are_right() -> None:
    from minitrain.learn.exercises import EXERCISES
    from minitrain.mistakes.catalogue import SPECIMENS

    assert README.count(f"{len(EXERCISES)} exercises") == 2
    assert f"examines {len(SPECIMENS)} planted mistakes" in README


def test_what_gradcheck_prints_is_what_it_shows(tmp_path: Path) -> None:
    printed = minitrain("gradcheck", "--dataset", "digits", folder=tmp_path).stdout
    errors = re.compile(r"\d\.\de-\d\d")  # whose digits are the BLAS's
    shown = indented(f"$ minitrain gradcheck --dataset digits\n{printed}")
    assert errors.sub("#", shown).replace("    \n", "\n") in errors.sub("#", README)
