"""The catalog, against the numbers that the reports print."""

import tomllib

import pytest

from nst.names import UnknownName
from nst.nn.vgg import NETWORKS
from nst.pictures.images import open_picture
from nst.settings.base import flat
from nst.settings.catalog import (
    DEFAULT_PRESET,
    IMAGES,
    RECIPES,
    all_presets,
    get,
    paintings,
    photos,
    read_preset,
)
from nst.settings.files import BadFile
from nst.settings.recipe import Recipe

FIFTHS = {f"conv{block}_1": 0.2 for block in range(1, 6)}

PENG_ZHANG = {
    "normalization": "mean",
    "backbone.network": "vgg19",
    "backbone.activation": "relu",
    "backbone.last_activation": "relu",
    "tv.weight": 0,
    "optimizer.name": "adam",
    "optimizer.learning_rate": 5,
    "optimizer.end_learning_rate": None,
    "optimizer.beta1": 0.99,
    "optimizer.epsilon": 0.1,
    "optimizer.clamp": True,
    "start.image": "photo",
    "start.noise": 0,
    "pyramid.scales": (1,),
}
LAKIC = {
    "normalization": "paper",
    "backbone.network": "vgg19",
    "backbone.pooling": "average",
    "backbone.activation": "relu",
    "backbone.last_activation": "relu",
    "tv.weight": 0,
    "optimizer.name": "adam",
    "optimizer.learning_rate": 5.1,  # 0.02 of 0..1, in units of 0..255
    "optimizer.end_learning_rate": None,
    "start.image": "noise",
    "pyramid.scales": (1,),
    "pyramid.iterations": (1000,),
}
LU = {
    "normalization": "channels",
    "backbone.network": "vgg19",
    "backbone.pooling": "max",
    "backbone.activation": "relu",
    "backbone.last_activation": "relu",
    "content.weight": 5,
    "content.layers": {"conv4_2": 1},
    "style.weight": 500,
    "style.layers": FIFTHS,
    "tv.weight": 100,
    "tv.kind": "l2-mean",
    "optimizer.name": "adam",
    "optimizer.learning_rate": 10,
    "optimizer.end_learning_rate": None,
    "optimizer.beta1": 0.9,
    "optimizer.beta2": 0.999,
    "optimizer.epsilon": 1e-8,
    "start.image": "noise",
    "start.distribution": "normal",
    "start.deviation": 0.256,
    "pyramid.scales": (1,),
    "pyramid.iterations": (1000,),
}
REPORTS = {
    "baseline": {
        **PENG_ZHANG,
        "backbone.pooling": "max",
        "content.weight": 1e3,
        "content.layers": {"conv5_2": 1},
        "style.weight": 1e-2,
        "style.layers": FIFTHS,
        "pyramid.iterations": (1000,),
    },
    "tuned": {
        **PENG_ZHANG,
        "backbone.pooling": "average",
        "content.weight": 1e3,
        "content.layers": {"conv4_2": 1},
        "style.weight": 1,
        "style.layers": {
            "conv1_1": 0.05,
            "conv2_1": 0.2,
            "conv3_1": 1,
            "conv4_1": 0.2,
            "conv5_1": 0.2,
        },
        "pyramid.iterations": (200,),
    },
    "white-noise": {
        **LAKIC,
        "content.weight": 1,  # the ratio 1e-3
        "content.layers": {"conv4_2": 1},
        "style.weight": 1e3,
        "style.layers": FIFTHS,
    },
    "content-reconstruction": {
        **LAKIC,
        "content.layers": {"conv4_2": 1},
        "style.weight": 0,
    },
    "style-reconstruction": {
        **LAKIC,
        "content.weight": 0,
        "style.layers": FIFTHS,
    },
    "cs229": {
        "normalization": "sum",
        "backbone.network": "vgg19",
        "backbone.pooling": "average",
        "backbone.activation": "relu",
        "backbone.last_activation": "relu",
        "content.weight": 1e-4,
        "content.layers": {"conv4_2": 1},
        "style.weight": 1,
        "style.layers": {f"conv{block}_1": 1 for block in range(1, 6)},
        "style.fit": "crop",
        "tv.weight": 1e-5,
        "tv.kind": "l1-sum",
        "optimizer.name": "adam",
        "optimizer.learning_rate": 10,
        "optimizer.end_learning_rate": 1,
        "optimizer.decay_iterations": 1000,
        "start.image": "noise",
        "pyramid.scales": (1,),
        "pyramid.iterations": (1000,),
    },
    "original": LU,
    "average-pooling": {**LU, "backbone.pooling": "average"},
    "leaky-relu": {
        **LU,
        "backbone.activation": "leaky_relu",
        "backbone.last_activation": "leaky_relu",
        "backbone.slope": 0.2,
    },
    "tanh": {**LU, "backbone.pooling": "average", "backbone.last_activation": "tanh"},
    "vgg16": {**LU, "backbone.network": "vgg16", "backbone.pooling": "average"},
    "vgg16-tanh": {
        **LU,
        "backbone.network": "vgg16",
        "backbone.pooling": "average",
        "backbone.last_activation": "tanh",
    },
}


# The catalogue


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_a_preset_is_complete(name):
    preset = get(name)
    assert preset.name == name
    assert preset.title.strip()
    assert preset.title not in {other.title for other in all_presets().values() if other != preset}
    assert preset.summary.strip().endswith(".")
    assert preset.source.strip()
    assert preset.note == "" or preset.note.strip().endswith(".")
    assert [other.name for other in all_presets().values() if other.rank == preset.rank] == [name]
    assert Recipe.read(preset.recipe.model_dump()) == preset.recipe
    assert preset.recipe.layers
    assert set(preset.recipe.layers) <= set(NETWORKS[preset.recipe.backbone.network].layers)


def test_presets_come_in_the_order_of_their_ranks():
    ranks = [preset.rank for preset in all_presets().values()]
    assert ranks == sorted(ranks)


def test_the_default_preset_exists_and_comes_first():
    assert next(iter(all_presets())) == DEFAULT_PRESET


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [(name, *item) for name, settings in REPORTS.items() for item in settings.items()],
)
def test_a_preset_has_its_reports_number(name, setting, value):
    assert flat(get(name).recipe)[setting] == pytest.approx(value)


@pytest.mark.parametrize("name", REPORTS)
def test_a_preset_of_a_report_names_its_author(name):
    authors = ("Peng and Zhang", "Lakić", "Liu, Wang and Ding", "Lu, table")
    assert sum(author in get(name).source for author in authors) == 1


def test_an_unknown_preset_is_refused_with_the_closest_one():
    with pytest.raises(UnknownName) as caught:
        get("basline")
    assert str(caught.value) == "Unknown preset `basline`. Did you mean `baseline`?"


# Files that are no presets

GOOD = 'title = "Mine"\nsummary = "It is mine."\nsource = "Me"\nrank = 99\n'


def test_a_small_preset_file_reads_with_the_defaults(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD + 'note = "né"\n[recipe.style]\nweight = 2', "utf-8")
    preset = read_preset(path)
    assert (preset.name, preset.title, preset.rank, preset.note) == ("mine", "Mine", 99, "né")
    assert preset.recipe == Recipe().but({"style.weight": 2})


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (GOOD + 'tittle = "x"', "Unknown key `tittle`. Did you mean `title`?"),
        ("[recip]\n", "Unknown key `recip`. Did you mean `recipe`?"),
        (GOOD + "[recip]\nsize = 512", "Unknown key `recip`. Did you mean `recipe`?"),
        (GOOD + "rank =", "Invalid value"),
        ("", "`title`: Field required."),
        (GOOD.partition("\n")[2], "`title`: Field required."),
        (GOOD.replace("rank = 99", ""), "`rank`: Field required."),
        (GOOD.replace("99", '"last"'), "`rank`: "),
        (GOOD.replace('"Mine"', "5"), "`title`: "),
        (
            GOOD + "[recipe]\nsise = 512",
            "Unknown setting `sise`. Did you mean `size`?",
        ),
        (
            GOOD + "[recipe.optimizer]\nlearning_rat = 1",
            "Unknown setting `optimizer.learning_rat`. Did you mean `optimizer.learning_rate`?",
        ),
        (GOOD + "[recipe]\nsize = 1", "`size` is 1: it must be greater than or equal to 64."),
        (
            GOOD + "[recipe.style]\nlayers = { conv42 = 1 }",
            "Unknown layer `conv42` for vgg19. Did you mean `conv4_2`?",
        ),
        (GOOD + "[recipe.style]\nweight = nan", "`style.weight` is nan: "),
        (GOOD + "[recipe.pyramid]\nscales = []\niterations = []", "pyramid"),
        (GOOD + "recipe = 5", "recipe"),
        (GOOD + 'name = "other"', "`name`"),
    ],
    ids=[
        "unknown key",
        "no title, unknown table",
        "unknown table",
        "bad TOML",
        "empty",
        "no title",
        "no rank",
        "rank is text",
        "title is a number",
        "unknown setting",
        "unknown setting in a section",
        "out of range",
        "unknown layer",
        "nan",
        "empty pyramid",
        "recipe is a number",
        "a name of its own",
    ],
)
def test_a_bad_preset_file_is_refused_with_its_name_and_the_reason(tmp_path, text, answer):
    path = tmp_path / "my-look.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(BadFile) as caught:
        read_preset(path)
    assert str(caught.value).startswith("my-look.toml: ")
    assert answer in str(caught.value).removeprefix("my-look.toml: ")


def test_a_preset_file_that_is_no_text_is_refused_with_its_name(tmp_path):
    path = tmp_path / "my-look.toml"
    path.write_bytes(b"\xff\xfe\x00title")
    with pytest.raises(BadFile, match=r"^my-look\.toml: "):
        read_preset(path)


# Bundled pictures


def test_every_bundled_picture_has_a_credit_and_every_credit_a_picture():
    files = {path for path in IMAGES.rglob("*") if path.is_file() and path.suffix != ".toml"}
    credited = [credit.path for table in (photos(), paintings()) for credit in table.values()]
    assert len(credited) == len(set(credited))
    assert set(credited) == files


def test_photos_and_paintings_have_different_short_names():
    assert len(photos()) >= 1
    assert len(paintings()) >= 1
    assert not set(photos()) & set(paintings())


@pytest.mark.parametrize(
    "credit", [*photos().values(), *paintings().values()], ids=lambda credit: credit.name
)
def test_a_credit_says_what_it_is_and_whom_it_is_owed_to(credit):
    assert credit.title.strip()
    assert credit.source.strip()
    assert credit.license.strip()
    assert (credit.artist or credit.author).strip()
    assert credit.by.startswith(credit.artist or credit.author)


def test_paintings_are_credited_with_artist_and_year():
    assert paintings()["starry_night"].by == "Vincent van Gogh, 1889"
    assert all(credit.artist and credit.year for credit in paintings().values())


def test_photos_are_credited_with_the_photographer():
    assert photos()["red_panda"].by == "Mathias Appel"


def test_every_bundled_picture_opens_at_the_size_that_its_credit_states():
    tree = tomllib.loads((IMAGES / "CREDITS.toml").read_text("utf-8"))
    for entry in (*tree["style"], *tree["photo"]):
        assert list(open_picture(IMAGES / entry["file"]).size) == entry["size"], entry["file"]
