"""The tables that stand as files of their own, in a real browser."""

from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from data.report.synthetic import Row, sweep
from servegrid.report.result_table import ResultTable
from servegrid.report.settings import Settings
from servegrid.report.tables.point_tables import comparison_table
from servegrid.report.tables.table import condense
from servegrid.report.tables.write import to_html

WHY = "vLLM has no quantization q8_0 (it has none, fp8, fp8_per_tensor, fp8_per_block, fp8_per_channel, awq, gptq)"


def lacking(row: Row) -> Row:
    if row["quantization"] != "q8_0" or row["engine"] != "vllm":
        return row
    known = ("engine", "gpu", "threads", "speculation", "quantization")
    return {axis: row[axis] for axis in known} | {"status": "unsupported", "reason": WHY}


@pytest.fixture
def opened(browser: WebDriver, folder: Path) -> WebDriver:
    points = sweep(engine=["vllm", "llamacpp"], gpu=["a", "b"], quantization=["none", "q8_0"], change=lacking)
    path = folder / "comparison.html"
    path.write_text(to_html(condense(comparison_table(ResultTable.of(points, Settings("A sweep"))))), encoding="utf-8")
    wide = {"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", wide)  # type: ignore[attr-defined]
    browser.get(path.as_uri())
    return browser


def test_key_columns_are_in_sight_and_no_row_is_tall(opened: WebDriver) -> None:
    right = (
        "[...document.querySelectorAll('thead th')].map(th => [th.innerText.trim(), th.getBoundingClientRect().right])"
    )
    ends = dict(opened.execute_script(f"return {right}"))
    assert max(ends[name] for name in ("status", "time (s)", "output tokens/s", "TTFT p99 (ms)", "ITL p50 (ms)")) < 1400
    heights = "[...document.querySelectorAll('tbody tr')].map(tr => tr.clientHeight)"
    assert 0 < max(opened.execute_script(f"return {heights}")) < 40
    assert opened.execute_script("return document.querySelector('thead').clientHeight") < 120


def test_a_reason_stays_below_its_row_when_sorted_and_in_sight_when_scrolled(opened: WebDriver) -> None:
    opened.find_element(By.XPATH, "//thead//button[normalize-space()='time (s)']").click()
    before = "[...document.querySelectorAll('tr.why')].map(tr => tr.previousElementSibling.cells[6].innerText)"
    assert opened.execute_script(f"return {before}") == ["unsupported"] * 8
    left = "document.querySelector('tr.why div').getBoundingClientRect().left"
    opened.execute_script("document.querySelector('.wide').scrollLeft = 2000")
    assert 0 < opened.execute_script(f"return {left}") < 200
    boxes = "[...document.querySelector('tbody tr:not(.why)').cells].slice(0, 2).map(td => td.getBoundingClientRect())"
    number, engine = opened.execute_script(f"return {boxes}.map(box => [box.left, box.right])")
    assert 0 < number[0] < number[1] <= engine[0] + 1 < 200, "the row's name stays, its number beside it"
