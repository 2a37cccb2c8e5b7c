"""The page of a step evaluates every rule in JavaScript: for each operation and update the result is Python's."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minitrain import ops, study
from minitrain.study import step_page
from minitrain.study.declarations import DECLARATIONS
from minitrain.study.updates import UPDATES
from tests.test_study_entries import CASES, EDGES, example, recorded
from tests.test_study_updates import step_with_all_at_work

webdriver = pytest.importorskip("selenium.webdriver", reason="the pages are not tested: pip install selenium")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="the pages are not tested: there is no chromium with its chromedriver"
)

# Operations whose example needs options of its own.
MOVING: dict[Any, Any] = {
    ops.Index: ([np.arange(6.0).reshape(3, 2)], {"index": np.array([2, 0, 2])}),
    ops.IndexPut: ([np.arange(6.0).reshape(3, 2), np.array([7.0, 8.0])], {"index": (1,)}),
    ops.ViewPut: ([np.arange(6.0).reshape(3, 2), np.arange(3.0)], {"view": lambda array: array[:, 1]}),
    ops.Cat: ([np.ones((3, 2)), np.arange(3.0).reshape(3, 1)], {"dim": 1}),
    ops.Flip: ([np.arange(6.0).reshape(3, 2)], {"dims": (0,)}),
    ops.Roll: ([np.arange(6.0).reshape(3, 2)], {"shifts": (1,), "dims": (0,)}),
    ops.Diagonal: ([np.arange(9.0).reshape(3, 3)], {"offset": 1, "dim1": 0, "dim2": 1}),
    ops.Unfold: ([np.arange(8.0).reshape(2, 4)], {"dim": 1, "size": 2, "step": 1}),
}

# Evaluates every rule for every entry: [value, sum of the terms] each.
SCRIPT = """
const product = sizes => sizes.reduce((a, b) => a * b, 1), R = (t, w, i) => ({t, w, i});
let T, arrays, pretended = null;
const blob = a => arrays[a.blob];
const numbers = (t, w) => blob(T[t][{v: "value", g: "grad", a: "after", u: "used"}[w]]);
const entryOf = (a, i) => blob(a)[i];
RULES
const found = [];
for (const [tensors, given, rules] of JSON.parse(arguments[0])) {
  T = tensors; arrays = given;
  for (const [rule, shape] of rules) {
    const all = [];
    for (const env of each(rule.axes.map((axis, k) => [axis, shape[k]]), {}))
      all.push([evaluate(rule.value, env) ?? 0, terms(rule.value, env).reduce((a, t) => a + t.v, 0)]);
    found.push(all);
  }
}
return found;
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield started
    started.quit()


def rules_in(document: dict[str, Any]) -> list[dict[str, Any]]:
    of_operations = [rule for op in document["ops"] for rule in (op["rule"], *op["gradients"]) if rule]
    return of_operations + [rule for tensor in document["tensors"] for rule in tensor["update"]]


def all_steps() -> list[tuple[str, study.Step]]:
    steps = [(f.__name__, recorded(f, MOVING[f] if f in MOVING else example(f))) for f in DECLARATIONS]
    steps += [(f.__name__, recorded(f, case)) for f, case in EDGES]
    return steps + [(f.__name__, step_with_all_at_work(f)) for f in UPDATES]


def test_python_and_javascript_agree_on_every_rule(driver: Any) -> None:
    script = (Path(step_page.__file__).parent / "step.js").read_text(encoding="utf-8")
    start, end = script.index("const shapeOf ="), script.index("// What made an entry")
    sent: list[Any] = []
    expected: list[tuple[str, Any]] = []
    for name, step in all_steps():
        document, arrays = step.data()
        if not all(np.isfinite(x).all() for x in arrays):  # JSON has no nan, and the page reads its arrays otherwise
            continue
        rules = []
        for rule in rules_in(document):
            of = rule["entry"][1] if rule["entry"][0] == "entry" else None
            if of is None:  # a number on the way of an update: the parameter is computed from it
                continue
            array = arrays[of["blob"] if "blob" in of else document["tensors"][of["tensor"]][of["of"]]["blob"]]
            if len(rule["axes"]) == array.ndim:
                rules.append([rule, list(array.shape)])
                expected.append((f"{name}: {rule['formula']}", array.ravel()))
        sent.append([document["tensors"], [np.asarray(x, np.float64).ravel().tolist() for x in arrays], rules])
    found = driver.execute_script(SCRIPT.replace("RULES", script[start:end]), json.dumps(sent))
    assert len(found) == len(expected) > len(CASES) + 2 * len(UPDATES)
    for (name, array), rows in zip(expected, found, strict=True):
        tolerance = 1e-9 if array.dtype == np.float64 else 1e-6
        for place, row in enumerate(np.array(rows, np.float64).reshape(-1, 2)):
            assert abs(row - array[place]).max() <= tolerance * (1 + abs(array[place])), (name, row, array[place])
