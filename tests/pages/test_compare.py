"""The pages Compare, Explore and Reports: in a real browser and through Gradio's own client."""

import csv
import json
import re
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import expect

from nst.settings.catalog import paintings, photos
from nst.study.choice import ready_made
from nst.study.figures import figures
from nst.study.tables import COLUMNS

PHOTO, PAINTING = photos()["cat"].path, paintings()["great_wave"].path
SLOW = 120_000  # milliseconds, where several runs must end first
FEW = "vary=iterations%3D3,6&by=values&size=64"


@pytest.fixture
def client(server):
    return Client(server.url, verbose=False)


def open_view(page, view, query=""):
    page.goto(f"{urlsplit(page.url)._replace(query=f'view={view}&{query}').geturl()}")
    expect(page.locator(f"#{view}-estimate")).to_contain_text("results, about", timeout=SLOW)


@pytest.fixture
def compare(visit):
    def opened(query=FEW, view="compare", **options):
        page = visit(**options)
        open_view(page, view, query)
        return page

    return opened


def wait_for_query(page, expected):
    """Until the address has all parts of this query."""
    page.wait_for_function(
        """expected => [...new URLSearchParams(expected)].every(
          ([name, value]) => new URL(location.href).searchParams.get(name) === value)""",
        arg=expected,
        timeout=20_000,
    )


def paint(page, view="compare"):
    page.locator(f"#{view}-go").click()
    expect(page.locator(f"#{view}-status")).to_contain_text("Done", timeout=SLOW)
    expect(page.locator(f"#{view}-go")).to_be_enabled()
    expect(page.locator(f"#{view}-stop")).to_have_count(0)


def save(page, button, folder):
    expect(page.locator(button)).to_be_enabled()
    with page.expect_download() as waiting:
        page.locator(button).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def query(page):
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def submit(client, **changes):
    chosen = {
        "by": "values",
        "presets": [],
        "preset": "quick",
        "key": "iterations",
        "values": "3, 5",
        "figure": None,
        "size": 64,
    } | changes
    return client.submit(
        handle_file(PHOTO), handle_file(PAINTING), *chosen.values(), api_name="/compare"
    )


def test_two_variants_through_the_client(client):
    updates = list(submit(client))
    words, _, results, numbers, *_, scores, losses, sheet, table, settings = updates[-1]
    assert "Done: 2 results" in words
    assert [caption["caption"].split(" · ")[0] for caption in results] == ["3", "5"]
    assert "Structural similarity" in numbers
    assert [row[0] for row in scores["data"]] == ["3", "5"]
    assert {row[1] for row in losses["data"]} == {"3", "5"}
    rows = list(csv.DictReader(Path(table).read_text("utf-8").splitlines()))
    assert [row["iterations"] for row in rows] == ["3", "5"]
    assert set(rows[0]) == {"variant", *COLUMNS, "warning", "error"}
    kept = json.loads(Path(settings).read_text("utf-8"))
    assert kept["variants"][1]["report"]["settings"]["size"] == 64
    with Image.open(sheet) as picture:
        assert picture.width > 2 * 64


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"by": "presets", "presets": ["quick"]}, "2 to 6 presets"),
        ({"values": "3"}, "2 to 6 values"),
        ({"values": "3, many"}, "must be a number"),
        ({"key": "sed", "values": "1, 2"}, "seed"),
        ({"size": 9}, "“size”"),
        ({"size": 2048, "values": "9000, 9999"}, "would fit"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(client, changes, words):
    with pytest.raises((AppError, ValueError), match=re.escape(words)):
        submit(client, **changes).result()


def test_a_sweep_through_the_client(client):
    pictures = (handle_file(PHOTO), handle_file(PAINTING))
    choice = ("quick", "iterations", "3, 5", "seed", "0, 1", 64)
    *_, last = client.submit(*pictures, *choice, api_name="/sweep")
    words, _, grid, png, table, settings = last
    assert "Done: 4 results" in words
    rows = list(csv.DictReader(Path(table).read_text("utf-8").splitlines()))
    assert [row["iterations"] for row in rows] == ["3", "5", "3", "5"]
    kept = json.loads(Path(settings).read_text("utf-8"))
    seeds = [variant["report"]["settings"]["seed"] for variant in kept["variants"]]
    assert seeds == [0, 0, 1, 1]
    with Image.open(grid) as shown, Image.open(png) as picture:
        assert shown.size == picture.size
        assert min(picture.size) > 2 * 40


def sources(page):
    """Where both sides of the slider come from."""
    return [image.get_attribute("src") for image in page.locator("#compare-pair img").all()]


def test_a_comparison_in_the_browser_leaves_everything_named(compare, tmp_path):
    page = compare()
    paint(page)
    expect(page.locator("#compare-results img")).to_have_count(2)
    expect(page.locator("#compare-results")).to_contain_text("3 · content")
    expect(page.locator("#compare-table th[scope=col]")).to_have_text(["3", "6"])
    page.get_by_role("tab", name="Slider").click()
    expect(page.locator("#compare-pair img")).to_have_count(2)
    sides = sources(page)
    assert len(set(sides)) == 2
    page.locator("#compare-left input").click()
    page.get_by_role("option", name="6").click()
    expect(page.locator("#compare-pair img").first).to_have_attribute("src", sides[1])
    assert set(sources(page)) == {sides[1]}
    page.get_by_role("tab", name="Scores").click()
    expect(page.locator("#compare-scores .mark-symbol path")).not_to_have_count(0)
    page.get_by_role("tab", name="Losses").last.click()
    expect(page.locator("#compare-losses .mark-line path")).to_have_count(2)
    with Image.open(save(page, "#compare-png", tmp_path)) as sheet:
        assert sheet.format == "PNG"
    assert save(page, "#compare-csv", tmp_path).read_text("utf-8").count("\n") == 3
    kept = json.loads(save(page, "#compare-json", tmp_path).read_text("utf-8"))
    assert [variant["title"] for variant in kept["variants"]] == ["3", "6"]


def test_a_link_restores_a_comparison(compare):
    page = compare("presets=tuned,quick,tanh&size=96&photo=cat&painting=great_wave")
    chosen = "presets=tuned,quick,tanh&size=96&photo=cat&painting=great_wave&view=compare"
    wait_for_query(page, chosen)
    assert query(page) == dict(parse_qsl(chosen))
    for title in ("Tuned", "Quick", "Tanh"):
        expect(page.locator("#compare-presets")).to_contain_text(title)
    assert "cat" in page.locator("#compare-photo img").last.get_attribute("src")


def test_a_damaged_link_says_so_and_opens_the_page_all_the_same(compare):
    page = compare("presets=tuned,nonsense&size=96")
    expect(page.get_by_test_id("toast-body")).to_contain_text("the choice")


def test_stop_keeps_the_results_that_are_done(compare, engine):
    page = compare("by=values&vary=iterations%3D3,9000&size=64&preset=tuned")
    page.locator("#compare-go").click()
    expect(page.locator("#compare-results img")).to_have_count(1, timeout=SLOW)
    expect(page.locator("#compare-status")).to_contain_text("2 of 2")
    page.locator("#compare-stop").click()
    expect(page.locator("#compare-status")).to_contain_text("Stopped: 1 of 2", timeout=SLOW)
    expect(page.locator("#compare-csv")).to_be_enabled()


def test_the_ready_made_buttons_choose_their_comparison(compare):
    page = compare()
    for number, ready in enumerate(ready_made()):
        page.locator(f"#ready-{number}").click()
        wait_for_query(page, ready.comparison.query(view="compare"))


def test_a_bad_value_is_explained_at_its_field(compare, engine):
    page = compare()
    page.locator("#compare-values textarea").fill("3, x")
    page.locator("#compare-go").click()
    expect(page.locator("#compare-values")).to_contain_text("must be a number")
    expect(page.locator("#compare-go")).to_be_enabled()
    assert engine.started == 0


def test_a_grid_fills_and_a_click_opens_the_cell_on_the_main_page(compare):
    vary = "vary=content-layer%3Dconv3_2,conv4_2&vary2=iterations%3D3,5&size=64"
    page = compare(f"{vary}&preset=quick&photo=cat", view="explore")
    paint(page, "explore")
    grid = page.locator("#explore-grid img")
    box = grid.bounding_box()
    grid.click(position={"x": box["width"] * 0.8, "y": box["height"] * 0.85})
    expect(page.locator("#go")).to_be_visible()
    wait_for_query(page, "size=64&photo=cat&iterations=5")
    expect(page.locator("#go")).to_have_text("Stylize")


def test_the_main_page_hands_its_pictures_over(visit):
    page = visit("preset=quick&photo=cat&painting=great_wave")
    page.locator("#onward").click()
    expect(page.locator("#compare-go")).to_be_visible()
    page.wait_for_function(
        "['cat', 'great_wave'].every((name) => location.search.includes(name)) "
        "&& location.search.includes('view=compare')"
    )


def test_every_reproduced_figure_is_on_the_page_of_reports(visit):
    page = visit()
    page.get_by_role("tab", name="Reports").click()
    for report in dict.fromkeys(figure.report for figure in figures().values()):
        expect(page.get_by_role("button", name=report)).to_be_visible()
    first = next(iter(figures().values()))
    page.locator(f"#again-{first.name}").click()
    expect(page.locator("#compare-go")).to_be_visible()
    expect(page.locator("#compare-estimate")).to_contain_text(f"{len(first.cells)} results")
    # The address follows the estimate, in the browser's own time.
    page.wait_for_function(
        "name => new URLSearchParams(location.search).get('figure') === name", arg=first.name
    )


@pytest.mark.parametrize("view", ["compare", "explore", "reports"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_sideways(visit, view, width):
    page = visit(width=width)
    page.get_by_role("tab", name=view.capitalize()).click()
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
