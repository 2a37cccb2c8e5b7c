"""The report of a run in a real browser: no message, no request, no sideways scrolling, in both schemes."""

import dataclasses
import re
import shutil

import pytest

import minitrain
from minitrain import nn
from minitrain.autograd import draw_tape
from minitrain.runs.config import Config
from minitrain.runs.run import train
from minitrain.study.report_page import report_page
from minitrain.study.run_record import read_run

webdriver = pytest.importorskip("selenium.webdriver", reason="the report is not tested: pip install selenium")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="the report is not tested: there is no chromium with its chromedriver"
)
EVIL = '<script>document.title = "run"</script><img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def driver():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    settings = {"dataset": "digits", "epochs": 2, "batch_size": 32, "lr": 0.1, "layers_every": 5}
    return [
        read_run(train(Config(**settings, hidden=hidden), folder / f"run-{number}"))
        for number, hidden in enumerate([(16,), (12, 8)])
    ]


def show(driver, path, width, scheme):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.get_log("performance")
    driver.get(path.as_uri())


def requests(driver):
    """The addresses that the page asked for, its own file and pictures within it left out."""
    found = re.findall(
        r'"Network.requestWillBeSent".*?"url":"(.*?)"',
        "\n".join(entry["message"] for entry in driver.get_log("performance")),
    )
    return [address for address in found if not address.startswith(("data:", "file:", "about:"))]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 800])
@pytest.mark.parametrize("kind", ["one", "several", "evil"])
def test_the_page_opens_silently_and_fits(driver, records, kind, width, scheme, tmp_path):
    evil = dataclasses.replace(records[0], classes=[EVIL] * 10, path=tmp_path / EVIL.replace("/", "|"))
    pages = {"one": records[:1], "several": records, "evil": [evil]}
    path = tmp_path / "report.html"
    path.write_text(report_page(pages[kind]), encoding="utf-8")
    show(driver, path, width, scheme)
    assert driver.get_log("browser") == []
    assert requests(driver) == []
    run = driver.execute_script
    assert run("return document.documentElement.scrollWidth") <= width
    assert run("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")
    background = run("return getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(251, 250, 248)", "dark": "rgb(18, 19, 23)"}[scheme]
    # Labels lie within their pictures' sections, and no two of a chart overlap.
    assert run("""
        return [...document.querySelectorAll('svg')].every(svg => {
            const boxes = [...svg.querySelectorAll('.end')].map(label => label.getBoundingClientRect());
            return boxes.every((box, i) => box.right <= innerWidth &&
                boxes.every((other, j) => i === j || Math.abs(box.y - other.y) > 10));
        })""")
    # What stands side by side is aligned: the charts of loss and accuracy, the bars of the classes.
    assert run("""
        const edges = (selector, edge) => new Set([...document.querySelectorAll(selector)].map(
            e => Math.round(e.getBoundingClientRect()[edge])));
        return (innerWidth < 1100 || edges('.two svg', 'bottom').size === 1) &&
            [...document.querySelectorAll('.half')].every(
                half => new Set([...half.querySelectorAll('.track')].map(t => t.getBoundingClientRect().x)).size === 1);
        """)
    if kind == "evil":
        assert run("return document.title").startswith("Report of a run: <script>")
        assert run("return document.scripts.length") == 0


@pytest.mark.parametrize("width", [1280, 800, 500])
def test_the_numbers_beside_a_chart_are_readable_at_every_width(driver, records, width, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(report_page(records[:1]), encoding="utf-8")
    show(driver, path, width, "light")
    sizes = driver.execute_script("""
        return [...document.querySelectorAll('svg')].flatMap(svg => [...svg.querySelectorAll('.tick')].map(
            tick => parseFloat(getComputedStyle(tick).fontSize) * svg.getScreenCTM().a))""")
    assert 9 <= min(sizes) <= max(sizes) <= 17
    assert driver.execute_script("""
        return [...document.querySelectorAll('svg .tick')].every(tick => tick.getBoundingClientRect().left >= 0)""")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_boxes_of_a_tape_are_reached_by_keyboard_and_show_their_notes(driver, scheme, tmp_path):
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    loss = nn.CrossEntropyLoss()(model(minitrain.rand(4, 8)), minitrain.tensor([0, 1, 2, 0]))
    loss.backward()
    path = tmp_path / "tape.svg"
    draw_tape(loss, model).save(path)
    show(driver, path, 1280, scheme)
    assert driver.get_log("browser") == []
    visible = "return [...document.querySelectorAll('[data-note]')].filter(n => getComputedStyle(n).display !== 'none')"
    assert driver.execute_script(visible) == []
    seen = []
    for _ in range(9):
        webdriver.ActionChains(driver).send_keys("\ue004").perform()  # Tab
        (note,) = driver.execute_script(visible)
        title = driver.execute_script("return document.activeElement.querySelector('title').textContent")
        assert driver.execute_script("return arguments[0].querySelector('text').textContent", note) in title
        assert driver.execute_script(
            "const r = arguments[0].getBoundingClientRect(), s = document.documentElement.getBoundingClientRect();"
            "return r.left >= s.left && r.right <= s.right && r.top >= s.top && r.bottom <= s.bottom",
            note,
        )
        ring = driver.execute_script(
            "const s = getComputedStyle(document.activeElement.querySelector('rect')); return [s.stroke, s.strokeWidth]"
        )
        assert ring == [{"light": "rgb(27, 29, 34)", "dark": "rgb(236, 234, 230)"}[scheme], "3px"]
        seen.append(title.split()[0])
    assert seen == ["#1", "#2", "#3", "#4", "#5", "2.weight", "2.bias", "0.weight", "0.bias"]


def test_the_first_picture_comes_at_once(driver, records, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(report_page(records[:1]), encoding="utf-8")
    show(driver, path, 1280, "light")
    painted = driver.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => setTimeout(() => "
        "done(performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? performance.now())))"
    )
    assert painted < 3000  # milliseconds; about 100 on an idle machine


def test_the_details_of_a_run_open_by_keyboard(driver, records, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(report_page([*records, records[0]]), encoding="utf-8")
    show(driver, path, 1280, "light")
    assert driver.execute_script("return [...document.querySelectorAll('details')].map(d => d.open)") == [False] * 3
    driver.execute_script("document.querySelector('summary').focus()")
    driver.switch_to.active_element.send_keys(" ")
    assert driver.execute_script("return document.querySelector('details').open")
