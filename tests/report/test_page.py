"""The report as a page: self-contained, safe with any name, and working in a real browser by mouse, touch and keys."""

from __future__ import annotations

import base64
import html
import re
import shutil
from dataclasses import replace
from importlib.util import find_spec
from io import BytesIO

import pytest
from PIL import Image

import cnnviz
from cnnviz.attribution import registry
from cnnviz.errors import UsageError
from cnnviz.imaging.recipe import read_recipe
from cnnviz.pipeline.command_line import command_line
from cnnviz.report.image_report import report_on_image
from cnnviz.report.page import report_page
from cnnviz.report.report_input import ReportInput
from cnnviz.report.settings import ReportSettings

WICKED = "a <b>&\"'  </script><script>document.title='gone'</script>.png"


def refuse(network, pixels, target):
    raise UsageError("It has no ReLU.")


METHODS = {
    "saliency": registry.METHODS["saliency"],
    "input-x-gradient": registry.METHODS["input-x-gradient"],
    "guided": replace(registry.METHODS["guided"], function=f"{__name__}.refuse"),
}


@pytest.fixture(scope="module")
def reports(squeezenet, samples):
    """Two pictures, one of a wicked name, at a small size."""
    found = []
    for name, file in (("chelsea.png", "chelsea.png"), (WICKED, "coffee.png")):
        pixels = cnnviz.read_image(samples / file, size=96)
        photo = Image.open(samples / file).convert("RGB")
        recipe = {"version": "1", "inputs": [name], "model": "squeezenet1_1", "seed": 0, "parameters": {"size": 96}}
        plan = ReportSettings(METHODS, ["fire3", "fire9"], channels=4, top=3, fool_into="goldfish")
        found.append(report_on_image(ReportInput(squeezenet, name, photo, pixels, recipe), plan))
    return found


@pytest.fixture(scope="module")
def page(reports, squeezenet) -> str:
    recipe = {"command": "report", "inputs": ["chelsea.png", WICKED], "model": "squeezenet1_1", "seed": 0}
    return report_page(reports, squeezenet, recipe, command_line, "A <title> & more")


def test_the_page_needs_nothing_else(page):
    assert not re.search(r"https?://|(?:src|href)=[\"'](?!data:|#)|@import|url\((?!data:)", page)
    assert "<title>A &lt;title&gt; &amp; more</title>" in page


def test_no_name_becomes_markup(page):
    assert page.count("<script") == 1
    assert "<b>&amp;" not in page and "document.title='gone'" not in page
    assert html.escape(WICKED, quote=False).split("'")[0].split('"')[0] in page


def test_every_picture_carries_the_recipe_that_is_printed_under_it(reports, page):
    figures = [
        f
        for report in reports
        for f in (*report.maps.figures, *report.grad_cams, report.adversarial_example.adversarial)
    ]
    assert len(figures) == 2 * (2 + 3 + 1)
    printed = [html.unescape(re.sub("<[^>]+>", "", code)) for code in re.findall(r"<code>(.*?)</code>", page)]
    for figure in figures:
        content = base64.b64decode(figure.uri.partition(",")[2])
        assert figure.uri in page
        assert read_recipe(content) == figure.recipe
        assert command_line(dict(figure.recipe)) in printed


def test_a_report_tells_what_the_network_says(reports, squeezenet, samples):
    report = reports[0]
    pixels = cnnviz.read_image(samples / "chelsea.png", size=96)
    assert report.predictions == squeezenet.predict(pixels, 3)[0]
    assert report.target == report.predictions[0]
    assert [figure.title for figure in report.grad_cams] == [label for _, label, _ in report.predictions]
    assert report.input_size == (pixels.shape[3], pixels.shape[2])
    assert report.maps.refused == {"guided backpropagation": "It has no ReLU."}


def test_the_fooling_example_is_the_file_that_fools(reports, squeezenet):
    from cnnviz.imaging.pixels import to_pixels

    example = reports[0].adversarial_example
    saved = Image.open(BytesIO(base64.b64decode(example.adversarial.uri.partition(",")[2])))
    _, label, probability = squeezenet.predict(to_pixels(saved), 1)[0][0]
    assert example.success and label == "goldfish"
    assert probability == pytest.approx(example.after[2], abs=1e-5)
    change = to_pixels(saved) - to_pixels(example.original.image)
    assert round(float(change.abs().max()) * 255) == example.levels <= 8


def test_layers_are_spread_over_the_depth_and_end_blocks(squeezenet):
    """Without side branches (a ResNet's shortcuts), and named as the papers do."""
    from cnnviz.network.default_layers import evenly_spaced_layers

    assert evenly_spaced_layers(squeezenet) == ["fire2", "fire4", "fire7", "fire9"]
    assert evenly_spaced_layers(squeezenet, 100) == ["relu1", *(f"fire{n}" for n in range(2, 10))]
    resnet = cnnviz.load_network("resnet18", weights="random", device="cpu")
    assert evenly_spaced_layers(resnet) == ["res2a", "res3a", "res4b", "res5b"]


if shutil.which("chromedriver") and find_spec("selenium"):  # elsewhere the page is tested as text only
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    @pytest.fixture
    def opened(browser, page, tmp_path):
        """The page in the browser, opened from disk; whatever the test does, the console stays silent."""
        file = tmp_path / "report.html"
        file.write_text(page, encoding="utf-8")
        browser.set_window_size(1200, 900)
        browser.get(file.as_uri())
        assert browser.find_element(By.TAG_NAME, "html").get_attribute("data-ready") == "yes"
        yield browser
        assert browser.get_log("browser") == []

    def cut(browser, number: int) -> float:
        """How much of a stage the photo covers, in percent, as it is laid out."""
        script = (
            "const stage = document.querySelectorAll('.stage')[arguments[0]];"
            "const edge = stage.querySelector('.edge').getBoundingClientRect(), box = stage.getBoundingClientRect();"
            "return 100 * ((edge.left + edge.right) / 2 - box.left) / box.width;"
        )
        return browser.execute_script(script, number)

    def test_all_pictures_are_shown_and_nothing_is_fetched(opened):
        broken = "return [...document.images].filter(i => !i.complete || !i.naturalWidth).length"
        assert opened.execute_script(broken) == 0
        fetched = "return performance.getEntriesByType('resource').map(r => r.name).filter(n => !n.startsWith('data:'))"
        assert opened.execute_script(fetched) == []
        assert opened.title == "A <title> & more"

    def test_the_slider_follows_the_mouse_and_the_keys(opened):
        stage = opened.find_elements(By.CSS_SELECTOR, ".stage")[0]
        opened.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", stage)
        assert cut(opened, 0) == pytest.approx(12, abs=0.5)
        quarter = round(stage.size["width"] / 4)
        mouse = ActionChains(opened, duration=0).move_to_element(stage).click_and_hold()
        mouse.move_by_offset(quarter, 0).release().perform()
        assert cut(opened, 0) == pytest.approx(75, abs=1)
        ActionChains(opened, duration=0).move_by_offset(-quarter, 0).perform()  # released: it stays
        assert cut(opened, 0) == pytest.approx(75, abs=1)
        slider = stage.find_element(By.TAG_NAME, "input")
        before = int(slider.get_property("value"))
        slider.send_keys(Keys.ARROW_RIGHT)
        assert cut(opened, 0) == pytest.approx(before + 1, abs=0.5)
        slider.send_keys(Keys.HOME)
        assert cut(opened, 0) == pytest.approx(0, abs=0.5)
        assert slider.get_attribute("aria-valuetext") == "0 % photo"
        assert cut(opened, 1) == pytest.approx(12, abs=0.5)

    def test_one_slider_moves_all_of_its_picture(opened):
        opened.find_elements(By.CSS_SELECTOR, ".all input")[0].send_keys(Keys.END)
        assert [round(cut(opened, n)) for n in range(4)] == [100, 100, 12, 12]

    def test_a_command_is_copied(opened):
        row = opened.find_element(By.CSS_SELECTOR, ".recipe")
        row.find_element(By.CSS_SELECTOR, ".copy").click()
        command = row.find_element(By.TAG_NAME, "code").get_property("textContent")
        assert row.find_element(By.CSS_SELECTOR, ".copy").text == "Copied"
        assert opened.find_element(By.ID, "status").get_property("textContent") == "The command was copied."
        opened.execute_script("document.body.prepend(Object.assign(document.createElement('textarea'), {id: 'paste'}))")
        field = opened.find_element(By.ID, "paste")
        field.send_keys(Keys.CONTROL, "v")
        assert (
            field.get_property("value")
            == command
            == "cnnviz classify chelsea.png --model squeezenet1_1 --seed 0 --size 96"
        )

    def test_dark_and_light(opened):
        paper = "return getComputedStyle(document.body).backgroundColor"
        first = opened.execute_script(paper)
        opened.find_element(By.ID, "theme").click()
        second = opened.execute_script(paper)
        assert {first, second} == {"rgb(247, 245, 241)", "rgb(17, 17, 20)"}

    def test_everything_is_reached_by_the_tab_key(opened):
        wanted = len(opened.find_elements(By.CSS_SELECTOR, "a, button, input"))
        reached = set()
        for _ in range(wanted + 2):
            ActionChains(opened).send_keys(Keys.TAB).perform()
            reached.add(opened.switch_to.active_element.id)
        assert len(reached) >= wanted

    def test_a_phone_need_not_scroll_sideways(opened):
        size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
        opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            assert opened.execute_script("return document.documentElement.scrollWidth") == 360
            right = "return Math.max(...[...document.querySelectorAll('img, code, p')].map(e => "
            right += "e.getBoundingClientRect().right))"
            assert opened.execute_script(right) <= 360
        finally:
            opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
