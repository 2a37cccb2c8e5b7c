"""The page of one training step, without a browser: its arrays' bits, its size, what it may load, what it escapes."""

import base64
import gzip
import html.parser
import json
import re
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


def recorded_step(model=None, samples=6, classes=3, features=(5,), optimizer=None, lr=0.1):
    manual_seed(1)
    rng = np.random.default_rng(0)
    model = model or nn.Sequential(nn.Linear(5, 17), nn.ReLU(), nn.Linear(17, classes))
    optimizer = (optimizer or optim.SGD)(model.parameters(), lr=lr)
    X = tensor(rng.standard_normal((samples, *features)).astype(np.float32))
    with recording(model, optimizer) as step:
        nn.CrossEntropyLoss()(model(X), tensor(rng.integers(0, classes, samples))).backward()
        optimizer.step()
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

    def array(self, reference):
        """The numbers, as the script decodes them."""
        about = self.document["blobs"][reference["blob"]]
        raw = base64.b64decode(self.texts[f"blob-{reference['blob']}"])
        dtype = np.dtype("<" + about["dtype"])
        if about["zip"]:
            planes = np.frombuffer(gzip.decompress(raw), np.uint8).reshape(dtype.itemsize, about["n"])
            raw = np.ascontiguousarray(planes.T).tobytes()
        return np.frombuffer(raw, dtype)

    def gradient(self, number):
        """A gradient, also one that is stored as its bits' distance from a sum."""
        reference = self.document["tensors"][number]["grad"]
        if "sum" not in reference:
            return self.array(reference)
        about = reference["sum"]
        samples, rows, columns = about["sizes"]
        x = self.array(self.document["tensors"][about["x"]]["value"]).reshape(samples, columns).astype(np.float64)
        g = self.gradient(about["grad"]).reshape(samples, rows).astype(np.float64)
        total = np.zeros((rows, columns))
        for n in range(samples):
            total += np.outer(g[n], x[n])
        zigzag = self.array(reference).astype(np.int64)
        ordered = step_page._ordered(total.astype(np.float32)).ravel() + np.where(
            zigzag % 2, -(zigzag + 1) // 2, zigzag // 2
        )
        bits = np.where(ordered < 0, (-1 - ordered) | 0x80000000, ordered).astype(np.uint32)
        return bits.view(np.float32)


def bits(array):
    return np.ascontiguousarray(array).tobytes()


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    import dataclasses

    return train(dataclasses.replace(DIGITS, epochs=2), tmp_path_factory.mktemp("runs") / "digits")


def test_embedded_arrays_are_the_recorded_bits(monkeypatch):
    monkeypatch.setattr(step_page, "LARGE", 60)  # so that a gradient is stored as a distance
    step = recorded_step()
    page = Page(step_page.page_of(step))
    as_sums = 0
    for number, (found, value) in enumerate(zip(page.document["tensors"], step.tensors, strict=True)):
        assert bits(page.array(found["value"])) == bits(value.value)
        if value.grad is not None:
            as_sums += "sum" in found["grad"]
            assert bits(page.gradient(number)) == bits(value.grad)
        if value.after is not None:
            assert bits(value.value - np.float32(found["after"]["lr"]) * value.grad) == bits(value.after)
    assert as_sums == 1


def test_an_update_that_is_not_one_operation_is_embedded():
    step = recorded_step(optimizer=optim.Adam)
    page = Page(step_page.page_of(step))
    for found, value in zip(page.document["tensors"], step.tensors, strict=True):
        if value.after is not None:
            assert bits(page.array(found["after"])) == bits(value.after)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i8", "u1", "?"])
@pytest.mark.parametrize("size", [0, 3, 5000])
def test_packing_keeps_every_bit(dtype, size):
    array = (np.random.default_rng(0).standard_normal(size) * 9).astype(dtype)
    about, text = step_page.pack(array)
    page = Page(
        '<script type="application/json" id="data">'
        + json.dumps({"blobs": [about]})
        + f'</script><script id="blob-0">{text}</script>'
    )
    if size:
        assert np.array_equal(page.array({"blob": 0}), array.astype("f8") if dtype == "f2" else array)


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


def test_the_tutorials_model_at_batch_64_has_at_most_6_megabytes():
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    step = recorded_step(model, samples=64, classes=10, features=(784,))
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
    ],
)
def test_bad_usage_is_one_clear_line(digits_run, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    assert main(["step", str(digits_run), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_no_run_is_one_clear_line(capsys):
    assert main(["step", "nowhere"]) == 2
    assert "there is no run in 'nowhere'" in capsys.readouterr().err


def test_the_command_writes_the_page(digits_run, tmp_path, capsys):
    out = tmp_path / "a.html"
    assert main(["step", str(digits_run), "--epoch", "1", "--batch", "3", "--sample", "5", "-o", str(out)]) == 0
    document = Page(out.read_text(encoding="utf-8")).document
    assert document["page"]["first"] == 5
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
    monkeypatch.setattr(step_page, "NOTEBOOK_LIMIT", 1000)
    assert "step.save" in step._repr_html_()


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
