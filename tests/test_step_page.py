"""The page of one training step, without a browser: its arrays' bits, its size, what it may load, what it escapes."""

import gzip
import html.parser
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minitrain import nn, ops, optim, tensor
from minitrain.cli import main
from minitrain.ops import Function
from minitrain.runs.config import DIGITS
from minitrain.runs.run import train
from minitrain.study import step_page
from minitrain.study.recording import recording
from minitrain.study.replay_step import replay_step
from minitrain.tensor import apply
from minitrain.torchlike.random import manual_seed


def recorded_step(model=None, samples=6, classes=3, features=(5,), optimizer=None, lr=0.1, steps_before=0):
    manual_seed(1)
    rng = np.random.default_rng(0)
    model = model or nn.Sequential(nn.Linear(5, 17), nn.ReLU(), nn.Linear(17, classes))
    optimizer = (optimizer or optim.SGD)(model.parameters(), lr=lr)
    X = tensor(rng.standard_normal((samples, *features)).astype(np.float32))
    labels = tensor(rng.integers(0, classes, samples))

    def train():
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(model(X), labels).backward()
        optimizer.step()

    for _ in range(steps_before):
        train()
    with recording(model, optimizer) as step:
        train()
    return step


class Page(html.parser.HTMLParser):
    """What is in a page: its tags, its document and its arrays."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self._open = [], {}, None
        self.feed(text)
        self.document = json.loads(self.texts["data"])

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open = dict(attributes).get("id") if tag == "script" else None

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, data):
        if self._open:
            self.texts[self._open] = self.texts.get(self._open, "") + data

    def blob(self, reference):
        """The numbers that are stored, as the script decodes them."""
        number = reference["blob"]
        about = self.document["blobs"][number]
        raw = from_text(self.texts[f"blob-{about.get('same', number)}"], about["bytes"])
        dtype = np.dtype("<" + about["dtype"])
        if about["zip"]:
            planes = np.frombuffer(gzip.decompress(raw), np.uint8).reshape(dtype.itemsize, about["n"])
            raw = np.ascontiguousarray(planes.T).tobytes()
            if about["dtype"] == "f4":
                turned = np.frombuffer(raw, "<u4")
                raw = (turned >> np.uint32(1) | turned << np.uint32(31)).tobytes()
        return np.frombuffer(raw, dtype)

    def array(self, number, name):
        """A tensor's value, gradient or value after the update, also where the page computes it from others."""
        tensor = self.document["tensors"][number]
        reference = tensor[name]
        how = reference.get("how")
        if how is None:
            return self.blob(reference)
        if how == "relu":
            return np.maximum(self.array(reference["x"], "value"), 0)
        if how == "relu_gradient":
            return np.where(self.array(number, "value") > 0, self.array(reference["grad"], "grad"), np.float32(0))
        if how == "sgd":
            return self.array(number, "value") - np.float32(reference["lr"]) * self.array(number, "grad")
        if how == "near":
            return shifted(self.array(number, "value"), self.blob(reference))
        K, R, C = reference["sizes"]
        times = self.array(reference["times"], "value").reshape(K, C)
        by = self.array(reference["grad"], "grad")
        by = by.reshape(K, R) if reference["over"] == "samples" else by.reshape(R, K).T
        total = np.zeros((R, C), np.float32)
        for k in range(K):
            total = (total + np.outer(by[k].astype("f8"), times[k].astype("f8"))).astype("f4")
        return shifted(total.ravel(), self.blob(reference))


def from_text(text, size):
    alphabet = [c for c in range(33, 127) if chr(c) not in '"&<']
    digits = np.array([alphabet.index(ord(c)) for c in text]).reshape(-1, 2) @ [1, 91]
    bits = digits[:, None] >> np.arange(13) & 1
    return np.packbits(bits.astype(np.uint8), bitorder="little").tobytes()[:size]


def shifted(array, zigzag):
    zigzag = zigzag.astype(np.int64)
    ordered = step_page._ordered(array) + np.where(zigzag % 2, -(zigzag + 1) // 2, zigzag // 2)
    return np.where(ordered < 0, (-1 - ordered) | 0x80000000, ordered).astype(np.uint32).view(np.float32)


def bits(array):
    return np.ascontiguousarray(array).tobytes()


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    import dataclasses

    return train(dataclasses.replace(DIGITS, epochs=2), tmp_path_factory.mktemp("runs") / "digits")


OPTIMIZERS = {
    "sgd": optim.SGD,
    "momentum": lambda parameters, lr: optim.SGD(parameters, lr=lr, momentum=0.9),
    "adam": optim.Adam,
}


@pytest.mark.parametrize(("optimizer", "after"), [("sgd", "sgd"), ("momentum", "near"), ("adam", "near")])
def test_the_page_holds_or_computes_the_recorded_bits(monkeypatch, optimizer, after):
    monkeypatch.setattr(step_page, "LARGE", 60)  # so that arrays are computed from others
    layers = (nn.Flatten(), nn.Linear(12, 17), nn.ReLU(), nn.Linear(17, 16), nn.ReLU(), nn.Linear(16, 3))
    step = recorded_step(nn.Sequential(*layers), features=(3, 4), optimizer=OPTIMIZERS[optimizer], steps_before=1)
    page = Page(step_page.page_of(step))
    hows = {}
    for number, value in enumerate(step.tensors):
        for name in ("value", "grad", "after"):
            if getattr(value, name) is not None:
                assert bits(page.array(number, name)) == bits(getattr(value, name)), (value.name, name)
                how = page.document["tensors"][number][name].get("how")
                hows.setdefault(how, []).append(f"{value.name}.{name}")
    assert hows["relu"] == ["h1.value", "h2.value"]
    assert hows["relu_gradient"] == ["a1.grad", "a2.grad"]
    assert hows["sum"] == ["W1.grad", "h1.grad", "W2.grad", "h2.grad"]
    assert {"W1.after", "W2.after"} <= set(hows[after])
    same = [about for about in page.document["blobs"] if about.get("same") is not None]
    assert same, "the images and their flattened copy are stored once"


def test_a_gradient_that_rounds_otherwise_keeps_its_bits(monkeypatch):
    monkeypatch.setattr(step_page, "LARGE", 60)
    step = recorded_step()
    weight = step["W1"]
    weight.grad = np.nextafter(weight.grad, np.float32(1), where=np.arange(5) % 2 == 0, out=weight.grad.copy())
    page = Page(step_page.page_of(step))
    number = step.number("W1")
    assert page.document["tensors"][number]["grad"]["how"] == "sum"
    assert bits(page.array(number, "grad")) == bits(weight.grad)


def test_a_large_parameter_keeps_the_state_of_some_entries(monkeypatch):
    monkeypatch.setattr(step_page, "LARGE", 60)
    step = recorded_step(optimizer=optim.Adam, steps_before=1)
    page = Page(step_page.page_of(step))
    number = step.number("W1")
    tensor = page.document["tensors"][number]
    kept = page.blob(tensor["kept"])
    assert tensor["peak"] in kept
    for when, array in step["W1"].state["exp_avg"].items():
        reference = tensor["state"]["exp_avg"][when]
        assert page.document["blobs"][reference["blob"]]["of"] == tensor["kept"]["blob"]
        assert np.array_equal(page.blob(reference), array.ravel()[kept])


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i8", "u1", "?"])
@pytest.mark.parametrize("size", [0, 3, 5000, 90_000])
def test_packing_keeps_every_bit(dtype, size):
    array = (np.random.default_rng(0).standard_normal(size) * 9).astype(dtype)
    about, text = step_page.pack(array)
    page = Page(
        '<script type="application/json" id="data">'
        + json.dumps({"blobs": [about]})
        + f'</script><script id="blob-0">{text}</script>'
    )
    if size:
        assert np.array_equal(page.blob({"blob": 0}), array.astype("f8") if dtype == "f2" else array)


def test_text_of_the_user_is_escaped():
    name = "</script><script>alert(1)</script>"
    step = recorded_step()
    text = step_page.page_of(step, title=name, about=name, classes=[name, "<b>", "&"])
    page = Page(text)
    assert page.document["page"]["classes"][0] == name
    assert "alert(1)</script>" not in text
    assert len([tag for tag, a in page.tags if tag == "script" and "type" not in a]) == 1


def test_the_page_may_load_nothing_and_run_its_own_script_only():
    page = Page(step_page.page_of(recorded_step()))
    (policy,) = [a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")
    assert not [a for _, a in page.tags if "src" in a or (a.get("href") or "#")[0] != "#"]
    script = Path(step_page.__file__).with_name("step.js").read_text(encoding="utf-8")
    assert not re.search(r"\beval\(|new Function|fetch\(|XMLHttpRequest|localStorage|sessionStorage|cookie", script)


def test_a_step_of_digits_has_at_most_500_kilobytes(digits_run):
    page = step_page.page_of(replay_step(digits_run, epoch=1, batch=40).step)
    assert len(page.encode()) < 500_000


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_tutorials_model_at_batch_64_has_at_most_6_megabytes(optimizer):
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    step = recorded_step(model, 64, 10, (784,), OPTIMIZERS[optimizer], 1e-3, steps_before=1)
    for value in step.tensors:  # no differences here: they take seconds, and few bytes
        value.check = {"eps": 1e-4, "entries": None, "plus": None, "minus": None, "kinks": {}, "not_checked": "slow"}
    assert len(step_page.page_of(step).encode()) < 6_000_000


def test_a_wrong_gradient_is_found():
    class Wrong(Function):
        """y = 3 x; dL/dx = 2 dL/dy."""

        @staticmethod
        def forward(ctx, x):
            return 3 * x

        @staticmethod
        def backward(ctx, grad_y):
            return 2 * grad_y

    layer = nn.Linear(5, 4)
    with recording(layer) as step:
        apply(ops.Sum, apply(Wrong, layer(tensor(np.ones((3, 5), np.float32)))), dim=(0, 1), keepdim=False).backward()
    document = Page(step_page.page_of(step)).document
    assert document["tensors"][step.number("W")]["failed"]
    assert [op["name"] for op in document["ops"] if op["ill"]] == ["Wrong"]


def test_right_gradients_are_not_called_wrong(digits_run):
    for batch in (0, 50):
        page = Page(step_page.page_of(replay_step(digits_run, epoch=2, batch=batch).step))
        assert not any(found["failed"] for found in page.document["tensors"])


def test_a_replayed_step_is_the_runs_own(digits_run):
    rows = (digits_run / "steps.csv").read_text().splitlines()[1:]
    for step in (0, 40, 93, 94, 100):
        replayed = replay_step(digits_run, step=step)
        loss = replayed.step.tensors[replayed.step.loss].value
        assert rows[step].split(",")[-1] == str(loss.item())
        assert rows[step].split(",")[:2] == [str(replayed.place.epoch), str(replayed.place.batch)]


def test_the_default_is_the_step_after_the_last_checkpoint(digits_run):
    place = replay_step(digits_run).place
    assert (place.updates, place.epoch, place.batch) == (188, 3, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--step", "189"], "has the steps 0 to 188"),
        (["--step", "-1"], "has the steps 0 to 188"),
        (["--epoch", "0"], "epochs count from 1"),
        (["--epoch", "1", "--batch", "94"], "batches 0 to 93"),
        (["--batch", "3"], "--batch needs --epoch"),
        (["--step", "1", "--epoch", "1"], "either --step, or"),
        (["--sample", "16"], "samples 0 to 15"),
        (["--layer", "conv"], "no layer 'conv'; choose one of"),
        (["--inject", "nothing"], "no fault 'nothing'"),
        (["-o", "nowhere/step.html"], "there is no directory"),
        (["-o", "."], "-o must name a file, but got '.'"),
        (["-o", ""], "-o must name a file, but got ''"),
        (["--sample", "-1"], "samples 0 to 15, but --sample is -1"),
    ],
)
def test_bad_usage_is_one_clear_line(digits_run, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    assert main(["step", str(digits_run), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_page_that_may_not_be_written_is_one_clear_line(digits_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert main(["step", str(digits_run), "-o", str(tmp_path / "step.html")]) == 2
    assert "no permission to write" in capsys.readouterr().err
    assert not (tmp_path / "step.html").exists()


def test_open_starts_the_browser(digits_run, tmp_path, capsys):
    browser, out = tmp_path / "browser", tmp_path / "a b.html"
    browser.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    command = [sys.executable, "-m", "minitrain", "step", str(digits_run), "--open", "-o", str(out)]
    subprocess.run(command, check=True, env=os.environ | {"BROWSER": f"{browser} %s"}, capture_output=True)
    assert (tmp_path / "opened").read_text().strip() == out.as_uri()


def test_open_without_a_browser_says_so(digits_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    assert main(["step", str(digits_run), "--step", "0", "--open", "-o", str(tmp_path / "a.html")]) == 0
    assert "no browser could be started; open" in capsys.readouterr().out


def test_no_run_is_one_clear_line(capsys):
    assert main(["step", "nowhere"]) == 2
    assert "there is no run in 'nowhere'" in capsys.readouterr().err


def test_the_command_writes_the_page(digits_run, tmp_path, capsys):
    out = tmp_path / "a.html"
    assert (
        main(
            [
                "step",
                str(digits_run),
                "--epoch",
                "1",
                "--batch",
                "3",
                "--sample",
                "5",
                "--layer",
                "linear_relu_stack.2",
                "-o",
                str(out),
            ]
        )
        == 0
    )
    document = Page(out.read_text(encoding="utf-8")).document
    assert document["page"]["first"] == 5
    assert document["page"]["open"] == "linear_relu_stack.2"
    assert document["page"]["classes"] == [str(digit) for digit in range(10)]
    assert str(out) in capsys.readouterr().out


def test_a_planted_mistake_is_marked_with_the_diagnosis(digits_run, tmp_path, capsys):
    out = tmp_path / "a.html"
    assert main(["step", str(digits_run), "--step", "9", "--inject", "weight-gradient-sign", "-o", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    document = Page(text).document
    assert [t["name"] for t in document["tensors"] if t["failed"]] == ["W1"]
    assert [(op["name"], op["layer"]) for op in document["ops"] if op["ill"]] == [("Linear", "linear_relu_stack.0")]
    assert "mistake is in linear_relu_stack.0: sign" in text


def test_a_notebook_gets_a_frame(monkeypatch):
    step = recorded_step()
    frame = step._repr_html_()
    assert frame.startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert 'sandbox="allow-scripts"' in frame


def test_a_notebook_gets_a_link_to_a_large_page(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(step_page, "NOTEBOOK_LIMIT", 1000)
    step = recorded_step()
    (name,) = re.findall('<a href="(step-.{8}.html)"', step._repr_html_())
    assert Page((tmp_path / name).read_text(encoding="utf-8")).document["ops"]
    assert name in step._repr_html_(), "the same page has the same name"
    monkeypatch.chdir("/proc/self")
    assert "cannot be saved here" in step._repr_html_()


def test_nan_and_infinity_are_counted_and_not_called_wrong():
    layer = nn.Linear(5, 4)
    x = np.ones((3, 5), np.float32)
    x[1, 2], x[2, 3] = np.nan, np.inf
    with recording(layer) as step:
        layer(tensor(x)).sum().backward()
    document = Page(step_page.page_of(step)).document
    x, grad = (step.number(name) for name in ("X", "W"))
    assert document["tensors"][x]["strange"]["value"] == [1, 1, 7]
    assert document["tensors"][grad]["strange"]["grad"] == [4, 4, 2]
    assert document["page"]["strange"] == [x, "v", 7]
    assert not any(tensor["failed"] for tensor in document["tensors"])


def test_a_file_is_written_for_any_model(tmp_path):
    for model, features in ((nn.Linear(5, 3), (5,)), (nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), (3, 4))):
        recorded_step(model, features=features).save(tmp_path / "step.html")
        assert Page((tmp_path / "step.html").read_text(encoding="utf-8")).document["ops"]


def test_ctrl_c_is_one_line_and_130(digits_run, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("minitrain.study.replay_step.replay_step", interrupt)
    assert main(["step", str(digits_run)]) == 130
    assert capsys.readouterr().err == "minitrain: interrupted\n"
