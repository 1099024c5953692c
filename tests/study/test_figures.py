"""The reports' tables and figures as data, against what the reports print."""

import pytest

from nst.names import UnknownName
from nst.reports.claims import FAILS, HOLDS, verdict
from nst.settings.base import flat
from nst.settings.catalog import paintings, photos
from nst.settings.files import BadFile
from nst.study.figures import FOLDER, Claim, figures, find, read_figure
from nst.study.tables import COLUMNS
from nst.study.variants import RESULT

NAMES = [
    *("peng-zhang-2-1", "peng-zhang-2-2", "peng-zhang-figure-2", "peng-zhang-figure-3"),
    *("peng-zhang-figure-4", "peng-zhang-figure-5a", "peng-zhang-figure-5bc"),
    *("peng-zhang-figure-6", "peng-zhang-table-1"),
    *(f"lakic-figure-{number}" for number in range(2, 9)),
    *("liu-figure-1", "liu-figure-2"),
    *("lu-table-1", "lu-table-2", "lu-figure-4", "lu-figure-5"),
]
LU = ("seconds", "content_loss", "style_loss", "tv_loss", "total_loss")
LU_ORIGINAL = (37 * 60 + 59, 864545, 245190, 82180.1, 1.19192e6)
LU_TANH = (34 * 60 + 53, 84857.9, 32754.3, 32841.8, 150454)
LU_VGG16 = (31 * 60 + 34, 45027.2, 9680.14, 50232.6, 104940)
PUBLISHED = {
    "peng-zhang-table-1": {
        "Baseline": {"seconds": 111.73, "total_loss": 1780934.40},
        "Final model": {"seconds": 23.38, "total_loss": 1643762800.00},
    },
    "lu-table-1": {
        "Original": dict(zip(LU, LU_ORIGINAL, strict=True)),
        "Average pooling": dict(
            zip(LU, (36 * 60 + 18, 84554.8, 34940, 33135.6, 152630), strict=True)
        ),
        "Leaky ReLU": dict(
            zip(LU, (37 * 60 + 40, 1.65628e6, 566431, 60313.7, 2.28302e6), strict=True)
        ),
        "Tanh in the final layer": dict(zip(LU, LU_TANH, strict=True)),
        "VGG-16": dict(zip(LU, LU_VGG16, strict=True)),
    },
    "lu-table-2": {
        "Original": dict(zip(LU, LU_ORIGINAL, strict=True)),
        "Tanh in the final layer": dict(zip(LU, LU_TANH, strict=True)),
        "VGG-16": dict(zip(LU, LU_VGG16, strict=True)),
        "VGG-16 and tanh": dict(
            zip(LU, (31 * 60 + 56, 44875.3, 10385.8, 50380.9, 105642), strict=True)
        ),
    },
}
CLAIMS = [(figure, claim) for figure in figures().values() for claim in figure.claims]


def claim_names(parameter):
    return getattr(parameter, "name", None) or parameter.says


def recipes(name):
    """The settings of a figure's cells, in their order."""
    return [flat(variant.settings) for variant in find(name).variants()]


def column(name, setting):
    """One setting of each cell."""
    return [recipe[setting] for recipe in recipes(name)]


# The files


def test_the_figures_are_those_of_the_reports_in_their_order():
    assert {*NAMES} <= {*figures()}
    assert {path.stem for path in FOLDER.glob("*.toml")} == {*figures()}
    assert [name for name in figures() if name in NAMES] == NAMES


def test_ranks_and_titles_are_different():
    for key in ("rank", "title", "place"):
        found = [(f.report if key == "place" else "", getattr(f, key)) for f in figures().values()]
        assert len(found) == len({*found}), key


@pytest.mark.parametrize("name", figures())
def test_a_figure_is_complete(name):
    figure = find(name)
    assert figure.says.endswith(".")
    assert figure.note == "" or figure.note.endswith(".")
    assert figure.report and figure.place and figure.title
    assert {*figure.columns} <= {*COLUMNS}
    titles = [cell.title for cell in figure.cells]
    assert len(titles) == len({*titles})
    assert all({*cell.published} <= {*COLUMNS} for cell in figure.cells)


@pytest.mark.parametrize("name", figures())
def test_pictures_of_a_figure_are_bundled_or_earlier_results(name):
    for cell in find(name).cells:
        for source, bundled in ((cell.photo, photos()), (cell.painting, paintings())):
            assert not source or source.startswith(RESULT) or source in bundled


@pytest.mark.parametrize("name", figures())
def test_no_two_cells_of_a_figure_are_the_same_run(name):
    made_by = [(repr(v.painter), v.photo, v.painting) for v in find(name).variants()]
    assert len(made_by) == len({*made_by})


@pytest.mark.parametrize("name", figures())
def test_a_size_applies_to_every_cell(name):
    assert {variant.settings.size for variant in find(name).variants(128)} == {128}


@pytest.mark.parametrize(("figure", "claim"), CLAIMS, ids=claim_names)
def test_a_claim_can_be_computed(figure, claim):
    assert claim.column in COLUMNS
    assert claim.says and not claim.says.endswith(".")
    assert len(claim.of) == len({*claim.of})
    assert claim.direction or claim.kind in ("change", "alike")
    if claim.kind == "extreme":  # of two, a wrong one would count as holding in part
        assert len(claim.of) > 2


@pytest.mark.parametrize(
    ("figure", "claim"),
    [
        (figure, claim)
        for figure, claim in CLAIMS
        if all(claim.column in c.published for c in figure.cells if c.title in claim.of)
    ],
    ids=claim_names,
)
def test_a_claim_holds_in_the_numbers_that_the_report_printed(figure, claim):
    published = {cell.title: cell.published for cell in figure.cells}
    assert verdict(claim, published).verdict == HOLDS
    if claim.kind == "change":
        new, old = (published[title][claim.column] for title in claim.of)
        assert claim.percent == pytest.approx(100 * (new / old - 1), abs=0.06)


def test_figures_without_a_claim_say_why():
    for figure in figures().values():
        assert figure.claims or "not tested" in figure.note


# What the reports print


def test_wang_prints_the_seconds_of_two_trainings():
    """4 min 40 s for model 1 and about an hour for model 2."""
    for cell in find("wang-comparison").cells:
        wanted = {"one style, 463 photos": 280, "any style, 1031 photos": 3600}
        published = wanted.get(cell.title.split(": ")[1])
        assert dict(cell.published) == ({"training_seconds": published} if published else {})
        assert cell.photo
        assert cell.painting


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_numbers_of_a_table_are_the_reports(name):
    figure = find(name)
    assert figure.is_table
    assert {cell.title: dict(cell.published) for cell in figure.cells} == PUBLISHED[name]


def test_only_tables_have_published_numbers():
    assert {name for name, figure in figures().items() if figure.is_table} == {
        *PUBLISHED,
        "wang-comparison",
    }


def test_peng_and_zhang_keep_average_pooling_after_section_2_1():
    assert column("peng-zhang-2-1", "backbone.pooling") == ["max", "average"]
    assert column("peng-zhang-figure-6", "backbone.pooling") == ["max", "average"]
    for number in ("2-2", "figure-2", "figure-3", "figure-4", "figure-5a", "figure-5bc"):
        assert {*column(f"peng-zhang-{number}", "backbone.pooling")} == {"average"}


def test_peng_and_zhang_feed_the_first_result_back():
    _, style, content = find("peng-zhang-2-2").variants()
    assert (style.photo, style.painting) == ("", "result:Average pooling")
    assert (content.photo, content.painting) == ("result:Average pooling", "")


@pytest.mark.parametrize(
    ("name", "ratios"),
    [
        ("peng-zhang-figure-2", [1e5] * 5),
        ("peng-zhang-figure-3", [1e6] * 5),
        ("peng-zhang-figure-4", [1e9, 1e8, 1e7, 1e6, 1e5]),
        ("peng-zhang-figure-5a", [1e5] * 5),
        ("peng-zhang-figure-5bc", [1e-5] * 3),
        ("peng-zhang-figure-6", [1e5, 1e3]),
        ("lakic-figure-5", [1e-2] * 5),
        ("lakic-figure-6", [1e-4, 1e-3, 1e-2, 1e-1]),
    ],
)
def test_content_and_style_have_the_ratio_of_the_report(name, ratios):
    found = [recipe["content.weight"] / recipe["style.weight"] for recipe in recipes(name)]
    assert found == pytest.approx(ratios)


@pytest.mark.parametrize(
    ("name", "iterations"),
    [
        ("peng-zhang-figure-2", [1000] * 5),
        ("peng-zhang-figure-3", [1000] * 5),
        ("peng-zhang-figure-4", [1000] * 5),
        ("peng-zhang-figure-5a", [50, 100, 200, 500, 1000]),
        ("peng-zhang-table-1", [1000, 200]),
        ("lakic-figure-2", [10, 50, 100, 500, 1000]),
        ("lakic-figure-3", [10, 50, 100, 500, 1000]),
        ("lakic-figure-4", [500] * 5),
        ("lakic-figure-5", [1000] * 5),
        ("liu-figure-1", [400] * 3),
        ("liu-figure-2", [400] * 3),
        ("lu-table-1", [1000] * 5),
    ],
)
def test_cells_have_the_iterations_of_the_report(name, iterations):
    assert [sum(steps) for steps in column(name, "pyramid.iterations")] == iterations


def test_peng_and_zhang_vary_the_content_layer():
    layers = ["conv3_2", "conv3_3", "conv4_2", "conv4_3", "conv5_2"]
    assert column("peng-zhang-figure-2", "content.layers") == [{name: 1} for name in layers]


def test_peng_and_zhang_emphasize_one_style_layer_with_10():
    names = [f"conv{block}_1" for block in range(1, 6)]
    wanted = [{name: 10 if name == chosen else 0.2 for name in names} for chosen in names]
    assert column("peng-zhang-figure-3", "style.layers") == wanted


def test_peng_and_zhang_seeds_have_noise_to_act_upon():
    assert column("peng-zhang-figure-5bc", "seed") == [0, 1, 2]
    assert {*column("peng-zhang-figure-5bc", "start.image")} == {"photo"}
    assert min(column("peng-zhang-figure-5bc", "start.noise")) > 0


def test_lakic_uses_one_to_five_layers_that_add_up_to_one():
    layers = column("lakic-figure-5", "style.layers")
    assert [len(table) for table in layers] == [1, 2, 3, 4, 5]
    assert [sum(table.values()) for table in layers] == pytest.approx([1] * 5)


def test_lakic_reverses_the_weights_of_the_layers():
    first, second = column("lakic-figure-7", "style.layers")
    assert list(first.values()) == [0.05, 0.05, 0.1, 0.8]
    assert list(first) == list(second) == ["conv1_1", "conv2_1", "conv3_1", "conv4_1"]
    assert list(second.values()) == list(first.values())[::-1]


def test_lakic_learning_rates_are_for_pictures_in_0_to_1():
    rates = [rate / 255 for rate in column("lakic-figure-8", "optimizer.learning_rate")]
    assert rates == pytest.approx([0.005, 0.02, 0.05, 0.1])


def test_liu_wang_and_ding_vary_the_content_weight():
    assert column("liu-figure-1", "content.weight") == [1e-2, 1e-3, 1e-8]
    assert {*column("liu-figure-1", "optimizer.decay_iterations")} == {1000}


@pytest.mark.parametrize(
    ("name", "presets"),
    [
        ("lu-table-1", ["original", "average-pooling", "leaky-relu", "tanh", "vgg16"]),
        ("lu-table-2", ["original", "tanh", "vgg16", "vgg16-tanh"]),
        ("lu-figure-4", ["original", "average-pooling", "leaky-relu"]),
        ("lu-figure-5", ["tanh", "vgg16", "vgg16-tanh"]),
    ],
)
def test_lu_compares_presets_as_they_are(name, presets):
    variants = find(name).variants()
    assert [variant.preset for variant in variants] == presets
    assert not any(variant.changes for variant in variants)


@pytest.mark.parametrize(
    ("name", "says", "percent"),
    [
        ("peng-zhang-table-1", "The final model takes 79 % less time", -79),
        ("lu-table-1", "Average pooling lowers the total", -87.1946),
        ("lu-table-1", "Tanh lowers the total", -87.37717),
        ("lu-table-1", "VGG-16 lowers the content loss", -94.7918),
        ("lu-table-1", "Leaky ReLU raises the total", 91.5),
    ],
)
def test_a_change_has_the_percentage_that_the_report_states(name, says, percent):
    (claim,) = [claim for claim in find(name).claims if claim.says == says]
    assert claim.percent == pytest.approx(percent, abs=0.11)


def test_a_claim_fails_where_the_numbers_say_the_opposite():
    claim = find("lu-figure-4").claims[0]
    rows = {"Original": {"detail": 1.0}, "Average pooling": {"detail": 2.0}}
    assert verdict(claim, rows).verdict == FAILS


def test_an_unknown_figure_is_refused_with_the_closest_one():
    with pytest.raises(UnknownName, match=r"Did you mean `lu-table-1`\?"):
        find("lu-table1")


# Files that are no figures

HEAD = (
    'report = "Me"\nplace = "table 1"\ntitle = "Mine"\nsays = "It is so."\n'
    'preset = "baseline"\nrank = 99\n'
)
GOOD = HEAD + '[[cells]]\ntitle = "A"\n[[cells]]\ntitle = "B"\npainting = "result:A"\n'
CLAIM = '[[claims]]\nsays = "A is like B"\nkind = "alike"\ncolumn = "ssim"\nof = ["A", "B"]\n'


def read(folder, text):
    path = folder / "mine.toml"
    path.write_text(text, "utf-8")
    return read_figure(path)


def test_a_small_file_reads_with_the_defaults(tmp_path):
    figure = read(tmp_path, GOOD + CLAIM + "within = 0.1")
    assert (figure.name, figure.rank, figure.note, figure.is_table) == ("mine", 99, "", False)
    assert [variant.painting for variant in figure.variants()] == ["", "result:A"]
    assert figure.claims[0].within == 0.1


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (HEAD + 'tittle = "x"\n[[cells]]\ntitle = "A"', "tittle"),
        (GOOD + 'nuance = "x"', "nuance"),
        (GOOD + CLAIM + "within = 1\nwithout = 2", "without"),
        (HEAD, "cells"),
        (HEAD + "cells = []", "cells"),
        (GOOD.replace("rank = 99\n", ""), "rank"),
        (GOOD + "rank =", "Invalid value"),
        (GOOD + CLAIM.replace('"B"]', '"C"]') + "within = 1", "a claim names C, no cell."),
        (GOOD + CLAIM.replace(', "B"]', "]") + "within = 1", "of"),
        (GOOD + CLAIM, "alike lacks its direction, within or percent"),
        (GOOD + CLAIM.replace("alike", "order"), "order lacks its direction"),
        (GOOD + CLAIM.replace("alike", "extreme"), "extreme lacks its direction"),
        (GOOD + CLAIM.replace("alike", "change"), "change lacks its direction"),
        (GOOD + CLAIM.replace("alike", "better"), "kind"),
        (GOOD + 'painting2 = "x"', "painting2"),
        (GOOD.replace("result:A", "result:B"), "`result:B` is no earlier cell."),
        (GOOD.replace("result:A", "result:C"), "`result:C` is no earlier cell."),
        (
            GOOD.replace('title = "A"\n', 'title = "A"\nphoto = "result:B"\n'),
            "`result:B` is no earlier cell.",
        ),
        (
            GOOD.replace('"baseline"', '"basline"'),
            "Unknown preset `basline`. Did you mean `baseline`?",
        ),
        (GOOD + 'preset = "tunde"', "Unknown preset `tunde`. Did you mean `tuned`?"),
        (
            GOOD + 'vary = { iteration = "5" }',
            "Nothing named `iteration` can be varied. Did you mean `iterations`?",
        ),
        (GOOD + 'vary = { iterations = "0" }', "`iterations` is 0: it must be 1 to"),
        (GOOD + "vary = { iterations = 5 }", "vary.iterations"),
        (GOOD + 'vary = { content-layer = "conv42" }', "Did you mean `conv4_2`?"),
    ],
    ids=[
        "unknown key",
        "unknown key of a cell",
        "unknown key of a claim",
        "no cells",
        "empty cells",
        "no rank",
        "bad TOML",
        "claim on no cell",
        "claim on one cell",
        "alike without within",
        "order without direction",
        "extreme without direction",
        "change without percent",
        "unknown kind",
        "unknown picture key",
        "result of itself",
        "result of no cell",
        "result of a later cell",
        "unknown preset",
        "unknown preset of a cell",
        "unknown knob",
        "value out of range",
        "value that is no text",
        "unknown layer",
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_the_reason(tmp_path, text, answer):
    with pytest.raises(BadFile) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith("mine.toml: ")
    assert answer in str(caught.value).removeprefix("mine.toml: ")


def test_a_claim_needs_at_least_two_cells():
    with pytest.raises(ValueError, match="of"):
        Claim(says="x", kind="alike", column="ssim", of=("A",), within=1)
