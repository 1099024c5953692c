"""Trained networks on the main page, in a real browser, over the API and from a local Hub."""

import json
import re

import pytest
from gradio_client import Client, handle_file
from PIL import Image, ImageChops, ImageStat
from playwright.sync_api import expect

from nst.checkpoints import hub
from nst.pictures.images import open_picture, read_report, resized
from nst.settings.catalog import paintings, photos
from tests.pages.test_stylize import (
    FIRST,
    SLOW,
    downloaded,
    press_stylize,
    query,
    source,
    upload,
    wait_for_query,
)

STYLES = list(hub.styles())


def choose(page, name):
    page.locator("#styles .thumbnail-item").nth(STYLES.index(name)).click()
    expect(page.locator("#status")).to_contain_text(f"{name}:")


def result(page):
    """The address of the picture on the right of the comparison."""
    return page.locator("#slider img").last.get_attribute("src")


def wait_for_another(page, before):
    expect(page.locator("#slider img").last).not_to_have_attribute("src", before)
    return result(page)


def difference(one, other):
    """Mean gray levels between two pictures."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def test_a_style_is_painted_as_soon_as_it_is_chosen(visit, engine):
    page = visit()
    before = result(page)
    choose(page, STYLES[1])
    wait_for_another(page, before)
    wait_for_query(page, checkpoint=STYLES[1], painting=hub.catalog()[STYLES[1]].style)
    expect(page.locator("#about")).to_contain_text("trained here on")
    expect(page.locator("#about")).to_contain_text("Final losses: content")
    expect(page.locator("#styles .thumbnail-item.selected")).to_have_count(1)
    expect(page.locator("#presets .thumbnail-item.selected")).to_have_count(0)
    assert engine.started == 0


def test_another_photo_is_painted_as_soon_as_it_is_chosen(visit, engine):
    page = visit()
    before = result(page)
    page.locator("#photos .thumbnail-item").nth(list(photos()).index("cat")).click()
    wait_for_another(page, before)
    wait_for_query(page, photo="cat")
    assert engine.started == 0


def test_an_upload_is_painted_as_soon_as_it_is_there(visit, photo, tmp_path):
    photo.resize((200, 131)).save(tmp_path / "mine.png")
    page = visit("instant.size=200")
    upload(page, "photo", tmp_path / "mine.png")
    expect(page.locator("#status")).to_contain_text("200 × 131 pixels")
    wait_for_query(page, photo=None)


def test_strength_and_colors_act_at_once_and_are_in_the_link(visit):
    page = visit()
    before = result(page)
    page.locator("#strength input[type=number]").fill("0")
    wait_for_query(page, **{"instant.strength": "0.0"})
    before = wait_for_another(page, before)
    page.locator("#strength input[type=number]").fill("1")
    before = wait_for_another(page, before)
    page.locator("#keep-colors input").click()
    wait_for_query(page, **{"instant.keep_colors": "True"})
    wait_for_another(page, before)


def test_a_link_restores_a_result_in_one_pass(visit):
    name = STYLES[2]
    page = visit(f"checkpoint={name}&photo=cat&instant.strength=0.5&instant.size=300")
    expect(page.locator("#status")).to_contain_text(f"{name}: 300 ×")
    assert page.locator("#strength input[type=number]").input_value() == "0.5"
    expect(page.locator("#go")).to_have_text("Refine")
    expect(page.locator("#styles .thumbnail-item").nth(2)).to_have_class(re.compile("selected"))
    assert query(page)["checkpoint"] == name


@pytest.mark.parametrize(
    "bad", ["checkpoint=nobody/nothing", "instant.size=5", "instant.strength=x"]
)
def test_a_damaged_link_still_shows_something(visit, bad):
    page = visit(bad)
    expect(page.get_by_test_id("toast-body")).to_contain_text(bad.partition("=")[0])
    expect(page.locator("#status")).to_contain_text("pixels in")


def test_the_files_of_a_result_in_one_pass_carry_its_settings(visit, tmp_path):
    page = visit("instant.size=256")
    choose(page, STYLES[1])
    report = read_report(downloaded(page, "#png", tmp_path)).as_dict()
    assert report["checkpoint"]["name"] == STYLES[1]
    assert report["settings"] == {"size": 256, "strength": 1.0, "keep_colors": False}
    assert report == json.loads(downloaded(page, "#json", tmp_path).read_text("utf-8"))
    expect(page.locator("#lapse")).to_be_disabled()


def test_refine_starts_from_the_result_in_one_pass(visit, engine, tmp_path):
    """After one step the picture must still be nearer to that result than to the photo."""
    page = visit(
        f"checkpoint={FIRST}&photo=cat&instant.size=128&size=128&preset=baseline&iterations=1"
    )
    expect(page.locator("#status")).to_contain_text(f"{FIRST}: 128 ×")
    instant = open_picture(downloaded(page, "#png", tmp_path))
    press_stylize(page)
    expect(page.locator("#status")).to_contain_text("Done: 128 ×", timeout=SLOW)
    expect(page.locator("#go")).to_have_text("Refine", timeout=SLOW)
    path = downloaded(page, "#png", tmp_path)
    refined = open_picture(path)
    original = resized(open_picture(photos()["cat"].path), refined.size)
    assert difference(refined, instant) < difference(refined, original) / 2
    assert read_report(path).settings["start"]["image"] == "picture"


def test_refining_keeps_the_size_and_the_details_of_what_is_shown(visit, engine, tmp_path):
    page = visit(f"checkpoint={FIRST}&photo=cat&instant.size=128")
    expect(page.locator("#status")).to_contain_text(f"{FIRST}: 128 ×")
    press_stylize(page)
    expect(page.locator("#status")).to_contain_text("Done: 128 ×", timeout=SLOW)
    recipe = read_report(downloaded(page, "#png", tmp_path)).settings
    assert recipe["pyramid"]["scales"] == [1.0]


def test_a_style_that_cannot_be_had_leaves_a_usable_page(visit, engine, monkeypatch):
    """Nothing listens on that port, as if there were no network."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(
        "huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE",
        "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}",
        raising=False,
    )
    page = visit("checkpoint=candy&photo=cat")
    expect(page.locator("#status")).to_contain_text("The bundled checkpoints need no network.")
    page.locator("#go").click()
    expect(page.get_by_test_id("toast-body").last).to_contain_text("Wait until the style")
    expect(page.locator("#go")).to_have_text("Refine")
    expect(page.locator("#go")).to_be_enabled()
    choose(page, STYLES[1])
    assert engine.started == 0


def test_a_preset_or_a_painting_leaves_the_trained_styles(visit):
    page = visit()
    page.locator("#presets .thumbnail-item").nth(1).click()
    wait_for_query(page, checkpoint=None)
    expect(page.locator("#go")).to_have_text("Stylize")
    expect(page.locator("#instant")).to_have_count(0)
    choose(page, STYLES[0])
    expect(page.locator("#go")).to_have_text("Refine")
    page.locator("#paintings .thumbnail-item").nth(list(paintings()).index("whalers")).click()
    expect(page.locator("#go")).to_have_text("Stylize")
    wait_for_query(page, checkpoint=None, painting="whalers")


def test_a_style_chosen_during_a_run_ends_the_run(visit, engine):
    page = visit("preset=baseline&size=96&iterations=4000")
    press_stylize(page)
    engine.wait_for(active=1)
    choose(page, STYLES[1])
    engine.wait_for(active=0)
    expect(page.locator("#go")).to_be_enabled()
    expect(page.locator("#status")).to_contain_text(f"{STYLES[1]}:")


def test_a_webcam_snapshot_is_painted(visit):
    page = visit()
    before, photo = result(page), source(page, "photo")
    page.locator("#photo button[aria-label='Remove Image']").click()
    page.locator("#photo").get_by_label("Capture from camera").click()
    page.locator("#photo").get_by_text("Click to Access Webcam").click()
    # Before its first picture the camera takes none.
    page.wait_for_function("document.querySelector('#photo video')?.videoWidth > 0")
    page.locator("#photo button[aria-label='capture photo']").click()
    wait_for_another(page, before)
    assert source(page, "photo") != photo


def test_a_program_paints_at_once_too(server, tmp_path):
    client = Client(server.url, verbose=False)
    photo = handle_file(photos()["cat"].path)
    answer = client.predict(photo, STYLES[1], 1.0, False, 128, api_name="/fast")
    picture = Image.open(answer[1])
    assert max(picture.size) == 128
    assert answer[4]["checkpoint"]["name"] == STYLES[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("great_wav", 1.0, False, 128), "great-wave"),
        (("someone/something:model.pth", 1.0, False, 128), "Unknown checkpoint"),
        (("/etc/passwd", 1.0, False, 128), "Unknown checkpoint"),
        ((STYLES[0], 1.0, False, 10**6), "64 to 2048"),
        ((STYLES[0], 7.0, False, 128), "greater than maximum"),
    ],
)
def test_a_program_gets_a_sentence_for_a_bad_request(server, arguments, words):
    client = Client(server.url, verbose=False)
    with pytest.raises(Exception, match=words):
        client.predict(handle_file(photos()["cat"].path), *arguments, api_name="/fast")
