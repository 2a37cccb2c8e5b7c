"""minitrain gradcheck and minitrain learn zoo, as a user types them."""

from pathlib import Path

import pytest

from minitrain.cli import main
from minitrain.training.config import Config, default_config
from minitrain.training.gradients import SWEPT, check_model, sweep_eps

DIGITS = ["gradcheck", "--dataset", "digits"]


def test_every_parameter_of_the_built_in_model_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(DIGITS) == 0
    out = capsys.readouterr().out
    for name in ("0.weight  64 x 64    4,096", "0.bias         64       64", "2.weight  10 x 64      640"):
        assert f"linear_relu_stack.{name}" in out
    assert out.endswith("All gradients are right: 4,810 parameters on 16 samples of digits, in float64.\n")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("weight-gradient-sign", "WRONG: sign"),
        ("loss-gradient-summed", "WRONG: mean-missing"),
        ("bias-gradient-mean", "WRONG: mean-twice"),
        ("relu-mask-inverted", "From linear_relu_stack.2 on they are right"),
        ("input-gradient-sign", "From linear_relu_stack.2 on they are right"),
    ],
)
@pytest.mark.parametrize("mode", ["full", "directional"])
def test_a_planted_fault_is_found(fault: str, told: str, mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DIGITS, "--hidden", "12", "--batch-size", "7", "--mode", mode, "--inject", fault]) == 1
    out = capsys.readouterr().out
    assert "WRONG" in out
    assert told in out
    assert ("proves nothing about an error" in out) == (mode == "directional")


def test_a_large_model_is_checked_in_directions() -> None:
    checked = check_model(Config(dataset="digits", hidden=(300,), batch_size=4))
    assert checked.report.directional
    assert checked.ok


def test_the_best_step_lies_between_truncation_and_rounding() -> None:
    sweep = sweep_eps(default_config("digits"))
    assert 1e-7 < sweep.eps[sweep.best] < 1e-3
    assert sweep.errors[sweep.best] < 1e-8
    assert sweep.errors[0] > 1e-4
    assert sweep.errors[-1] > 1e-2
    assert len(sweep.errors) == len(SWEPT)
    lines = str(sweep).splitlines()
    assert [line for line in lines if line.endswith("<- best")] == [lines[4 + sweep.best]]
    assert max(map(len, lines)) <= 80


def test_the_sweep_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "sweep.png"
    assert main([*DIGITS, "--hidden", "8", "--eps-sweep", "--plot", str(plot)]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "<- best" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--inject", "gone"], "there is no fault 'gone' of a gradient; choose one of"),
        (["--inject", "uphill"], "there is no fault 'uphill' of a gradient"),
        (["--eps", "0"], "eps must be above 0"),
        (["--rtol", "nan"], "atol and rtol from 0, all finite, but got 1e-06, 1e-08 and nan"),
        (["--plot", "x.png"], "--plot draws the sweep; add --eps-sweep"),
        (["--eps-sweep", "--plot", "x.gif"], "the plot is a PNG file"),
        (["--eps-sweep", "--plot", "nowhere/x.png"], "there is no directory"),
        (["--eps-sweep", "--mode", "full"], "leave --mode out"),
    ],
)
def test_bad_usage_gets_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DIGITS, *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_the_zoo_is_told_whole_and_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", "zoo"]) == 0
    assert "named rightly" in capsys.readouterr().out.splitlines()[-1]
    assert main(["learn", "zoo", "relu-mask-inverted"]) == 0
    assert "Likely: mask-inverted" in capsys.readouterr().out
    assert main(["learn", "zoo", "relu-mask"]) == 2
    assert "did you mean relu-mask-inverted" in capsys.readouterr().err
