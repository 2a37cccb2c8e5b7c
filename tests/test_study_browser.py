"""The page of one training step in a real browser: what it shows is what NumPy computes, by mouse and by keyboard."""

import random
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from minitrain import nn, optim, tensor
from minitrain.ops import Function
from minitrain.study import step_page
from minitrain.study.recording import recording
from minitrain.tensor import apply
from minitrain.torchlike.random import manual_seed

webdriver = pytest.importorskip("selenium.webdriver", reason="the pages are not tested: pip install selenium")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="the pages are not tested: there is no chromium with its chromedriver"
)
WHICH = {"v": "value", "g": "grad", "a": "after"}


class Tripled(Function):
    """y = 3 x; dL/dx = 3 dL/dy."""

    @staticmethod
    def forward(ctx, x):
        return 3 * x

    @staticmethod
    def backward(ctx, grad_y):
        return 3 * grad_y


class Images(nn.Module):
    """Convolution, batch norm, pooling, an operation of the user's own, a value that is used twice, Dropout."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(0.3)
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        h = self.pool(nn.functional.relu(self.norm(self.conv(x))))
        h = h + apply(Tripled, h)
        return self.out(self.dropout(nn.Flatten()(h)))


def record(model, *features, samples=6, classes=3, loss_fn=None, optimizer=optim.SGD):
    rng = np.random.default_rng(0)
    updates = optimizer(model.parameters(), lr=0.1)
    X = tensor(rng.uniform(0, 1, (samples, *features)).astype(np.float32))
    y = tensor(rng.integers(0, classes, samples)) if loss_fn is None else tensor(np.ones((samples, classes), "f4"))
    with recording(model, updates) as step:
        (loss_fn or nn.CrossEntropyLoss())(model(X), y).backward()
        updates.step()
    return step


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield Browser(driver)
    driver.quit()


class Browser:
    """A page in a browser, read as a user reads it."""

    def __init__(self, driver):
        self.driver = driver
        self.size(1280, 900)

    def size(self, width, height, scheme="light"):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, path, state=""):
        self.driver.get("about:blank")
        self.driver.get(path.as_uri() + (f"#{state}" if state else ""))
        WebDriverWait(self.driver, 20).until(lambda _: self.run("return document.documentElement.dataset.ready"))

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def find(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def choose(self, number, which, index):
        """Choose an entry by the page's address."""
        self.run(
            "location.hash = arguments[0]; window.dispatchEvent(new Event('hashchange'))",
            f"sel={number},{which},{index}",
        )

    def shown(self):
        """What the inspector says of the chosen entry."""
        return self.run("""
            const I = document.getElementById("inspector"), one = s => I.querySelector(s);
            return {name: one(".n")?.textContent ?? null, value: one(".v")?.dataset.value ?? null,
                    sum: one("[data-sum]")?.dataset.sum ?? null, check: one("[data-check]")?.dataset.check ?? null,
                    rings: document.querySelectorAll(".hl.sel").length, text: I.innerText,
                    live: document.getElementById("live").textContent}""")

    def press(self, *keys):
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def assert_quiet(self):
        """No message in the console, no request, no sideways scrolling."""
        assert self.driver.get_log("browser") == []
        assert self.run("return performance.getEntriesByType('resource').length") == 0
        assert self.run("return document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    manual_seed(3)
    step = record(Images(), 1, 4, 4)
    path = tmp_path_factory.mktemp("page") / "images.html"
    step_page.write_page(step, path, classes=["<script>alert(1)</script>", "b", "c"])
    return step, path


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    manual_seed(0)
    step = record(
        nn.Sequential(nn.Flatten(), nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 10)), 1, 4, 4, samples=8, classes=10
    )
    path = tmp_path_factory.mktemp("page") / "layers.html"
    large, step_page.LARGE = step_page.LARGE, 300  # so that a gradient is stored as its bits' distance from a sum
    step_page.write_page(step, path, classes=[str(k) for k in range(10)])
    step_page.LARGE = large
    return step, path


@pytest.mark.parametrize("page", ["images", "layers"])
def test_every_array_shows_numpys_numbers_sums_and_differences(browser, page, request):
    step, path = request.getfixturevalue(page)
    browser.open(path)
    rng = random.Random(0)
    sums = checks = 0
    for number, value in enumerate(step.tensors):
        for which, name in WHICH.items():
            array = getattr(value, name)
            if array is None:
                continue
            for index in {rng.randrange(array.size) for _ in range(2)}:
                place = np.unravel_index(index, array.shape)
                browser.choose(number, which, index)
                shown = browser.shown()
                where = (value.name, which, place)
                assert array.dtype.type(float(shown["value"])) == array[place], where
                assert shown["rings"] >= 1, where
                known = step.explain(number, [int(i) for i in place], name)
                if known.terms and shown["sum"] is not None and which != "a":
                    sums += 1
                    scale = 1e-9 + sum(abs(term.value) for term in known.terms)
                    assert abs(float(shown["sum"]) - known.total) <= 1e-12 * scale, where
                if which == "g":
                    checks += shown["check"] == "ok"
                    assert shown["check"] in ("ok", "open", None), where
    assert sums > 15
    assert checks > 10 or page == "images"
    browser.assert_quiet()


def test_a_click_on_a_cell_chooses_its_entry(browser, layers):
    step, path = layers
    browser.open(path)
    z = step.number("z")
    (box,) = browser.find(f"#t-{z} .view[aria-label^='z,'][aria-label*='one sample']")
    canvas = box.find_element(By.TAG_NAME, "canvas")
    browser.run("arguments[0].scrollIntoView({block: 'center'})", canvas)
    width = canvas.size["width"]
    ActionChains(browser.driver).move_to_element_with_offset(
        canvas, int(-width / 2 + 0.75 * width), 8
    ).click().perform()
    sample = browser.run(
        "return [...document.querySelectorAll('#samples button')].findIndex(b => b.ariaChecked === 'true')"
    )
    assert browser.shown()["name"] == f"z[{sample}, 7] ="
    assert float(browser.shown()["value"]) == step["z"].value[sample, 7]


def test_everything_can_be_done_by_keyboard(browser, layers):
    _, path = layers
    browser.open(path)
    for _ in range(200):
        browser.press(Keys.TAB)
        active = browser.run(
            "const a = document.activeElement; return [a.getAttribute('role'), a.getAttribute('aria-label')]"
        )
        if active[0] == "grid" and active[1].startswith("W1"):
            break
    else:
        pytest.fail("Tab does not reach the first weight")
    browser.press(Keys.ENTER)
    assert browser.shown()["name"] == "W1[0, 0] ="
    browser.press(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert browser.shown()["name"] == "W1[0, 5] ="
    assert browser.shown()["live"].startswith("W1[0, 5] is ")
    cell = "document.activeElement.getAttribute('aria-activedescendant')"
    active = browser.run(f"return document.getElementById({cell}).textContent")
    assert active.startswith("W1[0, 5] is ")
    browser.press("g")
    assert browser.shown()["name"] == "dL/dW1[0, 5] ="
    browser.press(Keys.ESCAPE)
    assert browser.shown()["name"] is None
    before = browser.run("return document.querySelectorAll('.op.code').length")
    browser.press("c")
    assert browser.run("return document.querySelectorAll('.op.code').length") > before
    browser.press("[")
    assert "update" not in browser.run("return document.getElementById('now').textContent")
    browser.press("]", "n")
    assert browser.run("return document.querySelector('#samples [aria-checked=true]') !== null")


def test_the_address_follows_and_opens_the_same_page(browser, layers):
    step, path = layers
    number = step.number("W2")
    browser.open(path, f"n=2&sel={number},g,33")
    name = browser.shown()["name"]
    assert name == "dL/dW2[1, 13] ="
    browser.press(Keys.BACKSPACE)
    assert browser.shown()["name"] is None
    WebDriverWait(browser.driver, 5).until(lambda d: "sel" not in d.current_url)
    assert "n=2" in browser.driver.current_url


def test_factors_lead_from_the_loss_to_what_was_given(browser, layers):
    step, path = layers
    browser.open(path)
    for seed in range(5):
        rng = random.Random(seed)
        browser.choose(step.loss, "g" if seed % 2 else "v", 0)
        for _ in range(30):
            links = browser.find("#inspector table.terms tbody .lnk[title]")
            if not links:
                break
            browser.run("arguments[0].click()", rng.choice(links))
        name = browser.shown()["name"]
        assert name.startswith(("W", "b", "X", "t", "dL/dL")), name


def test_an_array_is_empty_before_its_event(browser, layers):
    _, path = layers
    browser.open(path)
    end = browser.run("return JSON.parse(document.getElementById('data').textContent).events.length")
    waiting = []
    for at in range(end + 1):
        browser.run("location.hash = arguments[0]; window.dispatchEvent(new Event('hashchange'))", f"at={at}")
        browser.run("document.querySelectorAll('.view').forEach(v => v.view.near || v.view.paint())")
        waiting.append(browser.run("return document.querySelectorAll('.view.future').length"))
    assert waiting == sorted(waiting, reverse=True)
    assert waiting[0] > waiting[3] > waiting[-2] > waiting[-1] == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 800, 375])
def test_it_fits_and_stays_quiet(browser, images, width, scheme):
    step, path = images
    browser.size(width, 800, scheme)
    browser.open(path, f"sel={step.number('W1') if 'W1' in [t.name for t in step.tensors] else 2},g,3")
    assert browser.run("return document.documentElement.dataset.theme") == scheme
    assert browser.shown()["value"] is not None
    browser.assert_quiet()
    browser.size(1280, 900)


def test_a_label_that_is_markup_stays_text(browser, images):
    step, path = images
    browser.open(path)
    z = step.number("z")
    browser.choose(z, "g", 0)
    assert "<script>alert(1)</script>" in browser.run(
        "return document.getElementById('samples').innerHTML.replaceAll('&lt;', '<').replaceAll('&gt;', '>')"
    )
    assert browser.run("return document.querySelectorAll('body script:not([type])').length") == 1
    browser.assert_quiet()


def test_the_questions_have_answers_at_numbers(browser, layers):
    _, path = layers
    browser.open(path)
    count = len(browser.find("#inspector .ask button"))
    assert 6 <= count <= 10
    texts = " ".join(b.text for b in browser.find("#inspector .ask button"))
    for part in ("zero", "pushes it most", "label of sample", "update do to the loss"):
        assert part in texts
    for k in range(count):
        browser.press(Keys.ESCAPE)
        browser.run("document.querySelectorAll('#inspector .ask button')[arguments[0]].click()", k)
        shown = browser.shown()
        assert shown["value"] is not None or browser.run("return document.activeElement.id") == "effect"
    browser.assert_quiet()


def test_why_a_gradient_is_zero(browser, layers):
    _, path = layers
    browser.open(path)
    (button,) = [b for b in browser.find("#inspector .ask button") if "zero" in b.text]
    browser.run("arguments[0].click()", button)
    assert float(browser.shown()["value"]) == 0
    assert "Zero, because every term is zero" in browser.shown()["text"]


def test_the_first_picture_comes_soon(browser, layers):
    _, path = layers
    times = []
    for _ in range(3):
        browser.open(path)
        times.append(int(browser.run("return document.documentElement.dataset.first")))
    assert min(times) < 900, f"{times} ms; 300 on an idle machine"


LAYERS = {
    "Linear": lambda: nn.Linear(6, 6),
    "ReLU": nn.ReLU,
    "Tanh": nn.Tanh,
    "Sigmoid": nn.Sigmoid,
    "LeakyReLU": nn.LeakyReLU,
    "GELU": nn.GELU,
    "Softmax": lambda: nn.Softmax(dim=1),
    "LayerNorm": lambda: nn.LayerNorm(6),
    "BatchNorm1d": lambda: nn.BatchNorm1d(6),
    "Dropout": nn.Dropout,
}


@given(
    names=st.lists(st.sampled_from(sorted(LAYERS)), min_size=0, max_size=4),
    loss=st.sampled_from([None, nn.MSELoss(), nn.L1Loss(), nn.BCEWithLogitsLoss()]),
    optimizer=st.sampled_from([optim.SGD, optim.Adam, optim.RMSprop]),
    seed=st.integers(0, 3),
)
@settings(
    max_examples=20 if settings.default.max_examples > 1000 else 5,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_pages_of_many_models_open_without_an_error(browser, tmp_path_factory, names, loss, optimizer, seed):
    manual_seed(seed)
    model = nn.Sequential(*(LAYERS[name]() for name in names), nn.Linear(6, 3))
    step = record(model, 6, loss_fn=loss, optimizer=optimizer)
    path = tmp_path_factory.mktemp("drawn") / "step.html"
    step.save(path)
    browser.open(path)
    for number, value in enumerate(step.tensors):
        for which, name in WHICH.items():
            if getattr(value, name) is not None:
                browser.choose(number, which, 0)
                assert float(browser.shown()["value"]) == float(getattr(value, name).flat[0])
    browser.assert_quiet()


def updated(optimizer, tmp_path, **options):
    manual_seed(0)
    step = record(nn.Linear(4, 3), 4, optimizer=lambda params, lr: optimizer(params, lr=lr, **options))
    step.save(tmp_path / "step.html")
    return step, tmp_path / "step.html"


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [(optim.SGD, {"momentum": 0.5, "weight_decay": 0.125}), (optim.AdamW, {"amsgrad": True}), (optim.RMSprop, {})],
)
def test_each_number_of_an_update_is_shown(browser, tmp_path, optimizer, options):
    step, path = updated(optimizer, tmp_path, **options)
    browser.open(path)
    browser.choose(step.number("W"), "a", 5)
    known = step.explain("W", (1, 1), "after")
    shown = browser.run("""return [...document.querySelectorAll("#inspector [data-step]")].map(e => +e.dataset.sum)""")
    assert shown == pytest.approx([known.total, *(part.total for part in known.steps)], rel=1e-12)
    assert float(browser.shown()["value"]) == known.exact
    (gradient, *_) = [x for x in browser.find("#inspector .terms .lnk") if x.get_attribute("title").startswith("dL/d")]
    gradient.click()
    assert browser.shown()["name"] == "dL/dW[1, 1] ="
    browser.assert_quiet()


class Signs(optim.SGD):
    def update(self, param, grad, state, options):
        param -= options["lr"] * np.sign(grad)


def test_an_optimizer_that_declares_nothing_shows_its_source(browser, tmp_path):
    step, path = updated(Signs, tmp_path)
    browser.open(path)
    browser.choose(step.number("W"), "a", 5)
    text = browser.shown()["text"]
    assert "does not declare" in text
    assert 'param -= options["lr"] * np.sign(grad)' in text
    browser.assert_quiet()


def test_a_window_names_its_largest_and_a_compound_its_entries(browser, images):
    step, path = images
    browser.open(path)
    pooled = next(op for op in step.ops if op.function.__name__ == "MaxPool2d")
    browser.choose(pooled.result, "v", 0)
    window = step.tensors[pooled.inputs[0]].value[0, 0, :2, :2].ravel()
    rows = browser.run("""return [...document.querySelector("#inspector .terms").querySelectorAll("tbody tr")]
        .map(e => [e.firstChild.textContent, e.className])""")
    assert [label for label, _ in rows] == ["p = 0, q = 0", "p = 0, q = 1", "p = 1, q = 0", "p = 1, q = 1"]
    assert [kind == "me" for _, kind in rows] == [k == window.argmax() for k in range(4)]
    browser.choose(step.number("logp"), "v", 1)
    browser.find("#inspector details.made summary")[0].click()
    assert len(browser.find("#inspector details.made .lnk")) == 3
    browser.find("#inspector details.made .lnk")[2].click()
    assert browser.shown()["name"] == "z[0, 2] ="
    browser.assert_quiet()


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        h = self.first(x)
        return self.last(h * h + h)


def test_each_gradient_of_a_value_used_twice_shows_its_terms(browser, tmp_path):
    manual_seed(0)
    step = record(Twice(), 4)
    step.save(tmp_path / "step.html")
    browser.open(tmp_path / "step.html")
    shares = step.explain("a", (0, 1), "grad").shares
    browser.choose(step.number("a"), "g", 1)
    titles = browser.run("""return [...document.querySelectorAll("#inspector h3")].map(e => e.textContent)""")
    assert [title.partition(":")[0] for title in titles[: len(shares)]] == ["From Mul", "From Mul", "From Add"]
    factors = {x.get_attribute("title") for x in browser.find("#inspector .terms .lnk")}
    assert factors == {factor.text for share in shares for term in share.terms for factor in term.factors}
    browser.assert_quiet()
