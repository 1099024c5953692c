"""What can paint a variant, whatever its kind."""

from pathlib import Path

import huggingface_hub
import pytest

from nst.checkpoints import hub
from nst.engines import anypainting, trained
from nst.engines.anypainting import Style
from nst.engines.painters import (
    Optimization,
    TrainedNetwork,
    find,
    painters,
)
from nst.names import Problem, UnknownName
from nst.settings.catalog import all_presets, get
from nst.settings.onepass import TrainedSettings, all_methods, method
from nst.steps import last
from nst.study import compare
from nst.study.tables import row
from nst.study.variants import of_presets, seconds

NAMES = ["tuned", "style-swap", "starry-night"]


@pytest.fixture(scope="module")
def outcomes(photo, painting):
    """One of each kind, compared."""
    variants = of_presets(NAMES, 64)
    return list(compare.run(photo, painting, variants))[-1].outcomes


def test_names_are_given_once():
    kinds = [all_presets(), hub.bundled(), all_methods()]
    assert sum(map(len, kinds)) == len(painters())
    assert find("tuned") == (get("tuned").title, Optimization(get("tuned").recipe))
    with pytest.raises(UnknownName, match="Did you mean `style-swap`"):
        find("styleswap")


def test_each_kind_paints_as_alone(outcomes, photo, painting):
    swap = method("style-swap").settings.but({"size": 64})
    loaded = hub.load(hub.find("starry-night"))
    alone = [
        last(anypainting.stylize(photo, [Style(painting)], swap)),
        last(trained.stylize(photo, loaded, TrainedSettings(size=64))),
    ]
    for outcome, result in zip(outcomes[1:], alone, strict=True):
        assert not outcome.error
        assert outcome.result.picture.tobytes() == result.picture.tobytes()


def test_all_kinds_have_the_same_numbers(outcomes):
    rows = [row(outcome) for outcome in outcomes]
    assert [one["variant"] for one in rows] == [find(name)[0] for name in NAMES]
    for one in rows:
        assert 0 <= one["style_score"] <= 100
        assert one["common_total"] > 0
        assert one["seconds"] > 0
    assert [one["iterations"] is None for one in rows] == [False, True, True]
    assert [one["total_loss"] is None for one in rows] == [False, True, True]
    assert [one["training_photos"] for one in rows] == [None, 1031, 1031]
    assert all(one["training_seconds"] > 60 for one in rows[1:])


def test_none_is_judged_by_the_network_that_painted(outcomes):
    for outcome in outcomes:
        assert outcome.measured_by != outcome.variant.painter.backbone()
    assert [outcome.variant.painter.backbone() for outcome in outcomes] == [
        *("vgg19", "vgg19", "vgg16")
    ]


def test_an_estimate_grows_with_the_size():
    for name in NAMES:
        small, large = (find(name).painter.but({"size": side}) for side in (128, 512))
        pictures = (600, 400), (500, 500)
        assert small.expected(*pictures)[0] < large.expected(*pictures)[0]
    assert len(seconds(of_presets(NAMES, 64), *pictures)) == 3


def test_a_search_for_patches_counts_by_layer_and_balance():
    pictures = (600, 400), (500, 500)
    plain, priced = (find(name).painter for name in ("style-swap", "style-swap-balanced"))
    once, balanced = (one.expected(*pictures)[0] for one in (plain, priced))
    assert 3 * once < balanced < 7 * once
    optimized = find("style-swap-optimized").painter
    shallow = optimized.but({"content.layers": "conv1_1"})
    assert shallow.expected(*pictures)[0] > optimized.expected(*pictures)[0]


@pytest.mark.parametrize(("name", "size"), [("starry-night", 32), ("adain", 16), ("wct", 2048)])
def test_any_size_that_an_engine_takes_has_an_estimate(name, size):
    assert find(name).painter.but({"size": size}).expected((600, 400), (500, 500))[0] > 0


def test_changes_are_told_for_every_kind():
    plain = find("starry-night").painter
    changed = plain.but({"strength": 0.5})
    assert changed.settings.changes_from(plain.settings) == {"strength": 0.5}
    assert changed.checkpoint == plain.checkpoint


def test_a_network_needs_no_painting(photo, painting):
    own = find("starry-night").painter.but({"size": 64})
    one, other = (last(own.paint(photo, style)).picture for style in (painting, photo))
    assert one.tobytes() == other.tobytes()


# Downloads


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Nothing was ever downloaded, and the page's owner said nothing."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("NST_ANY_CHECKPOINT", raising=False)


def painters_that_load():
    trained = next(entry.name for entry in hub.catalog().values() if not entry.bundled)
    recipe = get("vgg16").recipe.but({"backbone.weights": "torchvision"})
    return Optimization(recipe), TrainedNetwork(TrainedSettings(), trained)


@pytest.mark.parametrize("number", [0, 1], ids=["backbone", "checkpoint"])
def test_what_needs_a_download_is_refused_unless_the_owner_allows_it(number, nowhere, monkeypatch):
    painter = painters_that_load()[number]
    with pytest.raises(Problem, match="which the owner of this page does not allow"):
        painter.refuse_download()
    monkeypatch.setenv("NST_ANY_CHECKPOINT", "1")
    painter.refuse_download()


def test_a_strangers_checkpoint_is_refused_though_it_was_downloaded(nowhere, monkeypatch):
    monkeypatch.setattr(hub, "cached", lambda entry: Path("w.pth"))
    painters_that_load()[1].refuse_download()
    with pytest.raises(UnknownName):
        TrainedNetwork(TrainedSettings(), "someone/strokes:w.pth").refuse_download()


def test_weights_that_were_downloaded_are_allowed(nowhere, tmp_path):
    painter, _ = painters_that_load()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "vgg16_features-amdegroot-88682ab5.pth").touch()
    painter.refuse_download()


def test_nothing_that_is_offered_needs_a_download(nowhere):
    for offer in painters().values():
        offer.painter.refuse_download()
