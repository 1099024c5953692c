"""What somebody chose, in an address and back."""

from urllib.parse import parse_qsl

import pytest

import nst.study.choice
from nst.names import Problem
from nst.settings.base import BadSetting
from nst.settings.catalog import get
from nst.settings.files import BadFile
from nst.study.choice import Comparison, Sweep, ready_made
from nst.study.figures import find
from nst.study.variants import TooMuch, refuse_if_too_long

CHOICES = [
    Comparison(),
    Comparison(presets=("quick", "showcase", "tuned"), size=128),
    Comparison(by="values", preset="tuned", vary="ratio=1e-3,1", size=64),
    Comparison(by="values", vary="style.layers=conv1_1=1, conv2_1=0.5;conv3_1"),
    Comparison(by="values", vary="size=64,96"),
    Comparison(by="figure", figure="lu-table-1"),
    Comparison(presets=()),
    Sweep(),
    Sweep(preset="baseline", vary="seed=1,2", vary2="start.noise=0,0.5,1", size=64),
    Sweep(vary="style.layers=conv1_1=1, conv2_1;conv3_1", vary2=""),
    Sweep(vary="size=64,96", vary2=""),
]


def from_address(query):
    """As a web server reads it."""
    return dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))


@pytest.mark.parametrize("choice", CHOICES, ids=repr)
def test_an_address_brings_the_choice_back(choice):
    assert type(choice).read(from_address(choice.query())) == choice


def test_an_address_has_only_what_differs_and_what_is_added():
    assert Comparison().query() == Sweep().query() == ""
    query = Sweep(size=64).query(view="explore", photo="", painting="great_wave")
    assert from_address(query) == {"size": "64", "view": "explore", "painting": "great_wave"}
    query = Comparison(presets=("gatys", "quick")).query(view="compare")
    assert from_address(query) == {"presets": "gatys,quick", "view": "compare"}


def test_signs_in_a_value_do_not_end_it():
    vary = "start.image=a&b=c, d+e%20#f;100 % é"
    assert Sweep.read(from_address(Sweep(vary=vary).query())).vary == vary


def test_presets_are_painted_side_by_side():
    variants = Comparison(presets=("gatys", "quick"), size=96).variants()
    assert [v.preset for v in variants] == ["gatys", "quick"]
    assert {v.settings.size for v in variants} == {96}


def test_values_are_painted_side_by_side():
    variants = Comparison(by="values", preset="tuned", vary="seed=4,5", size=96).variants()
    assert [(v.preset, v.settings.seed, v.settings.size) for v in variants] == [
        ("tuned", 4, 96),
        ("tuned", 5, 96),
    ]


def test_a_figure_is_painted_at_the_size_that_was_chosen():
    chosen = Comparison(by="figure", figure="peng-zhang-2-2", size=96)
    assert chosen.variants() == find("peng-zhang-2-2").variants(96)


def test_a_sweep_is_painted_row_by_row():
    variants = Sweep(preset="baseline", vary="seed=1,2", vary2="start.noise=0,1").variants()
    assert [v.place for v in variants] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_sweep_may_have_one_axis():
    sweep = Sweep(preset="baseline", vary="seed=1,2", vary2=" ")
    assert [one.key for one in sweep.axes()] == ["seed"]
    assert len(sweep.variants()) == 2


@pytest.mark.parametrize("axes", [("size=64,96", ""), ("seed=1", "size=64,96")])
def test_a_sweep_of_sizes_has_no_size_for_all(axes):
    variants = Sweep(vary=axes[0], vary2=axes[1], size=512).variants()
    assert [v.settings.size for v in variants] == [64, 96]


@pytest.mark.parametrize(
    ("kind", "tree", "words"),
    [
        (Comparison, {"by": "colors"}, "`by`"),
        (Comparison, {"size": "large"}, "`size`"),
        (Comparison, {"size": "63"}, "`size`"),
        (Comparison, {"size": "1e9"}, "`size`"),
        (Comparison, {"sparkle": "3"}, "`sparkle`"),
        (Comparison, {"presets": ""}, "2 to 6 presets, not 0"),
        (Comparison, {"presets": "quick"}, "2 to 6 presets, not 1"),
        (Comparison, {"presets": "quick,quick"}, "each preset once"),
        (Comparison, {"presets": "quikc,tuned"}, "Did you mean `quick`"),
        (Comparison, {"by": "values", "vary": "seed"}, "`seed` needs the form"),
        (Comparison, {"by": "values", "vary": "seed=1"}, "2 to 6 values, not 1"),
        (Comparison, {"by": "values", "vary": "sede=1,2"}, "Did you mean `seed`"),
        (Comparison, {"by": "values", "preset": "quikc"}, "Did you mean `quick`"),
        (Comparison, {"by": "figure"}, "Choose a table or figure"),
        (Comparison, {"by": "figure", "figure": "lu-table-11"}, "Did you mean `lu-table-1`"),
        (Sweep, {"presets": "quick"}, "`presets`"),
        (Sweep, {"size": ""}, "`size`"),
        (Sweep, {"vary": ""}, None),  # the rows alone
        (Sweep, {"vary": "", "vary2": ""}, "one or two axes, not 0"),
        (Sweep, {"vary": "ratio=1,2"}, "`ratio` cannot be both axes"),
        (Sweep, {"vary2": "seed=" + ",".join(map(str, range(13)))}, "39 cells are too many"),
        (Sweep, {"preset": ""}, "preset ``"),
    ],
)
def test_a_damaged_address_is_a_sentence(kind, tree, words):
    if words is None:
        assert kind.read(tree).variants()
        return
    with pytest.raises(Problem) as refused:
        kind.read(tree).variants()
    assert words in str(refused.value)
    assert str(refused.value)[-1] in ".?"


def test_sentences_are_of_the_kind_that_pages_show():
    with pytest.raises(BadSetting):
        Comparison.read({"size": "x"})
    with pytest.raises(TooMuch):
        Comparison(presets=("quick",)).variants()


# The ready-made ones


def test_ready_made_comparisons_can_be_painted():
    found = ready_made()
    assert len(found) == len({ready.title for ready in found}) >= 3
    for ready in found:
        assert ready.source
        assert len(ready.comparison.variants()) >= 2
        assert Comparison.read(from_address(ready.comparison.query())) == ready.comparison


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "comparison"),
        ("[[comparison]", "comparisons.toml"),
        ('[[comparison]]\nsource = "x"', "title"),
        ('[[comparison]]\ntitle = "x"\nsource = "x"\npresets = ["quikc", "tuned"]', "`quick`"),
        ('[[comparison]]\ntitle = "x"\nsource = "x"\nfigure = "lu-table-11"', "`lu-table-1`"),
        ('[[comparison]]\ntitle = "x"\nsource = "x"\nsizes = 3', "`sizes`"),
    ],
    ids=["empty", "no TOML", "no title", "no preset", "no figure", "unknown key"],
)
def test_a_bad_file_of_ready_made_comparisons_is_refused(tmp_path, monkeypatch, text, words):
    path = tmp_path / "comparisons.toml"
    path.write_text(text, "utf-8")
    monkeypatch.setattr(nst.study.choice, "READY", path)
    with pytest.raises(BadFile) as refused:
        ready_made.__wrapped__()
    assert str(refused.value).startswith("comparisons.toml: ")
    assert words in str(refused.value)


@pytest.mark.parametrize("damage", ["preset=nonsense", "figure=x", "vary=zzz%3D1"])
def test_what_the_way_of_comparing_does_not_use_is_not_taken_from_an_address(damage):
    query = dict(parse_qsl(damage)) | {"presets": "quick,tuned"}
    assert Comparison.read(query) == Comparison.read({"presets": "quick,tuned"})


@pytest.mark.parametrize(
    ("kind", "tree", "field"),
    [
        (Comparison, {"by": "colors"}, "by"),
        (Comparison, {"size": "large"}, "size"),
        (Comparison, {"size": "63"}, "size"),
        (Comparison, {"presets": "quick"}, "presets"),
        (Comparison, {"presets": "quikc,tuned"}, "presets"),
        (Comparison, {"by": "values", "vary": "seed"}, "vary"),
        (Comparison, {"by": "values", "vary": "seed=1,x"}, "vary"),
        (Comparison, {"by": "values", "vary": "size=1,x"}, "vary"),
        (Comparison, {"by": "values", "vary": "seed=1,2", "size": "9"}, "size"),
        (Comparison, {"by": "values", "preset": "quikc"}, "preset"),
        (Comparison, {"by": "figure", "figure": "lu-table-11"}, "figure"),
        (Sweep, {"vary": "ratio=1,x"}, "vary"),
        (Sweep, {"vary2": "ratio=1,x"}, "vary2"),
        (Sweep, {"vary": "", "vary2": "ratio=1,x"}, "vary2"),
        (Sweep, {"vary2": "style.weight=1,x"}, "vary2"),
        (Sweep, {"size": "9"}, "size"),
        (Sweep, {"preset": "quikc"}, "preset"),
    ],
)
def test_a_problem_says_which_field_it_is_about(kind, tree, field):
    with pytest.raises(Problem) as refused:
        kind.read(tree).variants()
    assert refused.value.field == field


def test_what_takes_too_long_is_a_problem_of_the_size():
    variants = Comparison().variants()
    with pytest.raises(Problem) as refused:
        refuse_if_too_long(variants, (600, 400), (500, 500), 1e-3)
    assert refused.value.field == "size"


def test_a_comparison_has_settings_in_common_before_what_varies():
    values = Comparison.read({"by": "values", "vary": "ratio=1,2", "size": 64})
    weights = [v.settings.content.weight for v in values.variants({"style.weight": "3"})]
    assert weights == [3, 6]
    presets = Comparison.read({"presets": "baseline,tuned"}).variants({"seed": "7"})
    assert {variant.settings.seed for variant in presets} == {7}


def test_without_a_size_each_preset_has_its_own():
    variants = Comparison.read({"presets": "baseline,showcase", "size": None}).variants()
    assert [v.settings.size for v in variants] == [
        get(name).recipe.size for name in ("baseline", "showcase")
    ]
