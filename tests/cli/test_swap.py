"""`python -m nst swap`: any painting in one pass, in here."""

from pathlib import Path

import pytest
from PIL import Image

from nst.pictures.images import read_report
from nst.settings.onepass import all_methods
from tests.helpers import invoke, refused

SMALL = ("--size", "64")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, photo):
    """A folder with pictures in it, to work in."""
    monkeypatch.chdir(tmp_path)
    photo.save("photo.png")
    Image.new("RGB", (9, 7), "red").save("tiny.png")
    Path("text.jpg").write_text("not a picture")


def swap(*arguments):
    done = invoke("swap", *arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout + done.stderr


@pytest.mark.parametrize("method", all_methods())
def test_each_method_paints_and_says_how(method):
    said = swap("photo.png", "great_wave", "-o", "r.png", *SMALL, "--method", method)
    assert f"{method}: 64 × 43 pixels" in said
    report = read_report("r.png").as_dict()
    assert report["method"] == method
    assert method.startswith(report["settings"]["method"])
    assert (report["photo"], report["paintings"]) == ("photo.png", ["great_wave"])
    with Image.open("r.png") as picture:
        assert picture.size == (64, 43)


def test_options_reach_the_settings():
    options = ["--patch", "5", "--stride", "2", "--balance", "0.5", "--strength", "0.8"]
    swap(
        "photo.png", "whalers", "-o", "r.png", *SMALL, *options, "--stroke", "0.7", "--keep-colors"
    )
    settings = read_report("r.png").settings
    assert settings["swap"] == {"patch": 5, "stride": 2, "balance": 0.5, "most": 16_000}
    assert (settings["strength"], settings["stroke"], settings["keep_colors"]) == (0.8, 0.7, True)


def test_paintings_can_be_mixed():
    swap("photo.png", "great_wave", "-o", "r.png", *SMALL, "--mix", "starry_night=0.5")
    report = read_report("r.png").as_dict()
    assert report["paintings"] == ["great_wave", "starry_night"]
    assert report["weights"] == [1.0, 0.5]


def test_a_painting_may_be_mixed_in_twice():
    mixed = ["--mix", "great_wave=0.1", "--mix", "great_wave=0.9"]
    swap("photo.png", "whalers", "-o", "r.png", *SMALL, *mixed)
    assert read_report("r.png").weights == (1.0, 0.1, 0.9)


def test_a_tiny_painting_is_painted_with():
    swap("photo.png", "tiny.png", "-o", "r.png", *SMALL)
    assert Path("r.png").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "adaine"], "Did you mean `adain`?"),
        (["--patch", "0"], "patch"),
        (
            ["--method", "wct", "--balance", "0"],
            "`--balance` is for style swap",
        ),
        (["--stride", "0"], "stride"),
        (["--strength", "2"], "strength"),
        (["--size", "5"], "size"),
        (
            ["--mix", "whalers"],
            "`--mix whalers` needs the form painting=weight, such as starry_night=0.5.",
        ),
        (["--mix", "whalers=0"], "Every painting of a mixture needs a weight above 0."),
        (["--mix", "whalers=inf"], "Every painting of a mixture needs a weight above 0."),
        (["--mix", "text.jpg=1"], "text.jpg"),
        (
            [f"--mix={name}=1" for name in ("whalers", "great_wave", "cafe_terrace")],
            "1 to 3 paintings can be mixed, not 4.",
        ),
    ],
)
def test_a_bad_option_is_refused_with_a_sentence(options, words):
    assert words in refused("swap", "photo.png", "starry_night", "-o", "r.png", *options)
    assert not Path("r.png").exists()


def test_no_input_is_overwritten():
    assert "photo.png" in refused("swap", "photo.png", "whalers", "-o", "photo.png")
