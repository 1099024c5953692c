"""The main page in a real browser, with the real engine behind it."""

import json
import re
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qs, quote, urlsplit
from urllib.request import urlopen

import pytest
from PIL import Image
from playwright.sync_api import expect

from nst.checkpoints.hub import styles
from nst.pages import link
from nst.pictures.images import read_report
from nst.settings.catalog import DEFAULT_PRESET, all_presets, get, paintings, photos
from nst.settings.recipe import Recipe

expect.set_options(timeout=20_000)
SLOW = 90_000  # milliseconds, where a run must end first
LONG = "size=96&iterations=4000"  # nobody waits for its end
FIRST = next(iter(styles()))  # the style that a visitor sees first
SHOWN = "e => e.complete && e.naturalWidth > 0"


def query(page):
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def wait_for_query(page, **expected):
    page.wait_for_function(
        """expected => {
          const here = new URL(location.href).searchParams;
          return Object.entries(expected).every(([key, value]) => here.get(key) === value);
        }""",
        arg=expected,
        timeout=20_000,
    )


def open_settings(page):
    page.locator("#settings > button").click()
    page.locator("#seed input").wait_for()
    page.wait_for_timeout(500)  # Gradio sets the fields once more, right after it has shown them


def value(page, name):
    """What the input of a setting shows."""
    field = page.locator(f"#{name.replace('.', '-')}").locator("input, textarea").first
    return field.input_value()


def source(page, field):
    return page.locator(f"#{field} img").last.get_attribute("src")


def press_stylize(page):
    page.locator("#go").click()
    expect(page.locator("#go")).to_be_disabled()


def wait_for_the_end(page):
    expect(page.locator("#go")).to_have_text("Stylize", timeout=SLOW)
    expect(page.locator("#go")).to_be_enabled()
    expect(page.locator("#stop")).to_have_count(0)


def downloaded(page, button, folder):
    expect(page.locator(button)).to_be_enabled()
    with page.expect_download() as waiting:
        page.locator(button).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def upload(page, field, path):
    """Replaces the field's picture by a file."""
    remove = page.locator(f"#{field} button[aria-label='Remove Image']")
    if remove.count():
        remove.click()
    page.locator(f"#{field} input[type=file]").set_input_files(path)


def test_the_page_shows_a_finished_example_at_once(visit):
    page = visit()
    pair = page.locator("#slider img")
    expect(pair).to_have_count(2)
    assert [pair.nth(i).evaluate(SHOWN) for i in range(2)] == [True, True]
    assert pair.first.get_attribute("src") != pair.last.get_attribute("src")
    expect(pair.first).to_be_visible()
    expect(page.locator("#status")).to_contain_text(f"{FIRST}: 768 × 512 pixels")
    expect(page.locator("#go")).to_be_enabled()
    expect(page.locator("#styles .thumbnail-item")).to_have_count(len(styles()))
    expect(page.locator("#presets .thumbnail-item")).to_have_count(len(all_presets()))
    expect(page.locator("#photos .thumbnail-item")).to_have_count(len(photos()))
    expect(page.locator("#paintings .thumbnail-item")).to_have_count(len(paintings()))
    for tab, panel in (("Result", "#result img"), ("Settings used", "#used")):
        page.get_by_role("tab", name=tab, exact=True).click()
        expect(page.locator(panel).first).to_be_visible()


def test_every_preset_card_shows_its_picture(visit):
    page = visit()
    cards = page.locator("#presets .thumbnail-item img")
    broken = []
    for index, preset in enumerate(all_presets().values()):
        cards.nth(index).scroll_into_view_if_needed()
        try:
            page.wait_for_function(SHOWN, arg=cards.nth(index).element_handle(), timeout=3000)
        except Exception:
            broken.append(preset.name)
    assert broken == []


def test_a_run_is_watched_compared_and_downloaded(visit, engine, tmp_path):
    page = visit("size=96&iterations=120&seed=5")
    page.evaluate("""() => {
      window.seen = new Set();
      window.setInterval(() => document.querySelectorAll('#result img').forEach((image) => {
        if (image.complete && image.naturalWidth) window.seen.add(image.src);
      }), 20);
    }""")
    press_stylize(page)
    expect(page.locator("#stop")).to_be_visible()
    expect(page.locator("#status")).to_contain_text(re.compile(r"step \d+ of 120.* left"))
    expect(page.locator("#result img")).to_be_visible()
    expect(page.locator("#status")).to_contain_text(
        "Done: 96 × 64 pixels, 120 iterations", timeout=SLOW
    )
    wait_for_the_end(page)
    assert page.evaluate("window.seen.size") >= 3  # two previews at least, and the end
    expect(page.locator("#slider img").first).to_be_visible()

    png = downloaded(page, "#png", tmp_path)
    assert png.name == f"neuschwanstein-starry_night-{DEFAULT_PRESET}.png"
    with Image.open(png) as picture:
        assert (picture.format, picture.size) == ("PNG", (96, 64))
    report = read_report(png).as_dict()
    assert Recipe.read(report["settings"]).seed == 5
    assert (report["photo"], report["painting"]) == ("neuschwanstein", "starry_night")
    assert json.loads(downloaded(page, "#json", tmp_path).read_text("utf-8")) == report
    with Image.open(downloaded(page, "#lapse", tmp_path)) as lapse:
        assert (lapse.format, lapse.is_animated) == ("WEBP", True)


def test_stop_keeps_the_picture_and_lets_the_visitor_begin_again(visit, engine, tmp_path):
    page = visit(LONG)
    press_stylize(page)
    expect(page.locator("#status")).to_contain_text("step ")
    page.locator("#stop").click()
    expect(page.locator("#status")).to_contain_text("Stopped at step")
    wait_for_the_end(page)
    engine.wait_for(active=0)
    png = downloaded(page, "#png", tmp_path)
    assert 1 <= read_report(png).iterations < 9000
    with Image.open(png) as picture:
        assert picture.size == (96, 64)
    press_stylize(page)
    engine.wait_for(started=2, active=1)
    page.locator("#stop").click()
    wait_for_the_end(page)


def test_closing_the_tab_frees_the_slot_for_the_next_visitor(visit, engine):
    first, second = visit(LONG), visit("size=64&iterations=6")
    press_stylize(first)
    engine.wait_for(active=1)
    expect(first.locator("#status")).to_contain_text("step ")
    press_stylize(second)
    first.close()
    expect(second.locator("#status")).to_contain_text("Done: 64 × ", timeout=SLOW)
    assert engine.started == 2
    assert engine.most == 1


def test_a_click_on_a_preset_changes_the_settings_and_the_address(visit):
    page = visit("size=96")
    names = list(all_presets())
    other = "tuned"
    card = page.locator("#presets .thumbnail-item").nth(names.index(other))
    card.click()
    wait_for_query(page, preset=other)
    assert "size" not in query(page)
    expect(card).to_have_class(re.compile("selected"))
    expect(page.locator("#about")).to_contain_text(get(other).summary)
    open_settings(page)
    assert float(value(page, "content.weight")) == get(other).recipe.content.weight
    assert int(value(page, "iterations")) == get(other).recipe.iterations


def test_a_changed_setting_is_in_the_address_until_it_is_reset(visit):
    page = visit()
    open_settings(page)
    page.locator("#seed input").fill("12")
    page.locator("#seed input").blur()
    wait_for_query(page, seed="12")
    page.locator("#reset").click()
    wait_for_query(page, seed=None)
    expect(page.locator("#seed input")).to_have_value("0")


def test_a_click_on_a_bundled_picture_chooses_it(visit):
    page = visit()
    for strip, field, known in (
        ("photos", "photo", photos()),
        ("paintings", "painting", paintings()),
    ):
        index, name = list(enumerate(known))[-1]
        page.locator(f"#{strip} .thumbnail-item").nth(index).click()
        wait_for_query(page, **{field: name})
        assert known[name].file.rpartition("/")[2] in source(page, field)


def test_a_link_restores_everything(visit):
    photo, painting = list(photos())[-1], list(paintings())[-1]
    changed = {
        "size": "96",
        "seed": "77",
        "iterations": "55",
        "content.weight": "12.5",
        "style.layers": "conv2_1=0.5, conv4_1=2",
        "start.image": "noise",
        "optimizer.clamp": "False",
    }
    wanted = link.write("tuned", photo, painting, "", changed)
    page = visit(wanted)
    wait_for_query(page, preset="tuned", photo=photo, painting=painting, **changed)
    assert query(page) == {"preset": "tuned", "photo": photo, "painting": painting, **changed}
    assert photos()[photo].path.name in source(page, "photo")
    assert paintings()[painting].path.name in source(page, "painting")
    selected = page.locator("#presets .thumbnail-item.selected img")
    expect(selected).to_have_attribute("alt", get("tuned").title)
    expect(page.locator("#about")).to_contain_text(get("tuned").summary)
    open_settings(page)
    shown = {name: value(page, name) for name in changed if name != "optimizer.clamp"}
    assert shown == {name: text for name, text in changed.items() if name != "optimizer.clamp"}
    expect(page.get_by_test_id("toast-body")).to_have_count(0)


def test_a_damaged_link_restores_what_it_can_and_says_so(visit):
    page = visit(
        "preset=null&photo=castle&size=5&seed=4&style.sparkle=1&style.weight=%00&=&iterations=x"
    )
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text("The link was damaged")
    for lost in ("preset", "photo", "size", "style.sparkle", "style.weight", "iterations"):
        expect(toast).to_contain_text(lost)
    wait_for_query(
        page,
        preset=DEFAULT_PRESET,
        photo=link.PHOTO,
        seed="4",
        size=None,
        **{"style.sparkle": None},
    )
    open_settings(page)
    assert value(page, "seed") == "4"
    expect(page.locator("#go")).to_be_enabled()


def test_a_link_cannot_put_code_into_the_page(visit):
    attack = "<img src=x onerror=window.hit=1>"
    page = visit(f"preset={quote(attack)}&{quote(attack)}=1&style.layers={quote(attack)}")
    expect(page.get_by_test_id("toast-body")).to_be_visible()
    page.wait_for_timeout(300)
    assert page.evaluate("window.hit") is None


def test_the_link_can_be_copied(visit):
    page = visit("seed=8")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#copy").click()
    expect(page.locator("#copy")).to_have_text("Link copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.url
    assert "seed=8" in copied


def test_the_theme_of_the_address_is_kept(visit):
    page = visit("__theme=dark&seed=3")
    wait_for_query(page, seed="3", __theme="dark", preset=DEFAULT_PRESET)


def bad_files(folder):
    """Every kind of file that cannot be used, and what the page must say."""
    jpeg = photos()["neuschwanstein"].path.read_bytes()
    heic = b"\x00\x00\x00\x18ftypheic" + b"\x00" * 100
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
    files = {
        "text.jpg": (b"not a picture", "`text.jpg` is not a picture"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "`cut.jpg` is damaged or incomplete"),
        "empty.png": (b"", "`empty.png` is empty"),
        "drawing.svg": (svg, "`drawing.svg` is an SVG drawing"),
        "phone.heic": (heic, "`phone.heic` is damaged or incomplete"),
    }
    for name, (data, words) in files.items():
        (folder / name).write_bytes(data)
        yield folder / name, words
    Image.new("1", (8200, 8000)).save(folder / "huge.png")
    yield folder / "huge.png", "64 megapixels"


def test_every_bad_upload_is_answered_with_its_sentence(visit, engine, tmp_path):
    page = visit("preset=quick")
    answers = {}
    for path, words in bad_files(tmp_path):
        upload(page, "photo", path)
        sentence = re.sub("`(.*)`", r"“\1”", words)
        try:
            expect(page.locator("#estimate")).to_contain_text(sentence, timeout=10_000)
        except AssertionError:
            answers[path.name] = page.locator("#estimate").inner_text()
    assert answers == {}
    page.wait_for_timeout(1500)  # a late answer to the upload would take the sentence away again
    page.locator("#go").click()
    expect(page.locator("#photo .validation-error")).to_contain_text("64 megapixels")
    expect(page.locator("#go")).to_be_enabled()
    expect(page.locator("#go")).to_have_text("Stylize")
    assert engine.started == 0


def test_a_good_upload_is_painted_and_leaves_the_address(visit, engine, photo, tmp_path):
    photo.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "my photo.jpg")
    page = visit("size=64&iterations=6&photo=neuschwanstein")
    upload(page, "photo", tmp_path / "my photo.jpg")
    wait_for_query(page, photo=None)
    press_stylize(page)
    expect(page.locator("#status")).to_contain_text("Done: 43 × 64 pixels", timeout=SLOW)
    wait_for_the_end(page)
    report = json.loads(downloaded(page, "#json", tmp_path).read_text("utf-8"))
    assert report["photo"] == "photo"  # the file's own name stays with the visitor


def test_parameters_of_others_are_left_alone(visit):
    page = visit("utm_source=letter&seed=4")
    wait_for_query(page, seed="4", preset=DEFAULT_PRESET, utm_source="letter")
    expect(page.get_by_test_id("toast-body")).to_have_count(0)


def test_losses_that_are_first_looked_at_after_a_run_are_drawn(visit):
    page = visit("size=64&iterations=30")
    press_stylize(page)
    wait_for_the_end(page)
    page.get_by_role("tab", name="Losses").click()
    lines = page.locator("#losses .mark-line path")
    expect(lines).to_have_count(4)
    assert all(line.bounding_box()["width"] > 200 for line in lines.all())


def test_a_run_that_never_began_leaves_no_picture(visit, engine):
    page, other = visit("size=128&iterations=200"), visit("size=64&iterations=9")
    press_stylize(page)
    engine.wait_for(active=1)
    press_stylize(other)
    expect(other.locator("#status")).to_contain_text("One picture is painted at a time")
    other.locator("#stop").click()
    page.locator("#stop").click()
    wait_for_the_end(page)
    expect(other.locator("#go")).to_be_enabled(timeout=SLOW)
    assert engine.started == 1


@pytest.mark.parametrize("query", ["", "preset=quick"])
def test_a_missing_picture_is_asked_for(visit, engine, query):
    page = visit(query)
    page.locator("#painting button[aria-label='Remove Image']").click()
    expect(page.locator("#estimate")).to_contain_text("Choose a photo and a painting")
    page.locator("#go").click()
    expect(page.locator("#painting .validation-error")).to_have_text("Choose a painting first.")
    expect(page.locator("#go")).to_be_enabled()
    assert engine.started == 0


def test_a_bad_setting_is_explained_at_its_field(visit, engine):
    page = visit()
    open_settings(page)
    page.locator("#content-layers textarea").fill("")
    page.locator("#content-layers textarea").press_sequentially("conv9_9")
    expect(page.locator("#estimate")).to_contain_text("Unknown layer “conv9_9”")
    page.locator("#go").click()
    expect(page.locator("#content-layers")).to_contain_text("Unknown layer `conv9_9`")
    expect(page.locator("#go")).to_be_enabled()
    assert engine.started == 0


def test_a_pasted_setting_counts_like_a_typed_one(visit):
    page = visit()
    open_settings(page)
    page.locator("#content-layers textarea").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text("conv3_1=2")  # one input event, as a paste makes it
    page.locator("#content-layers textarea").blur()
    wait_for_query(page, **{"content.layers": "conv3_1=2"})


@pytest.mark.parametrize("field", ["photo", "painting"])
def test_the_result_becomes_the_next_input(visit, field):
    page = visit("preset=quick")
    before = source(page, field)
    page.locator(f"#as-{field}").click()
    wait_for_query(page, **{field: None})
    after = page.locator(f"#{field} img").last
    expect(after).to_have_attribute("src", re.compile(rf"/instant-{FIRST}\.webp$"))
    assert after.get_attribute("src") != before
    page.wait_for_function(SHOWN, arg=after.element_handle())
    expect(page.locator("#estimate")).to_contain_text("Takes")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_sideways(visit, width, scheme):
    page = visit(width=width, scheme=scheme)
    assert page.evaluate("document.body.classList.contains('dark')") is (scheme == "dark")
    measure = "[document.documentElement.scrollWidth, document.body.scrollWidth]"
    assert max(page.evaluate(measure)) <= width
    open_settings(page)
    assert max(page.evaluate(measure)) <= width
    cards = page.locator("#presets .thumbnail-item").evaluate_all(
        "cards => cards.map((card) => card.getBoundingClientRect().right)"
    )
    assert max(cards) <= width


def test_files_of_the_repository_are_not_served(server):
    for name in ("pyproject.toml", "nst/recipe.py", ".gitignore"):
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{server.url}gradio_api/file={Path(name).resolve()}")
        assert refused.value.code in (403, 404)


def test_a_run_that_is_refused_leaves_a_usable_page(visit, engine):
    page = visit("preset=baseline&size=2000&iterations=4000")
    page.locator("#go").click()
    expect(page.get_by_test_id("toast-body").last).to_contain_text("the limit is 30 min")
    wait_for_the_end(page)
    assert engine.started == 0
