"""The interactive page: self-contained, safe with any file name, and working in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnviz.features.layout import scatter_layout
from cnnviz.figures.map_page import MapPoint, map_page

NAMES = ["plain.png", "</script><script>document.title='gone'</script>.png", "ünï & <b>bold</b> \u2028 .png", "d/e.png"]
COLORS = {"cats": "#0072b2", "cups": "#d55e00"}
POINTS = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 8.0], [9.0, 9.0]])


@pytest.fixture
def html() -> str:
    shapes = [(96, 64), (50, 96), (96, 96), (30, 10)]
    colors = ["red", "lime", "blue", "black"]
    thumbs = [Image.new("RGB", shape, color) for shape, color in zip(shapes, colors, strict=True)]
    kinds = ["cats", "cups", "cats", ""]
    marks = [MapPoint(name, kind, f"remark {n}") for n, (name, kind) in enumerate(zip(NAMES, kinds, strict=True))]
    return map_page(thumbs, scatter_layout(POINTS), POINTS, marks, COLORS, title="A <map> & more")


def data_of(html: str) -> dict:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', html, re.S)
    assert found
    return json.loads(found[1])


def test_the_page_needs_nothing_else(html: str):
    assert not re.search(r"https?://|src=[\"'](?!data:)|@import|url\(", html)
    assert "@DATA@" not in html and "@TITLE@" not in html
    assert "<title>A &lt;map&gt; &amp; more</title>" in html


def test_the_data_holds_every_picture(html: str):
    data = data_of(html)
    assert [item["file"] for item in data["items"]] == NAMES
    assert [item["kind"] for item in data["items"]] == [0, 1, 0, -1]
    assert data["kinds"] == [["cats", "#0072b2"], ["cups", "#d55e00"]]
    assert [max(item["size"]) for item in data["items"]] == [data["tile"]] * 4
    assert data["items"][2]["point"][1] < data["items"][0]["point"][1]  # upwards on the axis, upwards on the page
    assert data["atlas"].startswith("data:image/jpeg;base64,")


def test_no_file_name_ends_the_script(html: str):
    assert html.count("</script>") == 2
    assert "document.title='gone'" not in re.sub(r"\\u003c", "<", html).split('type="application/json">')[0]


BROWSER, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")

if BROWSER and DRIVER and find_spec("selenium"):  # elsewhere the page is tested as text only
    from selenium import webdriver
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    def opened(browser: webdriver.Chrome, html: str, folder: Path) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        page = folder / "map.html"
        page.write_text(html, encoding="utf-8")
        browser.get(page.as_uri())
        WebDriverWait(browser, 20).until(
            lambda driver: driver.find_element(By.TAG_NAME, "html").get_attribute("data-ready") == "yes"
        )

    def errors(browser: webdriver.Chrome) -> list[dict]:
        return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]

    def hover(browser: webdriver.Chrome, number: int) -> str:
        """The tooltip's text with the mouse over the middle of a picture."""
        where = (
            "const p = place(data.items[arguments[0]]);"
            "return [view.x + view.scale * (p.x + p.width / 2) - innerWidth / 2,"
            "        view.y + view.scale * (p.y + p.height / 2) - innerHeight / 2];"
        )
        x, y = browser.execute_script(where, number)
        canvas = browser.find_element(By.ID, "map")
        ActionChains(browser, duration=0).move_to_element_with_offset(canvas, round(x), round(y)).perform()
        return browser.find_element(By.ID, "tip").text

    def test_hovering_shows_the_file_and_its_class(browser, html, tmp_path):
        opened(browser, html, tmp_path)
        for number, name in enumerate(NAMES):
            lines = hover(browser, number).splitlines()
            assert " ".join(lines[0].split()) == " ".join(name.split())
            assert lines[-1] == f"remark {number}"
            assert lines[1:-1] == [["cats"], ["cups"], ["cats"], []][number]
        bar = browser.find_element(By.ID, "bar")
        ActionChains(browser, duration=0).move_to_element(bar).perform()
        assert browser.find_element(By.ID, "tip").get_attribute("hidden")
        assert browser.title == "A <map> & more"
        assert errors(browser) == []

    def test_what_is_drawn_is_what_was_given(browser, html, tmp_path):
        opened(browser, html, tmp_path)
        middle = (
            "const p = place(data.items[arguments[0]]), ratio = window.devicePixelRatio || 1;"
            "const x = (view.x + view.scale * (p.x + p.width / 2)) * ratio;"
            "const y = (view.y + view.scale * (p.y + p.height / 2)) * ratio;"
            "return [...pen.getImageData(x, y, 1, 1).data].slice(0, 3);"
        )
        for number, color in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)]):
            assert browser.execute_script(middle, number) == pytest.approx(color, abs=12)

    def test_zoom_drag_search_legend_and_exact_places(browser, html, tmp_path):
        opened(browser, html, tmp_path)
        scale = "return view.scale"
        before = browser.execute_script(scale)
        browser.find_element(By.ID, "closer").click()
        assert browser.execute_script(scale) == pytest.approx(1.5 * before)
        canvas = browser.find_element(By.ID, "map")
        ActionChains(browser, duration=0).scroll_from_origin(_origin(canvas), 0, -400).perform()
        assert browser.execute_script(scale) > 2 * before
        left = browser.execute_script("return view.x")
        ActionChains(browser, duration=0).move_to_element(canvas).click_and_hold().move_by_offset(
            50, 0
        ).release().perform()
        assert browser.execute_script("return view.x") == pytest.approx(left + 50)
        browser.find_element(By.ID, "all").click()
        assert browser.execute_script(scale) == pytest.approx(before)
        browser.find_element(By.ID, "find").send_keys("PLAIN")
        assert browser.execute_script("return data.items.map(shown)") == [True, False, False, False]
        browser.find_element(By.ID, "find").clear()
        browser.execute_script("element('find').oninput({target: {value: ''}})")
        browser.find_elements(By.CSS_SELECTOR, "#legend button")[0].click()
        assert browser.execute_script("return data.items.map(shown)") == [True, False, True, False]
        assert hover(browser, 2).splitlines()[1] == "cats"
        browser.find_elements(By.CSS_SELECTOR, "#legend button")[0].click()
        browser.find_element(By.ID, "layout").click()
        for number in range(4):
            assert hover(browser, number).splitlines()[-1] == f"remark {number}"
        assert errors(browser) == []

    def _origin(canvas):
        from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

        return ScrollOrigin.from_element(canvas)
