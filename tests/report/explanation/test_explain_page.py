"""The slice viewer in a real browser, driven by mouse, wheel, keys and touch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pectl.core.decisions.decisions import Decisions
from pectl.core.stores.study_store import Study
from pectl.explanation.explainer import Explanation, find_peak
from pectl.explanation.heat_geometry import left_share, source_heat
from pectl.report.explanation.case import Case
from pectl.report.explanation.page import write_explanation

StudyFactory = Callable[..., Study]
HOT = (25, 12, 16)
SHOWN = "Number(document.getElementById('slice').dataset.index)"
PIXEL = "[...document.getElementById('slice').getContext('2d').getImageData({}, {}, 1, 1).data].slice(0, 3)"
CHANGED = "(() => {{ const e = document.getElementById('{}'); e.value = {}; e.dispatchEvent(new Event('{}')); }})()"


@pytest.fixture
def page(make_study: StudyFactory, tmp_path: Path) -> Path:
    """60 slices of water with a hot spot, and a cooler one 30 slices above."""
    study = make_study(shape=(60, 24, 24), positive=slice(20, 30))
    study.hu[:] = 100
    heat = np.zeros(study.hu.shape, np.float32)
    heat[HOT], heat[55, 3, 3] = 1.0, 0.5
    slice_heat = heat.max(axis=(1, 2))
    starts = np.arange(0, 60, 10)
    attention = np.full((9, 6), 0.1, np.float32)
    attention[3, 2] = 0.5
    explanation = Explanation(
        uid=study.uid,
        label="central_pe",
        method="layer-cam",
        heat=heat,
        slice_heat=slice_heat,
        source_heat=source_heat(study, slice_heat),
        length=10,
        window_start=starts,
        window_logit=np.zeros(6, np.float32),
        refined_logit=np.array([-5, -5, 5, -5, -5, -5], np.float32),
        attention=attention,
        exam_score=dict.fromkeys(Decisions().calibrators, 0.5),
        peak=find_peak(study, heat),
        left_share=left_share(study, heat),
        seconds=1.0,
    )
    case = Case(
        study=study,
        explanation=explanation,
        measures={},
        measured_against={},
        decisions=Decisions(),
        lineage={},
        seen_as=None,
    )
    write_explanation(tmp_path, case)
    return tmp_path / "index.html"


@pytest.fixture
def viewer(browser, page):
    """The page, open at its hottest slice."""
    browser.resize(1280, 900)
    browser.open(page)
    browser.wait(f"{SHOWN} === {HOT[0]}")
    return browser


def test_it_opens_at_the_hottest_slice_without_network_or_errors(viewer) -> None:
    assert "Slice 26 of 60" in viewer.run("document.getElementById('where').textContent")
    assert "labelled PE" in viewer.run("document.getElementById('where').textContent")
    assert [address[:8] for address in viewer.requests] == ["file:///"]
    assert viewer.complaints == []


def test_wheel_keys_slider_and_strip_scroll(viewer) -> None:
    viewer.wheel("document.getElementById('slice')", 90)
    viewer.wait(f"{SHOWN} === 22")
    for name, index in (("ArrowUp", 23), ("PageUp", 33), ("ArrowDown", 32), ("Home", 59), ("End", 0)):
        viewer.press(name)
        viewer.wait(f"{SHOWN} === {index}")
    viewer.run("document.getElementById('index').focus()")
    viewer.press("ArrowRight")
    viewer.wait(f"{SHOWN} === 1")
    viewer.click("document.querySelector('#strip')")
    viewer.wait(f"Math.abs({SHOWN} - 29.5) < 2")
    assert viewer.run("document.getElementById('strip').getAttribute('aria-valuenow')") in ("29", "30", "31")


def test_keys_leave_the_rest_of_the_page_alone(viewer) -> None:
    viewer.run("document.activeElement.blur()")
    viewer.press("PageDown")
    viewer.press("h")
    assert viewer.run(SHOWN) == HOT[0]
    assert viewer.run("document.getElementById('heat-on').checked")


def test_heat_is_painted_toggled_and_fades_with_opacity(viewer) -> None:
    hot, cold = PIXEL.format(HOT[2], HOT[1]), PIXEL.format(2, 20)
    assert viewer.run(cold) == pytest.approx([127, 127, 127], abs=2)  # 100 HU is the middle of the PE range
    red, _, blue = viewer.run(hot)
    assert red > blue + 20
    viewer.click("document.querySelector('#heat-on')")
    viewer.wait(f"({hot})[0] === ({hot})[2]")
    assert viewer.run(hot) == viewer.run(cold)
    viewer.run("document.getElementById('slice').focus()")
    viewer.press("h")
    viewer.wait(f"({hot})[0] > ({hot})[2] + 20")
    viewer.run(CHANGED.format("opacity", 0, "input"))
    viewer.wait(f"({hot})[0] === ({hot})[2]")


def test_hu_ranges_change_the_grey(viewer) -> None:
    cold = PIXEL.format(2, 20)
    buttons = "[...document.querySelectorAll('.range-button')].map(b => b.textContent + b.getAttribute('aria-pressed'))"
    assert viewer.run(buttons) == ["PEtrue", "Mediastinalfalse", "Lungfalse"]
    viewer.click("document.querySelector('.range-button:nth-of-type(2)')")
    viewer.wait(f"Math.abs(({cold})[0] - 165.75) < 2")  # (100 + 160) / 400 of 255
    viewer.run("document.getElementById('slice').focus()")
    viewer.press("3")
    viewer.wait(f"({cold})[0] > 240")  # (100 + 1350) / 1500
    assert viewer.run(buttons) == ["PEfalse", "Mediastinalfalse", "Lungtrue"]


def test_hot_slices_are_a_click_or_a_key_away(viewer) -> None:
    assert viewer.run("[...document.querySelectorAll('#hot button')].map(b => b.textContent)") == ["26", "56"]
    viewer.click("document.querySelector('#hot button:nth-of-type(2)')")
    viewer.wait(f"{SHOWN} === 55")
    viewer.run("document.getElementById('slice').focus()")
    viewer.press("n")
    viewer.wait(f"{SHOWN} === 25")


def test_attention_of_another_label_changes_the_strip(viewer) -> None:
    column = (
        "(() => { const s = document.getElementById('strip'), y = Math.round(s.height * 0.6);"
        " return [...s.getContext('2d').getImageData(Math.round(s.width * 0.55), y, 1, 1).data]; })()"
    )
    even = viewer.run(column)
    viewer.run(CHANGED.format("attention", 3, "change"))
    assert viewer.run(column) == even  # at its maximum in that window for both
    other = column.replace("0.6", "0.2")
    assert viewer.run(other)[3] < even[3]


def test_a_finger_scrolls_on_a_phone_that_shows_all(browser, page) -> None:
    browser.resize(390, 844)
    browser.open(page)
    browser.wait(f"{SHOWN} === {HOT[0]}")
    browser.swipe("document.getElementById('slice')", 40)
    browser.wait(f"{SHOWN} === {HOT[0] - 10}")
    assert browser.run("document.documentElement.scrollWidth") <= 390


def test_every_control_has_a_name_and_a_place_in_the_tab_order(viewer) -> None:
    names = viewer.run(
        "[...document.getElementById('viewer').querySelectorAll('canvas, button, input, select')].map((e) =>"
        " e.getAttribute('aria-label') || e.textContent.trim() || e.labels[0].textContent.trim())"
    )
    assert all(names)
    order = []
    for _ in range(9):
        viewer.press("Tab")
        order.append(viewer.run("document.activeElement.id || document.activeElement.textContent"))
    assert order[:8] == ["index", "strip", "PE", "Mediastinal", "Lung", "heat-on", "opacity", "26"]
    spoken = viewer.spoken()
    assert ("slider", "Slice, from feet to head") in spoken
    assert any(role == "status" for role, _ in spoken)


def test_text_stands_out_from_its_background(viewer) -> None:
    """WCAG 2.1 AA: 4.5 : 1 for small text."""
    ratio = (
        "((s) => { const e = document.querySelector(s), rgb = (c) => c.match(/[\\d.]+/g).map(Number);"
        " const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);"
        " const light = (c) => rgb(c).slice(0, 3).map(v => linear(v / 255))"
        " .reduce((t, v, k) => t + v * [0.2126, 0.7152, 0.0722][k], 0.05);"
        " let b = e; while (rgb(getComputedStyle(b).backgroundColor)[3] === 0) b = b.parentElement || document.body;"
        " const found = [getComputedStyle(e).color, getComputedStyle(b).backgroundColor].map(light);"
        " return Math.max(...found) / Math.min(...found); })"
    )
    for selector in (
        ".notice",
        "#keys",
        ".panel legend",
        ".heads",
        ".exams th",
        ".range-button[aria-pressed=true]",
        "footer",
    ):
        assert viewer.run(f"{ratio}({selector!r})") >= 4.5, selector
