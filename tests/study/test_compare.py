"""Several real runs after one another, few pixels and few steps each."""

from dataclasses import replace
from itertools import pairwise

import pytest
from PIL import ImageOps

import nst.engines.estimate
from nst.engines.optimize import losses_of, stylize
from nst.engines.painters import Optimization
from nst.names import Problem
from nst.nn.vgg import Backbone
from nst.pictures.images import open_picture
from nst.settings.catalog import get, paintings, photos
from nst.steps import last
from nst.study import compare
from nst.study.compare import COMMON, Outcome
from nst.study.judge import Judge
from nst.study.measures import appearance
from nst.study.variants import axis, grid, seconds

STEPS = {"pyramid.iterations": "3"}
KINDS = ["max pooling", "average pooling", "the other network", "a higher layer", "larger"]


def seeds(count, steps=3):
    """Variants of which nothing but the seed, and so nothing at all, differs."""
    along = axis("seed=" + ",".join(map(str, range(count))))
    return grid("baseline", [along], 64, {"pyramid.iterations": str(steps)})


def different():
    """Variants that share much of what the networks read, and differ in the rest."""
    first = seeds(1)[0]
    changes = [
        {},
        {"backbone.pooling": "average"},
        {"backbone.network": "vgg16"},
        {"content.layers": "conv5_2"},
        {"size": 96},
    ]
    return [
        replace(first, title=title, painter=first.painter.but(change))
        for title, change in zip(KINDS, changes, strict=True)
    ]


def end(steps):
    """The last of what a comparison yields."""
    *_, progress = steps
    return progress


@pytest.fixture
def painted_by(monkeypatch):
    """Puts another engine in the place of the optimization."""

    def use(engine):
        def paint(self, photo, painting, memory=None):
            return engine(photo, painting, self.settings, memory=memory)

        monkeypatch.setattr(Optimization, "paint", paint)

    return use


def failing(error, seed=1):
    """The engine, but with an error for one seed."""

    def engine(photo, painting, recipe, **options):
        steps = stylize(photo, painting, recipe, **options)
        yield next(steps)
        if recipe.seed == seed:
            raise error
        yield from steps

    return engine


def never(*_, **__):
    raise AssertionError("a run began")
    yield


def same(one, other):
    return one.size == other.size and one.tobytes() == other.tobytes()


@pytest.fixture(scope="module")
def seen(photo, painting):
    """Everything that one comparison yields."""
    return list(compare.run(photo, painting, different()))


# Results


def test_outcomes_are_in_the_order_of_the_variants(seen):
    assert [outcome.variant for outcome in seen[-1].outcomes] == different()
    assert [outcome.variant.title for outcome in seen[-1].outcomes] == KINDS
    assert not any(outcome.error for outcome in seen[-1].outcomes)


@pytest.mark.parametrize("number", range(len(KINDS)), ids=KINDS)
def test_a_result_is_bit_for_bit_that_of_a_run_alone(seen, photo, painting, number):
    outcome = seen[-1].outcomes[number]
    alone = last(stylize(photo, painting, outcome.variant.settings))
    assert same(outcome.result.picture, alone.picture)
    assert same(outcome.result.photo, alone.photo)
    assert outcome.result.history == alone.history


@pytest.mark.parametrize("number", range(len(KINDS)), ids=KINDS)
def test_a_result_is_measured_by_the_network_that_did_not_paint(seen, photo, painting, number):
    outcome = seen[-1].outcomes[number]
    picture, painter = outcome.result.picture, outcome.variant.settings.backbone.network
    assert {painter, outcome.measured_by} == {"vgg16", "vgg19"}
    judge = Judge.of(photo, painting, picture.size, network=outcome.measured_by)
    assert outcome.measures == judge.measure(picture)
    assert outcome.looks == appearance(picture)


@pytest.mark.parametrize("number", range(len(KINDS)), ids=KINDS)
def test_all_results_have_their_losses_under_one_objective(seen, photo, painting, number):
    outcome = seen[-1].outcomes[number]
    alone = losses_of(outcome.result.picture, photo, painting, get(COMMON).recipe)
    assert outcome.common == alone


def test_variants_share_what_the_network_reads(photo, painting, monkeypatch):
    reads = []
    features = Backbone.features

    def counted(self, image, layers):
        if not image.requires_grad:
            reads.append(image.numpy().tobytes())
        return features(self, image, layers)

    monkeypatch.setattr(Backbone, "features", counted)
    counts = []
    for count in (1, 2):
        reads.clear()
        end(compare.run(photo, painting, seeds(count, steps=1)))
        counts.append(len(reads))
    # A result is read twice, by its judge and for the common losses; nothing else anew.
    assert counts[1] - counts[0] == 2


# Progress


def test_what_is_done_and_what_is_being_painted(seen):
    variants = different()
    for progress in seen[:-1]:
        assert progress.painting == variants[len(progress.outcomes)]
    assert seen[-1].painting is None
    assert all(list(progress.variants) == variants for progress in seen)
    done = [len(progress.outcomes) for progress in seen]
    assert done == sorted(done) and {*done} == {0, 1, 2, 3, 4, 5}
    for before, after in pairwise(seen):
        assert after.outcomes[: len(before.outcomes)] == before.outcomes


def test_every_step_but_the_last_of_a_variant_is_seen(seen):
    assert [progress.step.index if progress.step else 0 for progress in seen] == [0, 1, 2] * 5 + [0]
    sizes = [progress.step.picture().size for progress in seen if progress.step]
    assert sizes == [(64, 43)] * 8 + [(96, 64)] * 2


def test_the_share_goes_up_from_0_to_1(seen):
    shares = [progress.share for progress in seen]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.1
    assert max(shares[:-1]) < shares[-1] == 1
    assert seen[-1].seconds_left == 0
    elapsed = [progress.seconds for progress in seen]
    assert elapsed == sorted(elapsed)
    assert all(progress.seconds_left >= 0 for progress in seen)


def test_the_share_does_not_fall_where_a_run_is_slower_than_foreseen(photo, painting, painted_by):
    def slow(photo, painting, recipe, **options):
        for step in stylize(photo, painting, recipe, **options):
            yield replace(step, seconds_left=100 * step.index)

    painted_by(slow)
    seen = list(compare.run(photo, painting, seeds(2)))
    shares = [progress.share for progress in seen]
    assert shares == sorted(shares)
    assert max(progress.seconds_left for progress in seen) > 199
    assert shares[-1] == 1


def test_the_seconds_left_are_those_of_the_run_and_of_the_variants_to_come(seen, photo, painting):
    expected = seconds(different(), photo.size, painting.size)
    for progress in seen:
        done = len(progress.outcomes)
        own = progress.step.seconds_left - expected[done] if progress.step else 0
        assert progress.seconds_left == pytest.approx(own + sum(expected[done:]))
    assert seen[0].seconds_left > 0


def test_no_variants_are_done_at_once(photo, painting):
    (only,) = compare.run(photo, painting, [])
    assert (only.painting, only.outcomes, only.share) == (None, (), 1)


# Failures


def test_a_problem_is_the_sentence_of_its_variant_and_the_others_stand(photo, painting, painted_by):
    kept = []
    painted_by(failing(Problem("No paint is left.")))
    keep = lambda outcome, *_: kept.append(outcome)  # noqa: E731
    steps = compare.run(photo, painting, seeds(3), keep=keep)
    first, second, third = end(steps).outcomes
    assert second == Outcome(seeds(3)[1], error="No paint is left.")
    assert kept == [first, third]
    alone = last(stylize(photo, painting, first.variant.settings))
    for outcome in (first, third):
        assert same(outcome.result.picture, alone.picture)
        assert outcome.error == ""


def test_what_nobody_expected_is_logged_and_the_others_stand(photo, painting, caplog, painted_by):
    painted_by(failing(ZeroDivisionError("3 / 0"), seed=0))
    outcomes = end(compare.run(photo, painting, seeds(2))).outcomes
    assert [outcome.error for outcome in outcomes] == ["Something went wrong here.", ""]
    assert [outcome.result is None for outcome in outcomes] == [True, False]
    assert "ZeroDivisionError: 3 / 0" in caplog.text


def test_a_run_without_a_result_is_a_failure(photo, painting, painted_by):
    def nothing(photo, painting, recipe, **options):
        yield next(stylize(photo, painting, recipe, **options))

    painted_by(nothing)
    outcomes = end(compare.run(photo, painting, seeds(2))).outcomes
    assert [outcome.error for outcome in outcomes] == ["Something went wrong here."] * 2


def test_a_recipe_that_needs_a_start_picture_says_so(outcomes):
    assert [bool(outcome.error) for outcome in outcomes] == [False, True, False]
    assert "`start.image` is picture" in outcomes[1].error


def test_what_does_not_fit_the_memory_says_what_would(photo, painting, monkeypatch):
    small, large = grid("baseline", [axis("size=64,2048")], None, STEPS)
    monkeypatch.setattr(nst.engines.estimate, "free_memory", lambda: 700_000_000)
    outcomes = end(compare.run(photo, painting, [large, small])).outcomes
    assert "2048 pixels need" in outcomes[0].error and "The largest size" in outcomes[0].error
    assert outcomes[1].result


# Stopping


def test_closing_a_comparison_closes_the_run(photo, painting, painted_by):
    closed = []

    def engine(*pictures, **options):
        try:
            yield from stylize(*pictures, **options)
        finally:
            closed.append(True)

    painted_by(engine)
    steps = compare.run(photo, painting, seeds(3, steps=1000))
    seen = [next(steps) for _ in range(3)]
    assert closed == []
    steps.close()
    assert closed == [True]
    assert list(steps) == []
    assert seen[-1].outcomes == ()


def test_what_was_done_before_the_stop_is_whole(photo, painting):
    steps = compare.run(photo, painting, seeds(3))
    progress = next(progress for progress in steps if progress.outcomes)
    steps.close()
    (outcome,) = progress.outcomes
    assert same(
        outcome.result.picture, last(stylize(photo, painting, seeds(1)[0].settings)).picture
    )
    assert outcome.measures and outcome.looks and outcome.common


def test_nothing_is_painted_before_the_first_step_is_asked_for(photo, painting, painted_by):
    painted_by(never)
    steps = compare.run(photo, painting, seeds(2))
    assert next(steps).outcomes == ()
    steps.close()


# Pictures of a variant


def test_an_earlier_result_is_the_photo_or_the_painting_of_another(photo, painting):
    first, style, content = seeds(3)
    style = replace(style, painting=f"result:{first.title}")
    content = replace(content, photo=f"result:{first.title}")
    outcomes = end(compare.run(photo, painting, [first, style, content])).outcomes
    fed = outcomes[0].result.picture
    pictures = [(photo, painting), (photo, fed), (fed, painting)]
    judge = Judge.of(photo, painting, fed.size, network="vgg16")
    for outcome, pair in zip(outcomes, pictures, strict=True):
        alone = last(stylize(*pair, outcome.variant.settings))
        assert same(outcome.result.picture, alone.picture)
        # Judged beside what everything began with.
        assert outcome.measures == judge.measure(alone.picture)
        common = losses_of(alone.picture, photo, painting, get(COMMON).recipe)
        assert outcome.common == common
    assert len({outcome.result.picture.tobytes() for outcome in outcomes}) == 3


def test_a_variant_of_a_failed_result_says_so(photo, painting, painted_by):
    first, second, third = seeds(3)
    second = replace(second, photo=f"result:{first.title}")
    painted_by(failing(Problem("No paint is left."), seed=0))
    outcomes = end(compare.run(photo, painting, [first, second, third])).outcomes
    assert [outcome.error for outcome in outcomes] == [
        "No paint is left.",
        f"It needs the result of “{first.title}”, which failed.",
        "",
    ]


def test_a_variant_may_have_bundled_pictures_of_its_own():
    cat, wave = open_picture(photos()["cat"].path), open_picture(paintings()["great_wave"].path)
    given = ImageOps.mirror(cat), ImageOps.mirror(wave)  # others of the same sizes
    first, second = seeds(2, steps=1)
    second = replace(second, photo="cat", painting="great_wave")
    outcomes = end(compare.run(*given, [first, second])).outcomes
    alone = last(stylize(cat, wave, second.settings))
    assert same(outcomes[1].result.picture, alone.picture)
    judge = Judge.of(cat, wave, alone.picture.size, network="vgg16")
    assert outcomes[1].measures == judge.measure(alone.picture)
    assert outcomes[1].common == losses_of(alone.picture, cat, wave, get(COMMON).recipe)


# What is known already


def test_what_is_kept_is_recalled_and_not_painted(photo, painting, painted_by):
    kept = {}

    def keep(outcome, photo, painting):
        kept[outcome.variant.title] = (outcome, photo, painting)

    def recall(variant, *pictures):
        outcome, *known = kept.get(variant.title, (None, *pictures))
        assert all(one is other for one, other in zip(pictures, known, strict=True))
        return outcome

    variants = seeds(2)
    variants[1] = replace(variants[1], photo=f"result:{variants[0].title}")
    first = end(compare.run(photo, painting, variants, recall=recall, keep=keep)).outcomes
    assert [outcome for outcome, *_ in kept.values()] == list(first)
    assert kept[variants[1].title][1] is first[0].result.picture
    kept_again = []
    painted_by(never)
    steps = compare.run(
        photo,
        painting,
        variants,
        recall=recall,
        keep=lambda *shown: kept_again.append(shown),
    )
    assert end(steps).outcomes == first
    assert kept_again == []
