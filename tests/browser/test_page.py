"""The report page in a real browser: it opens offline, does what it says, and runs nothing that came from outside."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from data.report.synthetic import default_sweep, sweep
from servegrid.report.page.build import page
from servegrid.report.result_table import ResultTable
from servegrid.report.settings import Settings
from servegrid.util.files import write_json

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


def made(folder: Path, points: pd.DataFrame, parts: dict[str, Any] | None = None, title: str = "A sweep") -> str:
    folders = {name: folder / name for name in ("sessions", "timelines", "figures")}
    path = folder / "report.html"
    path.write_text(
        page(ResultTable.of(points, Settings(title)), parts or {}, folders, '{"model": "builtin"}'), encoding="utf-8"
    )
    return path.as_uri()


def opened(browser: WebDriver, url: str) -> None:
    browser.get("about:blank")
    browser.get(url)
    ready = "return document.documentElement.dataset.ready === 'yes'"
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(ready))


def complaints(browser: WebDriver) -> list[Any]:
    return [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def rows(browser: WebDriver) -> list[list[str]]:
    """Texts of the table's body as shown."""
    cells = "[...document.querySelectorAll('#table tbody tr:not(.why)')].map(tr => [...tr.cells].map(td => td.innerText.trim()))"
    found: list[list[str]] = browser.execute_script(f"return {cells}")
    return found


def header(browser: WebDriver, title: str) -> WebElement:
    found = browser.find_elements(By.CSS_SELECTOR, "#table thead th")
    return next(each for each in found if each.text.strip() == title)


def column(browser: WebDriver, title: str) -> list[str]:
    titles = [each.text.strip() for each in browser.find_elements(By.CSS_SELECTOR, "#table thead th")]
    return [row[titles.index(title)] for row in rows(browser)]


def click(browser: WebDriver, what: WebElement) -> None:
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", what)
    what.click()


def cut_off(browser: WebDriver) -> list[str]:
    """Ids of the figures that are higher than the place they have, or of whose names some are out of sight."""
    higher = "p.querySelector('.main-svg').getBoundingClientRect().height > p.clientHeight + 1"
    scrolled = "p.querySelector('.legend .scrollbar')?.getBoundingClientRect().height > 0"
    plots = "[...document.querySelectorAll('.plot')]"
    found: list[str] = browser.execute_script(f"return {plots}.filter(p => {higher} || {scrolled}).map(p => p.id)")
    return found


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made(tmp_path_factory.mktemp("default"), default_sweep())


def test_opens_offline_without_a_complaint(browser: WebDriver, url: str) -> None:
    opened(browser, url)
    assert complaints(browser) == []
    assert len(rows(browser)) == 48
    assert len(browser.find_elements(By.CSS_SELECTOR, ".plot .main-svg")) >= 4


def test_failures_are_in_sight(browser: WebDriver, url: str) -> None:
    opened(browser, url)
    assert sum(status == "failed" for status in column(browser, "status")) == 2
    why = [each.text for each in browser.find_elements(By.CSS_SELECTOR, "#table tr.why")]
    assert sorted(why) == sorted(default_sweep()["reason"].dropna()) and sum("SIGKILL" in reason for reason in why) == 2
    below = "return document.querySelector('#table tr.failed').nextElementSibling.textContent"
    assert "SIGKILL" in browser.execute_script(below)


def test_sorts_by_number(browser: WebDriver, url: str) -> None:
    opened(browser, url)
    click(browser, header(browser, "time (s)"))
    seconds = [float(text.split()[0].replace(",", "")) for text in column(browser, "time (s)") if text]
    assert len(seconds) == 30 and seconds == sorted(seconds)
    click(browser, header(browser, "time (s)"))
    shown = column(browser, "time (s)")
    assert shown[0].startswith("50.1") and shown[-1] == "", "what is unknown stays at the end"


def test_filters_by_axis_and_by_word(browser: WebDriver, url: str) -> None:
    opened(browser, url)
    label = next(
        x for x in browser.find_elements(By.CSS_SELECTOR, "#filters label") if x.text.startswith("speculation")
    )
    Select(label.find_element(By.TAG_NAME, "select")).select_by_visible_text("ngram:2")
    assert set(column(browser, "speculation")) == {"ngram:2"} and len(rows(browser)) == 16
    browser.find_element(By.CSS_SELECTOR, ".dt-search input").send_keys("llamacpp int8")
    assert len(rows(browser)) == 4


def test_columns_can_be_chosen(browser: WebDriver, url: str) -> None:
    opened(browser, url)
    assert "host" not in [each.text for each in browser.find_elements(By.CSS_SELECTOR, "#table thead th")]
    click(browser, browser.find_element(By.CSS_SELECTOR, "button.buttons-colvis"))
    choices = browser.find_elements(By.CSS_SELECTOR, ".dt-button-collection .buttons-columnVisibility")
    click(browser, next(each for each in choices if each.text.strip() == "requests ok"))
    assert "24" in column(browser, "requests ok")


def test_a_point_has_a_page_of_its_own(browser: WebDriver, folder: Path) -> None:
    points = sweep()
    points["server_id"] = "llamacpp-cpu-0123456789"
    launch = {
        "command": ["llama-server", "--port", "8080"],
        "environment": {"A": "b c"},
        "log_tail": ["loaded", "ready"],
    }
    path = folder / "sessions" / "llamacpp-cpu-0123456789" / "rep1" / "session.json"
    path.parent.mkdir(parents=True)
    write_json(path, {"launches": [launch], "host": {"name": "box"}})
    opened(browser, made(folder, points))
    click(browser, browser.find_element(By.LINK_TEXT, "3"))
    text = browser.find_element(By.ID, "point").text
    assert "Point 3" in text and "A='b c' llama-server --port 8080" in text and "loaded\nready" in text
    assert not browser.find_element(By.ID, "report").is_displayed()
    click(browser, browser.find_element(By.LINK_TEXT, "Back to all points"))
    assert browser.find_element(By.ID, "report").is_displayed()


@pytest.mark.parametrize("how", ["link", "history"])
def test_the_way_back_from_a_point_leads_to_its_row(browser: WebDriver, folder: Path, how: str) -> None:
    opened(browser, made(folder, sweep(quantization=["none", "a", "b", "c", "d"])))
    click(browser, browser.find_element(By.LINK_TEXT, "31"))
    assert browser.switch_to.active_element.text == "Point 31"
    assert browser.switch_to.active_element.value_of_css_property("outline-style") == "none"
    if how == "link":
        browser.find_element(By.LINK_TEXT, "Back to all points").click()
    else:
        browser.back()
    WebDriverWait(browser, 20).until(lambda driver: driver.find_element(By.ID, "report").is_displayed())
    WebDriverWait(browser, 20).until(lambda driver: driver.switch_to.active_element.text == "31")
    place = (
        "const box = document.activeElement.getBoundingClientRect(); return [box.top, window.innerHeight - box.bottom]"
    )
    assert min(browser.execute_script(place)) >= 0, "the row is in sight"


def test_nothing_from_outside_runs(browser: WebDriver, folder: Path) -> None:
    points = sweep(engine=["llamacpp", HOSTILE], speculation=["none", HOSTILE])
    points["reason"], points["host"], points["server_id"] = HOSTILE, HOSTILE, "s"
    path = folder / "sessions" / "s" / "rep1" / "session.json"
    path.parent.mkdir(parents=True)
    write_json(path, {"launches": [{"command": [HOSTILE], "log_tail": [HOSTILE]}], "host": {"name": HOSTILE}})
    answer = {"lead": HOSTILE, "figures": [], "over": [HOSTILE], "commands": []}
    opened(browser, made(folder, points, {"answer": answer, "facts": [HOSTILE]}, HOSTILE))
    click(browser, browser.find_element(By.LINK_TEXT, "2"))
    assert HOSTILE in browser.find_element(By.ID, "point").text
    assert browser.title == HOSTILE and complaints(browser) == []
    assert not browser.find_elements(By.CSS_SELECTOR, "img[src='x']")


def test_ten_thousand_points(browser: WebDriver, folder: Path) -> None:
    points = sweep(
        engine=[f"e{n}" for n in range(10)], threads=list(range(1, 251)), quantization=["none", "a", "b", "c"]
    )
    assert len(points) == 10_000
    opened(browser, made(folder, points))
    assert len(rows(browser)) == 50 and complaints(browser) == []
    browser.find_element(By.CSS_SELECTOR, ".dt-search input").send_keys("e7 ")
    assert "of 1,000 entries" in browser.find_element(By.CSS_SELECTOR, ".dt-info").text
    assert set(column(browser, "engine")) == {"e7"}


def test_a_phone_needs_no_sideways_scrolling_of_the_page(browser: WebDriver, url: str) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)  # type: ignore[attr-defined]
    try:
        opened(browser, url)
        wide, window = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= window == 390
        assert not cut_off(browser)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})  # type: ignore[attr-defined]


def test_claims_are_stacked_on_a_phone(browser: WebDriver, folder: Path) -> None:
    claim = {"kind": "unclear", "verdict": "no difference shown", "says": "speculation raises throughput"}
    claim |= {
        "effect": "0.875 times (0.725-1.06, 95 % interval over 3 and 3 sessions, for all pairs of 32 points)",
        "rows": "measured: " + "x " * 150,
    }
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)  # type: ignore[attr-defined]
    try:
        opened(browser, made(folder, sweep(), {"claims": [claim]}))
        right = "[...document.querySelectorAll('#claims td')].map(td => td.getBoundingClientRect().right)"
        assert (
            len(browser.execute_script(f"return {right}")) == 4
            and max(browser.execute_script(f"return {right}")) <= 390
        )
        assert browser.execute_script("return document.querySelector('#claims tbody tr').clientHeight") < 300
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})  # type: ignore[attr-defined]


def test_figures_keep_their_height_when_the_window_changes(browser: WebDriver, url: str) -> None:
    opened(browser, url)
    heights = "return [...document.querySelectorAll('.plot .main-svg:first-child')].map(x => x.clientHeight)"
    before = browser.execute_script(heights)
    narrower = {"width": 800, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrower)  # type: ignore[attr-defined]
    try:
        redrawn = "return document.querySelector('.plot .main-svg').clientWidth < 800"
        WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(redrawn))
        assert browser.execute_script(heights) == before and max(before) > 600
        assert not cut_off(browser)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})  # type: ignore[attr-defined]


def test_figures_fit_on_paper(browser: WebDriver, url: str) -> None:
    opened(browser, url)
    sizes = "[...document.querySelectorAll('.plot .main-svg:first-child')].map(x => [x.clientWidth, x.clientHeight])"
    largest = f"const all = {sizes}; return [0, 1].map(side => Math.max(...all.map(size => size[side])))"
    paper_mm = (297 - 2 * 10, 210 - 2 * 10)  # A4 across, less the margins that the page asks for
    across, down = (side / 25.4 * 96 for side in paper_mm)
    before = browser.execute_script(largest)
    assert before[0] > across and before[1] > 600
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(largest)[0] <= across)
    assert browser.execute_script(largest)[1] < down - 100, "with room for the caption"
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(largest) == before)


def printed(browser: WebDriver) -> None:
    """As on a sheet of A4 across."""
    sheet = {"width": 1047, "height": 718, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", sheet)  # type: ignore[attr-defined]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})  # type: ignore[attr-defined]
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")


def on_screen(browser: WebDriver) -> None:
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})  # type: ignore[attr-defined]
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})  # type: ignore[attr-defined]


@pytest.mark.parametrize(("quantizations", "rows_printed", "words"), [(25, 200, "200"), (70, 50, "560")])
def test_paper_has_all_rows_or_says_which(
    browser: WebDriver, folder: Path, quantizations: int, rows_printed: int, words: str
) -> None:
    points = sweep(quantization=["none", *(f"q{n}" for n in range(1, quantizations))])
    points["warnings"] = "shared host; energy window short; energy from power samples; speculation changes texts"
    opened(browser, made(folder, points))
    assert len(rows(browser)) == 50
    try:
        printed(browser)
        assert len(rows(browser)) == rows_printed
        assert (
            f"Showing 1 to {rows_printed} of {words} entries" in browser.find_element(By.CSS_SELECTOR, ".dt-info").text
        )
        assert not browser.find_element(By.CSS_SELECTOR, ".dt-length").is_displayed()
        assert browser.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
        assert browser.execute_script("return document.getElementById('table').getBoundingClientRect().right") <= 1047
        assert "output tokens/s" in [each.text.strip() for each in browser.find_elements(By.CSS_SELECTOR, "#table th")]
    finally:
        on_screen(browser)
    assert len(rows(browser)) == 50
    assert browser.execute_script("return document.querySelectorAll('details[open]').length") == 0


def test_every_tick_of_a_logarithmic_axis_says_its_whole_number(browser: WebDriver, folder: Path) -> None:
    opened(browser, made(folder, sweep(change=lambda row: row | {"time_s": 2000 / row["threads"]})))
    assert browser.execute_script("return document.getElementById('plot-threads').layout.yaxis.type") == "log"
    texts = "return [...document.querySelectorAll('#plot-threads .ytick text')].map(x => x.textContent)"
    assert browser.execute_script(texts) == [f"{n * 10**power:,}" for power in range(4) for n in (1, 2, 5)][5:-1]


def test_a_click_on_a_mark_opens_its_point(browser: WebDriver, url: str) -> None:
    opened(browser, url)
    mark = browser.find_element(By.CSS_SELECTOR, "#plot-pareto-server .scatterlayer .point")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", mark)
    ActionChains(browser).move_to_element(mark).pause(0.3).click().perform()
    WebDriverWait(browser, 20).until(lambda driver: driver.find_element(By.ID, "point").is_displayed())
    assert browser.find_element(By.CSS_SELECTOR, "#point h2").text.startswith("Point ")


def test_is_usable_without_a_mouse(browser: WebDriver, url: str) -> None:
    opened(browser, url)
    named = "return [...document.querySelectorAll('select,input')].every(x => x.labels.length > 0 || x.ariaLabel)"
    assert browser.execute_script(named)
    unnamed = "return [...document.querySelectorAll('img:not([alt]), th:not([scope]):not([class])')].length"
    assert browser.execute_script(unnamed) == 0
    assert browser.execute_script("return document.documentElement.lang") == "en"


def test_the_tables_key_columns_are_in_sight_on_a_desktop(browser: WebDriver, folder: Path) -> None:
    why = "vLLM has no quantization int8 (it has none, fp8, fp8_per_tensor, fp8_per_block, fp8_per_channel, awq, gptq)"
    points = sweep(gpu=["a6000", "rtx4090"], speculation=["none", "ngram:2"], quantization=["none", "int8"])
    points["warnings"] = "shared host; energy window short; energy from power samples; speculation changes texts"
    points.loc[3, ["status", "reason", "time_s"]] = ["unsupported", why, None]
    desktop = {"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", desktop)  # type: ignore[attr-defined]
    try:
        opened(browser, made(folder, points))
        heads = "[...document.querySelectorAll('#table thead th')]"
        right = f"{heads}.map(th => [th.innerText.trim(), th.getBoundingClientRect().right])"
        ends = dict(browser.execute_script(f"return {right}"))
        keys = ("engine", "gpu", "threads", "speculation", "quantization", "status", "time (s)", "output tokens/s")
        assert max(ends[key] for key in (*keys, "TTFT p50 (ms)", "TTFT p99 (ms)", "ITL p50 (ms)")) < 1353
        heights = "[...document.querySelectorAll('#table tbody tr, #table thead')].map(x => x.clientHeight)"
        header_height, *row_heights = browser.execute_script(f"return {heights}")
        assert header_height < 110 and max(row_heights) < 40
        browser.execute_script("document.querySelector('.scrolled').scrollTo(2000, 300)")
        boxes = "[...document.querySelector('#table tbody tr').cells].slice(0, 2).map(td => td.getBoundingClientRect())"
        number, engine = browser.execute_script(f"return {boxes}.map(box => [box.left, box.right])")
        assert 30 < number[0] < number[1] <= engine[0] + 1 < 140, "what names the row stays in sight"
        tops = "['#table thead th', '.scrolled'].map(x => document.querySelector(x).getBoundingClientRect().top)"
        header_top, box_top = browser.execute_script(f"return {tops}")
        assert abs(header_top - box_top) < 2, "and the header"
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})  # type: ignore[attr-defined]


def test_an_axis_on_which_all_points_are_the_same_is_said_once(browser: WebDriver, folder: Path) -> None:
    opened(browser, made(folder, sweep(quantization=["none", "int8"])))
    titles = [each.text.strip() for each in browser.find_elements(By.CSS_SELECTOR, "#table thead th")]
    assert "gpu" not in titles and "speculation" not in titles and "quantization" in titles
    assert "The same for all: cpu, speculation none." in browser.find_element(By.ID, "points").text


def test_numbers_are_filtered_in_their_order(browser: WebDriver, folder: Path) -> None:
    opened(browser, made(folder, sweep(threads=[1, 1024, 16, 256, 24])))
    label = "[...document.querySelectorAll('#filters label')].find(x => x.textContent.startsWith('threads'))"
    texts = browser.execute_script(f"return [...{label}.querySelectorAll('option')].map(x => x.textContent)")
    assert texts == ["all", "1", "16", "24", "256", "1,024"]
