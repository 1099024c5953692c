"""Any painting at once, on the main page in a real browser and over the API."""

from types import SimpleNamespace

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import expect

from nst.engines import anypainting, optimize, trained
from nst.engines.estimate import estimate
from nst.pages.answers import PAGE, UNCHANGED, Answers
from nst.pages.anypainting import defaults, read
from nst.pages.services import services
from nst.pictures.images import open_picture, read_report
from nst.settings.catalog import paintings, photos
from nst.settings.onepass import all_methods
from tests.pages.test_stylize import downloaded, press_stylize, query, upload, wait_for_query
from tests.pages.test_trained import difference, result, wait_for_another
from tests.pages.waiting import waited_for

METHODS = list(all_methods())
SMALL = "instant.size=96"


def choose(page, name):
    page.locator("#methods .thumbnail-item").nth(METHODS.index(name)).click()
    expect(page.locator("#status")).to_contain_text(f"{name}:")


@pytest.mark.parametrize("name", METHODS)
def test_a_method_paints_as_soon_as_it_is_chosen(visit, engine, name):
    page = visit(SMALL)
    before = result(page)
    choose(page, name)
    wait_for_another(page, before)
    wait_for_query(page, method=name, checkpoint=None)
    expect(page.locator("#about")).to_contain_text("for any painting")
    expect(page.locator("#methods .thumbnail-item.selected")).to_have_count(1)
    for others in ("styles", "presets"):
        expect(page.locator(f"#{others} .thumbnail-item.selected")).to_have_count(0)
    expect(page.locator("#stroke")).to_be_visible()
    assert engine.started == 0


def test_a_card_brings_its_own_settings(visit, tmp_path):
    page = visit(SMALL)
    choose(page, "style-swap-balanced")
    expect(page.locator("#balance input[type=number]")).to_have_value("0.5")
    assert read_report(downloaded(page, "#png", tmp_path)).settings["swap"]["balance"] == 0.5
    wait_for_query(page, method="style-swap-balanced", **{"instant.balance": None})
    choose(page, "style-swap")
    expect(page.locator("#balance input[type=number]")).to_have_value("0")
    wait_for_query(page, method="style-swap", **{"instant.balance": None})


def test_the_last_of_quick_clicks_wins(visit):
    page = visit("instant.size=256")
    for name in ("style-swap", "wct", "adain", "style-swap-balanced", "wct"):
        page.locator("#methods .thumbnail-item").nth(METHODS.index(name)).click()
        page.wait_for_timeout(150)
    expect(page.locator("#status")).to_contain_text("wct:", timeout=60_000)
    page.wait_for_timeout(3000)
    expect(page.locator("#status")).to_contain_text("wct:")
    expect(page.locator("#about")).to_contain_text("WCT")


@pytest.mark.parametrize("part", ["stroke=4", "balance=-1", "weight2=nan", "weight3=inf", "mix2=x"])
def test_what_a_field_cannot_have_is_not_restored(part):
    values, lost = read({f"instant.{key}": value for key, value in [part.split("=")]}, "adain")
    assert values == defaults("adain")
    assert lost == [f"instant.{part.partition('=')[0]}"]


def test_another_painting_keeps_the_method_and_paints_at_once(visit, engine, tmp_path):
    page = visit(f"method=style-swap&{SMALL}")
    expect(page.locator("#status")).to_contain_text("style-swap:")
    before = result(page)
    names = list(paintings())
    page.locator("#paintings .thumbnail-item").nth(names.index("great_wave")).click()
    second = wait_for_another(page, before)
    wait_for_query(page, painting="great_wave", method="style-swap")
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "own.png")
    upload(page, "painting", tmp_path / "own.png")
    wait_for_another(page, second)
    wait_for_query(page, painting=None, method="style-swap")
    assert engine.started == 0


def test_an_upload_is_none_of_the_small_pictures(visit, tmp_path):
    page = visit(f"method=adain&photo=cat&{SMALL}")
    expect(page.locator("#status")).to_contain_text("adain:")
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "own.png")
    for field, strip in (("photo", "photos"), ("painting", "paintings")):
        chosen = page.locator(f"#{strip} .thumbnail-item.selected")
        expect(chosen).to_have_count(1)
        before = result(page)
        upload(page, field, tmp_path / "own.png")
        expect(chosen).to_have_count(0)
        before = wait_for_another(page, before)  # all that follows an upload has arrived
        page.locator(f"#{strip} .thumbnail-item").nth(2).click()
        expect(chosen).to_have_count(1)
        before = wait_for_another(page, before)
        page.locator(f"#{field} button[aria-label='Remove Image']").click()
        expect(chosen).to_have_count(0)
        page.locator(f"#{strip} .thumbnail-item").nth(3).click()
        wait_for_another(page, before)


def test_on_a_phone_the_page_moves_to_the_result(visit):
    page = visit(SMALL, width=390)
    choose(page, "adain")
    expect(page.locator("#status")).to_be_in_viewport()


def test_a_refusal_is_plain_words(visit):
    page = visit(f"method=adain&{SMALL}")
    expect(page.locator("#status")).to_contain_text("adain:")
    field = page.locator("#fast-size input")
    field.fill("7")
    field.blur()
    expect(page.get_by_test_id("toast-body").last).to_contain_text("“Picture size” must be 64")
    expect(page.locator("#status")).to_contain_text("“Picture size” must be 64")


def test_a_trained_style_takes_the_methods_place(visit):
    page = visit(f"method=adain&{SMALL}")
    expect(page.locator("#stroke")).to_be_visible()
    page.locator("#styles .thumbnail-item").first.click()
    expect(page.locator("#stroke")).not_to_be_visible()
    wait_for_query(page, method=None)
    expect(page.locator("#methods .thumbnail-item.selected")).to_have_count(0)


def test_a_link_restores_a_mixture(visit):
    mixed = "instant.mix2=great_wave&instant.weight2=0.5&instant.balance=0.4&instant.strength=0.7"
    page = visit(f"method=style-swap&photo=cat&{mixed}&{SMALL}")
    expect(page.locator("#status")).to_contain_text("style-swap:")
    assert query(page)["instant.weight2"] == "0.5"
    expect(page.locator("#balance input").first).to_have_value("0.4")
    expect(page.locator("#strength input").first).to_have_value("0.7")


def test_a_damaged_mixture_is_named(visit):
    page = visit(f"method=wtc&instant.mix2=nothing&{SMALL}")
    expect(page.get_by_text("not restored")).to_contain_text("method")


def test_refine_goes_on_from_the_result(visit, engine):
    page = visit(f"method=adain&photo=cat&{SMALL}&iterations=3")
    expect(page.locator("#go")).to_have_text("Refine")
    press_stylize(page)
    expect(page.locator("#status")).to_contain_text("Done", timeout=60_000)
    assert engine.started == 1


def test_the_file_has_its_settings(visit, tmp_path):
    page = visit(f"method=wct&photo=cat&painting=great_wave&{SMALL}")
    expect(page.locator("#status")).to_contain_text("wct:")
    report = read_report(downloaded(page, "#png", tmp_path)).as_dict()
    assert (report["method"], report["photo"], report["painting"]) == ("wct", "cat", "great_wave")
    assert report["settings"]["size"] == 96


@pytest.fixture
def own_services(tmp_path):
    made = services(tmp_path, {})
    yield made
    made.close()


REQUEST = SimpleNamespace(session_hash="visitor", client=SimpleNamespace(host="10.0.0.1"))


def collected(answer):
    """All that an event yields."""

    async def collect():
        return [shown async for shown in answer]

    return waited_for(collect())


@pytest.mark.parametrize("method", ["style-swap", "starry-night"])
def test_a_result_that_came_too_late_is_not_shown(own_services, method):
    """While it was painted, the visitor chose something else."""

    def slow(engine):
        def steps(*arguments):
            own_services.at_once.drop(REQUEST, PAGE)
            return engine(*arguments)

        return steps

    engines = optimize.stylize, estimate, slow(trained.stylize), slow(anypainting.stylize)
    answers = Answers(own_services, *engines)
    photo, painting = str(photos()["cat"].path), str(paintings()["great_wave"].path)
    how = 1.0, False, 96
    given = (photo, method, *how) if method == "starry-night" else (photo, painting, method, *how)
    answer = answers.at_once if method == "starry-night" else answers.any_at_once
    own = () if method == "starry-night" else defaults(method)
    shown = collected(answer(REQUEST, *given, *own))
    assert all(outputs[1:] == UNCHANGED[1:] for outputs in shown)
    assert own_services.at_once.of(REQUEST, PAGE) is None


# The API


@pytest.fixture
def client(server):
    return Client(server.url, verbose=False)


def paint(client, *more, painting="great_wave", method="style-swap", size=96):
    pictures = handle_file(photos()["cat"].path), handle_file(paintings()[painting].path)
    answer = client.predict(*pictures, method, 1.0, False, size, *more, api_name="/any")
    return [
        part["value"] if isinstance(part, dict) and "__type__" in part else part for part in answer
    ]


def test_a_program_gets_the_picture_and_its_settings(client):
    status, picture, _, _, report, png, *_ = paint(client)
    assert "style-swap: 96 ×" in status
    assert report["settings"]["method"] == "style-swap"
    assert list(read_report(png).size) == report["size"]
    assert difference(open_picture(picture), open_picture(png)) == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((9.0,), "9.0 is greater"),
        ((1.0, 3.0), "3.0 is greater"),
        ((1.0, 0.0, "nothing", 1.0), "nothing is not in the list"),
    ],
)
def test_a_program_is_told_what_is_wrong(client, more, words):
    with pytest.raises((AppError, ValueError), match=words):
        paint(client, *more)


def test_a_mixture_differs_from_its_paintings(client):
    alone = open_picture(paint(client, 1.0, 0.0, "", 1.0)[5])
    mixed = open_picture(paint(client, 1.0, 0.0, "composition_viii", 1.0)[5])
    assert difference(alone, mixed) > 3


def test_what_is_not_at_once_is_refused_with_a_size(client):
    with pytest.raises(AppError, match=r"the limit is 60 s. A size of \d+ pixels would fit"):
        paint(client, 2.0, 1.0, "starry_night", 1.0, "whalers", 1.0, size=2048)


def test_the_same_is_painted_once(own_services):
    """A link with pictures asks twice: when it is opened and when its pictures have changed."""
    painted = []

    def counted(*arguments):
        painted.append(arguments)
        return anypainting.stylize(*arguments)

    answers = Answers(own_services, optimize.stylize, estimate, trained.stylize, counted)
    photo, painting = str(photos()["cat"].path), str(paintings()["great_wave"].path)
    given = (REQUEST, photo, painting, "adain", 0.7, False, 96, *defaults("adain"))
    reports = [collected(answers.any_at_once(*given))[-1][4] for _ in range(2)]
    assert reports[0] == reports[1]
    assert len(painted) == 1
    collected(answers.any_at_once(*given[:6], 97, *given[7:]))
    assert len(painted) == 2


def test_a_saved_mixture_names_all_its_paintings_with_their_weights(client):
    _, _, _, _, shown, png, *_ = paint(client, 1.0, 0.0, "composition_viii", 0.5)
    for report in (shown, read_report(png).as_dict()):
        assert report["painting"] == report["paintings"][0]
        assert report["paintings"][1:] == ["composition_viii"]
        assert report["weights"] == [1.0, 0.5]
