"""What the READMEs show is what comes out."""

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
CHINESE = (ROOT / "minitrain" / "README.zh-CN.md").read_text(encoding="utf-8")
PAGES = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "minitrain").glob("**/README*.md"),
        *ROOT.glob("tests/*.md"),
        *ROOT.glob("bench*/*.md"),
    ]
)
ENGLISH = "\n".join(path.read_text(encoding="utf-8") for path in PAGES if path.name == "README.md")

LINES_TOGETHER, LINES_EACH = 2200, 330  # of the files in the reading table: an hour's reading


def indented(text: str) -> str:
    return "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines())


def program_with(word: str) -> str:
    """The Python block that contains this word."""
    return next(block for block in re.findall(r"```python\n(.*?)```", ENGLISH, re.DOTALL) if word in block)


def code_blocks(page: str) -> list[str]:
    """The blocks of code in order: fenced ones, but for the tree, which has no language, and indented ones."""
    blocks = re.findall(r"(?m)^```.*\n[\s\S]*?^```$|(?:^    .*\n(?:\n(?=    ))?)+", page)
    return [block.rstrip() for block in blocks if not block.startswith("```\n")]


def tree(page: str) -> list[str]:
    """The entries of the house's tree, folders without their slash."""
    (drawn,) = re.findall(r"(?m)^```\nminitrain/\n([\s\S]*?)^```$", page)
    return [line.split()[0].rstrip("/") for line in drawn.splitlines()]


def linked(page: str) -> list[str]:
    """The relative targets of a page's links."""
    return [target for target in re.findall(r"\]\(([^)]+)\)", page) if not target.startswith("https:")]


def minitrain(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "minitrain", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


NUMBER = re.compile(r"(?<![\w.])-?(\d+\.\d+(e[-+]?\d+)?|\d+e[-+]\d+)\b")  # whose last digits are the BLAS's


def pages_show(command: str, printed: str) -> None:
    """Require that a page shows this command, and every page that does shows what it prints.

    `...` stands for any number of lines. Numbers with a decimal point may differ.
    """
    shown = [block for block in code_blocks(ENGLISH) if block.startswith(f"    $ {command}\n")]
    assert shown, f"no page shows {command}"
    for block in shown:
        lines = [NUMBER.sub("#", line[4:]).rstrip() for line in block.splitlines()[1:]]
        pattern = "\n".join(re.escape(line) for line in lines)
        pattern = re.sub(r"(?m)^\\\.\\\.\\\.(\n|$)", r"(?:.*\n)*?", pattern)
        actual = "\n".join(NUMBER.sub("#", line).rstrip() for line in printed.splitlines()) + "\n"
        assert re.fullmatch(f"{pattern}\n?", actual), f"{command} prints\n{printed}\nbut a page shows\n{block}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with runs/digits-0, and what training it printed."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, minitrain("train", "--dataset", "digits", folder=folder).stdout


# --- the pages --------------------------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_the_tree_of_the_house_is_the_house() -> None:
    rooms = [path for path in (ROOT / "minitrain").iterdir() if path.is_dir() and path.name != "__pycache__"]
    files = [path for path in (ROOT / "minitrain").glob("*.py") if not path.name.startswith("__")]
    assert sorted(tree(README)) == sorted(path.name for path in (*rooms, *files))


def test_the_files_of_the_reading_table_can_be_read_in_an_hour() -> None:
    table = README[README.index("| file | what to read there |") : README.index("`print_tape` shows")]
    lines = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in linked(table)}
    assert len(lines) == len(linked(table)) == 18
    assert {name: count for name, count in lines.items() if count > LINES_EACH} == {}
    assert sum(lines.values()) <= LINES_TOGETHER


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_point_to_what_exists(path: Path) -> None:
    missing = [target for target in linked(path.read_text(encoding="utf-8")) if not (path.parent / target).exists()]
    assert missing == []


def test_the_chinese_readme_has_the_same_commands_outputs_tree_and_links() -> None:
    assert code_blocks(CHINESE) == code_blocks(README)
    assert tree(CHINESE) == tree(README)
    places = [(ROOT / target).resolve() for target in linked(README)]
    assert [(ROOT / "minitrain" / target).resolve() for target in linked(CHINESE)][1:] == places[1:]
    assert places[0] == ROOT / "minitrain" / "README.zh-CN.md"
    for pattern in (r"`([^`\n]+)`", r"\d+(?:[.,]\d+)*"):
        assert set(re.findall(pattern, README)) - set(re.findall(pattern, CHINESE)) == set()


def test_the_commands_that_ci_runs_are_two() -> None:
    assert [block.strip() for block in code_blocks(README) if "pip install -e" in block] == [
        "pip install -e . && minitrain train --dataset digits",
        'pip install -e ".[test]" && pytest',
    ]


def test_numbers_of_exercises_and_mistakes_are_right(tmp_path: Path) -> None:
    from minitrain.learn.exercises import EXERCISES
    from minitrain.mistakes.catalogue import SPECIMENS

    assert f"{len(EXERCISES)} exercises" in README
    assert f"{len(EXERCISES)} 道练习" in CHINESE
    assert f"{len(SPECIMENS)} planted mistakes" in ENGLISH
    faults = re.findall(r"(?m)^[a-z]\S+$", minitrain("compare", "--list-faults", folder=tmp_path).stdout)
    assert f"one of {len(faults)} known mistakes" in README
    assert f"{len(faults)} 种已知错误" in CHINESE
    assert f"`--list-faults` lists all {len(faults)}" in ENGLISH


# --- programs ---------------------------------------------------------------------------------------------------------


def test_print_tapes_picture_is_what_its_program_prints() -> None:
    program = program_with("print_tape")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(program, {})
    assert f"```\n\n{indented(out.getvalue())}" in README


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
        exec(program_with("with_torch.compare"), compared)
    assert "They agree" in out.getvalue()
    assert compared["result"].first is None  # type: ignore[attr-defined]

    mine, theirs = mt.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    names = {"model": mine, "torch_model": theirs}
    names["optimizer"] = mt.optim.Adam(mine.parameters(), lr=0.5)
    names["torch_optimizer"] = torch.optim.Adam(theirs.parameters())
    exec(program_with("load_optimizer_state"), names)
    assert torch.equal(theirs.weight, to_torch(mine.state_dict())["weight"])
    assert names["torch_optimizer"].param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(("word", "error"), [("gradcheck(MyLinear", "GradcheckError"), ("entropy =", "AnomalyError")])
def test_what_goes_wrong_in_its_programs_is_reported_as_it_shows(word: str, error: str, tmp_path: Path) -> None:
    program = tmp_path / "entropy.py"
    program.write_text(program_with(word), encoding="utf-8")
    result = subprocess.run([sys.executable, program.name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    reported = result.stderr[result.stderr.rindex(f"{error}: ") :].replace(f"{tmp_path}/", "")
    errors = re.compile(r"largest error \S+")  # whose digits are the BLAS's
    assert errors.sub("#", indented(reported)) in errors.sub("#", ENGLISH)


def test_an_operation_of_ones_own_runs() -> None:
    import minitrain as mt

    names: dict[str, Any] = {}
    exec(program_with("class Cube"), names)
    x = mt.tensor([2.0], requires_grad=True)
    names["Cube"].apply(x).backward()
    assert x.grad.tolist() == [12.0]


def test_the_state_that_it_saves_is_all_that_a_run_needs_to_resume(
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
    exec(program_with("model.safetensors"), straight)
    batches = iter(straight["dataloader"])
    steps(straight, itertools.islice(batches, 3))
    exec(saving, straight)
    rest = steps(straight, batches)

    mt.manual_seed(1)
    resumed = parts()
    exec(loading, resumed)
    assert steps(resumed, resumed["dataloader"]) == rest
    assert len(rest) == 7


# --- commands ---------------------------------------------------------------------------------------------------------


def test_the_first_command_prints_the_lines_that_it_shows(trained: tuple[Path, str]) -> None:
    last = indented("\n".join(trained[1].splitlines()[-7:])).splitlines()
    shown = [*README[: README.index("    Done!\n")].splitlines()[-6:], "    Done!"]
    assert len(last) == len(shown)
    for line, expected in zip(last, shown, strict=True):
        numbers = [[float(number) for number in re.findall(r"\d+\.\d+", text)] for text in (line, expected)]
        assert numbers[0] == pytest.approx(numbers[1], abs=2e-5)
        assert re.sub(r"\d+\.\d+", "#", line).rstrip() == re.sub(r"\d+\.\d+", "#", expected).rstrip()


def test_a_run_is_evaluated_and_classifies_pictures_as_shown(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    command = "evaluate runs/digits-0"
    pages_show(f"minitrain {command}", minitrain(*command.split(), folder=folder).stdout)
    program = program_with("from PIL import Image")
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True)
    command = "predict runs/digits-0 digit-0.png digit-1.png digit-2.png"
    pages_show(f"minitrain {command}", minitrain(*command.split(), folder=folder).stdout)


@pytest.mark.parametrize(
    "name", ["config.json", "steps.csv", "epochs.csv", "log.txt", "checkpoints", "model.safetensors"]
)
def test_a_run_leaves_the_files_of_the_table(name: str, trained: tuple[Path, str]) -> None:
    page = (ROOT / "minitrain" / "runs" / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"(?m)^\| `{re.escape(name)}/?` \|.*$", page)
    path = trained[0] / "runs" / "digits-0" / name
    assert path.exists()
    if path.suffix == ".csv":
        assert f"`{path.read_text(encoding='utf-8').splitlines()[0]}`" in row


@pytest.mark.skipif("MINITRAIN_DATA" not in os.environ, reason="needs the genuine Fashion-MNIST in MINITRAIN_DATA")
def test_the_table_of_files_is_what_the_command_prints(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(Path(os.environ["MINITRAIN_DATA"]).absolute())
    environment = {key: value for key, value in os.environ.items() if key != "MINITRAIN_DATA"}
    command = [sys.executable, "-m", "minitrain", "data"]
    printed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    pages_show("minitrain data", printed)


def test_what_compare_prints_is_what_it_shows(tmp_path: Path) -> None:
    command = "compare --dataset digits"
    agreeing = minitrain(*command.split(), folder=tmp_path)
    assert agreeing.returncode == 0
    pages_show(f"minitrain {command}", agreeing.stdout)
    command += " --inject relu-mask-inverted --stop"
    differing = minitrain(*command.split(), folder=tmp_path)
    assert differing.returncode == 1
    pages_show(f"minitrain {command}", differing.stdout)


def test_what_gradcheck_prints_is_what_it_shows(tmp_path: Path) -> None:
    command = "gradcheck --dataset digits"
    pages_show(f"minitrain {command}", minitrain(*command.split(), folder=tmp_path).stdout)


def test_what_a_check_of_an_exercise_prints_is_what_it_shows(tmp_path: Path) -> None:
    assert minitrain("learn", "start", folder=tmp_path).returncode == 0
    (file,) = tmp_path.glob("*/*/relu_backward.py")
    written = file.read_text(encoding="utf-8")
    body = "(y,) = ctx.saved_arrays\n        return grad_y * (y <= 0)"
    file.write_text(re.sub(r"raise NotImplementedError\(.*\)", body, written), encoding="utf-8")
    checked = minitrain("learn", "check", "relu-backward", folder=tmp_path)
    assert checked.returncode == 1
    pages_show("minitrain learn check relu-backward", checked.stdout)
