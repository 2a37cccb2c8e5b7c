"""minitrain gradcheck and minitrain learn zoo, as a user types them."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from minitrain import nn
from minitrain.cli import main
from minitrain.diagnosis.gradcheck_report import InputCheck, Report
from minitrain.runs.check_gradients import SWEPT, check_model, sweep_eps
from minitrain.runs.config import Config, default_config
from minitrain.runs.gradient_table import Checked
from minitrain.tensor import Tensor
from minitrain.with_torch.faults import FAULTS

DIGITS = ["gradcheck", "--dataset", "digits"]


def test_every_parameter_of_the_built_in_model_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(DIGITS) == 0
    out = capsys.readouterr().out
    for name in ("0.weight  64 x 64    4,096", "0.bias         64       64", "2.weight  10 x 64      640"):
        assert f"linear_relu_stack.{name}" in out
    assert out.endswith("All gradients are right: 4,810 parameters on 16 samples of digits, in float64.\n")


CULPRITS = {
    "loss-gradient-summed": "the loss: mean-missing",
    "loss-gradient-without-target": "the loss: one-hot-missing",
    "input-gradient-sign": "linear_relu_stack.2: sign",
    "relu-mask-inverted": "linear_relu_stack.1: mask-inverted",
    "relu-without-mask": "linear_relu_stack.1: mask-missing",
    "weight-gradient-sign": "linear_relu_stack.0: sign",
    "bias-gradient-mean": "linear_relu_stack.2: mean-twice",
}
WRONG_PARAMETERS = {  # all others are right
    "loss-gradient-summed": ["0.weight", "0.bias", "2.weight", "2.bias"],
    "loss-gradient-without-target": ["0.weight", "0.bias", "2.weight", "2.bias"],
    "input-gradient-sign": ["0.weight", "0.bias"],
    "relu-mask-inverted": ["0.weight", "0.bias"],
    "relu-without-mask": ["0.weight", "0.bias"],
    "weight-gradient-sign": ["0.weight"],
    "bias-gradient-mean": ["2.bias"],
}


def words(text: str) -> str:
    """The text in one line."""
    return " ".join(text.split())


@pytest.mark.parametrize("fault", CULPRITS)
@pytest.mark.parametrize("mode", ["full", "directional"])
def test_a_planted_fault_is_found_and_named(fault: str, mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DIGITS, "--hidden", "12", "--batch-size", "7", "--mode", mode, "--inject", fault]) == 1
    out = capsys.readouterr().out
    table = [line for line in out.split("parameter ")[1].split("\n\n")[0].splitlines() if "linear" in line]
    wrong = [line.split()[0].removeprefix("linear_relu_stack.") for line in table if "WRONG" in line]
    assert wrong == WRONG_PARAMETERS[fault]
    assert words(out).endswith(f"The mistake is in {CULPRITS[fault]}.")
    assert words(out).count("proves nothing about an error") == (mode == "directional")


def test_every_fault_that_can_be_planted_is_tested(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DIGITS, "--list-faults"]) == 0
    listed = [line for line in capsys.readouterr().out.splitlines() if line and not line.startswith(" ")]
    assert sorted(listed) == sorted(CULPRITS)


def test_layers_that_are_right_by_themselves_are_not_blamed() -> None:
    def plant(model: Any, loss_fn: Any, optimizer: Any) -> Any:
        model.linear_relu_stack = Detached(model.linear_relu_stack)
        return (model, loss_fn, optimizer), "the model"

    class Detached(nn.Module):
        """Of its first layer nothing is said to backward."""

        def __init__(self, stack: Any) -> None:
            super().__init__()
            self.stack = stack

        def forward(self, x: Tensor) -> Tensor:
            first, relu, last = self.stack
            result: Tensor = last(relu(first(x)).detach())
            return result

    checked = check_model(Config(dataset="digits", hidden=(6,), batch_size=4), plant=plant)
    assert [found.ok for found in checked.report.inputs] == [False, False, True, True]
    assert all(report.ok for _, report in checked.layers)
    assert "Each layer alone is right: look at how the model connects them." in words(str(checked))


def test_what_cannot_be_measured_is_not_called_right() -> None:
    measured, hidden = InputCheck("0.bias", (3,), 3, unmeasured=1), InputCheck("2.bias", (3,), 3, kinks=1, unmeasured=2)
    some = Checked(Report("", [measured], 1e-8, 1e-4, False), "here", 1e-6, [])
    assert some.ok
    assert str(some).endswith("All gradients that could be checked are right: 2 of 3 here.")
    none = Checked(Report("", [measured, hidden], 1e-8, 1e-4, False), "here", 1e-6, [])
    assert not none.ok
    assert "NOT CHECKED" in str(none)
    assert "Nothing is known about 2.bias here" in str(none)


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("full", "choose an eps near 1e-06."),
        ("directional", "each layer alone is right with the step 1e-06: choose an eps near that."),
    ],
)
def test_a_step_that_is_too_small_blames_no_layer(mode: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DIGITS, "--hidden", "4", "--eps", "1e-14", "--mode", mode]) == 1
    assert words(capsys.readouterr().out).endswith(told)


def test_a_large_step_is_said_to_have_needed_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DIGITS, "--hidden", "4", "--eps", "1e-2"]) == 0
    assert "Right by another step than eps" in capsys.readouterr().out


def test_a_large_model_is_checked_in_directions() -> None:
    checked = check_model(Config(dataset="digits", hidden=(300,), batch_size=4))
    assert checked.report.directional
    assert checked.ok


def test_the_best_step_lies_between_truncation_and_rounding() -> None:
    sweep = sweep_eps(default_config("digits"))
    assert 1e-7 < sweep.eps[sweep.best] < 1e-4
    assert sweep.ok
    assert sweep.errors[sweep.best] < 1e-8
    assert sweep.errors[0] > 1e-4
    assert sweep.errors[-1] > 1e-2
    assert len(sweep.errors) == len(SWEPT)
    lines = str(sweep).splitlines()
    assert [line for line in lines if line.endswith("<- best")] == [lines[4 + sweep.best]]
    assert max(map(len, lines)) < 80


def test_away_from_kinks_the_error_grows_as_eps_squared_and_as_one_by_eps() -> None:
    sweep = sweep_eps(default_config("digits"))
    ratios = [a / b for a, b in itertools.pairwise(sweep.smooth)]  # of steps half a decade apart
    assert ratios[: sweep.best - 1] == pytest.approx([10] * (sweep.best - 1), rel=0.2)
    assert 10**8 < sweep.smooth[-1] / sweep.smooth[sweep.best + 1] < 10**10  # over nine decades


def test_a_step_that_crosses_a_kink_is_told_from_one_that_is_too_large() -> None:
    sweep = sweep_eps(default_config("digits"))
    assert sweep.crossing[0] > 0
    assert sweep.crossing == sorted(sweep.crossing, reverse=True)
    assert sweep.crossing[sweep.best :] == [0] * len(sweep.crossing[sweep.best :])
    for error, smooth, crossing in zip(sweep.errors, sweep.smooth, sweep.crossing, strict=True):
        assert smooth < error if crossing else smooth == error
    assert "+++" in str(sweep)
    straight = sweep_eps(Config(dataset="digits", hidden=()))
    assert not any(straight.crossing)
    assert "+" not in str(straight)


def test_no_step_is_best_for_a_wrong_gradient(capsys: pytest.CaptureFixture[str]) -> None:
    assert not sweep_eps(default_config("digits"), FAULTS["relu-without-mask"].plant).ok
    assert main([*DIGITS, "--eps-sweep", "--inject", "weight-gradient-sign"]) == 1
    out = words(capsys.readouterr().out)
    assert "best" not in out
    assert "the gradient is wrong, not the measurement" in out


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
        (["--eps", "0"], "eps must be from 1e-15"),
        (["--eps", "2"], "to 1, but is 2.0"),
        (["--eps", "nan"], "to 1, but is nan"),
        (["--atol", "-1"], "atol and rtol must be finite and not negative, but got -1.0 and 0.0001"),
        (["--rtol", "nan"], "atol and rtol must be finite and not negative, but got 1e-08 and nan"),
        (["--plot", "x.png"], "--plot draws the sweep; add --eps-sweep"),
        (["--eps-sweep", "--plot", "x.gif"], "the plot is a PNG file"),
        (["--eps-sweep", "--plot", "nowhere/x.png"], "there is no directory"),
        (["--eps-sweep", "--mode", "full"], "leave out --mode"),
    ],
)
def test_bad_usage_gets_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DIGITS, *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_the_zoo_is_told_whole_and_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", "zoo"]) == 0
    assert "named correctly" in capsys.readouterr().out.splitlines()[-1]
    assert main(["learn", "zoo", "relu-mask-inverted"]) == 0
    assert "Likely: mask-inverted" in capsys.readouterr().out
    assert main(["learn", "zoo", "relu-mask"]) == 2
    assert "did you mean relu-mask-inverted" in capsys.readouterr().err
