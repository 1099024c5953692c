"""Nothing that comes from outside is shown as HTML or Markdown, whichever way it came."""

from urllib.parse import quote

import pytest
from gradio_client import Client, handle_file
from playwright.sync_api import expect

from nst.pages.words import MOST, literal
from nst.settings.catalog import photos
from tests.pages.test_stylize import upload

EVIL = (
    "<form><input type=password name=evil></form><img src=x onerror=evil()>**b** [l](http://e.org)"
)


def test_any_text_is_shown_letter_by_letter():
    assert literal("<b>a</b> & b") == "&lt;b&gt;a&lt;/b&gt; &amp; b"
    assert literal("a\n\tb\x00\x1b[31m\u202ec") == "a b[31mc"
    assert literal(3) == "3"
    assert len(literal("x" * 10_000)) == MOST + 1


def nothing_of_it(page):
    """No element of what came from outside is on the page."""
    assert page.locator("[name=evil], [onerror]").count() == 0
    assert page.locator("a[href*='e.org']").count() == 0


@pytest.mark.parametrize(
    "query",
    [
        "style.{}=1",
        "preset={}",
        "photo={}",
        "checkpoint={}",
        "checkpoint=a/b:{}",
        "method={}",
        "content.layers={}",
        "instant.{}=1",
        "instant.strength={}",
        "view=compare&by=values&vary={}",
        "view=compare&presets={},quick",
        "view=explore&vary={}&preset=quick",
        "view={}",
    ],
)
def test_an_address_brings_no_html(visit, server, query):
    page = visit()  # another page than the main one never shows what `visit` waits for
    page.goto(f"{server.url}?{query.format(quote(EVIL))}", wait_until="domcontentloaded")
    page.locator("#pages").wait_for()
    page.wait_for_timeout(3000)
    nothing_of_it(page)


def test_a_damaged_link_names_its_parts_as_they_are(visit):
    page = visit("style." + quote("<b>bold</b>") + "=1")
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text("not restored: style.<b>bold</b>")
    assert toast.locator("b").count() == 0


def test_a_files_name_brings_no_html(visit, tmp_path):
    page = visit("preset=quick")
    path = tmp_path / "<b>x<img src=x onerror=evil()>.jpg"
    path.write_bytes(b"no picture")
    upload(page, "photo", path)
    expect(page.locator("#estimate")).to_contain_text("is not a picture")
    page.locator("#go").click()
    page.wait_for_timeout(1500)
    nothing_of_it(page)
    assert page.locator("#estimate b").count() == 0


def test_a_setting_brings_no_html(visit):
    page = visit("preset=quick")
    page.locator("#settings > button").click()
    page.locator("#content-layers textarea").fill(EVIL)
    expect(page.locator("#estimate")).to_contain_text("⚠ “content.layers.<form><input type”")
    page.locator("#go").click()
    page.wait_for_timeout(1500)
    nothing_of_it(page)


def test_values_of_a_comparison_bring_no_html(visit, server):
    page = visit()
    query = f"view=compare&by=values&size=64&vary={quote('seed=1,2')}"
    page.goto(f"{server.url}?{query}", wait_until="domcontentloaded")
    page.locator("#compare-values textarea, #compare-values input").first.fill(EVIL)
    page.locator("#compare-values textarea, #compare-values input").first.blur()
    expect(page.locator("#compare-estimate")).to_contain_text("⚠")
    page.locator("#compare-go").click()
    page.wait_for_timeout(1500)
    nothing_of_it(page)


def test_a_picture_with_settings_inside_brings_no_html(visit, tmp_path, photo):
    """Notes of a file are read by the command line alone; the page opens its pixels."""
    from nst.pictures.images import save_png

    path = tmp_path / "result.png"
    save_png(photo, path, {"settings": {}, "preset": EVIL, "photo": EVIL})
    page = visit("instant.size=64")
    upload(page, "photo", path)
    expect(page.locator("#status")).to_contain_text("64 ×")
    nothing_of_it(page)


def test_programs_get_sentences_without_html(server):
    client = Client(server.url, verbose=False)
    photo = handle_file(photos()["cat"].path)
    with pytest.raises(Exception, match="Unknown checkpoint") as refused:
        client.predict(photo, EVIL, 1.0, False, 64, api_name="/fast")
    assert "<img" not in str(refused.value)
