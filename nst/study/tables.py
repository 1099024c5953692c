"""Numbers of a comparison: one row a variant, one column a number."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nst.engines.painters import COMMON
from nst.steps import Losses, final_losses
from nst.study.compare import Outcome
from nst.study.measures import MEASURES

Value = float | int | str | None


@dataclass(frozen=True)
class Column:
    """One number of an outcome: its label, what it means, and where it is."""

    label: str
    help: str
    value: Callable[[Outcome], Value]


def _of_run(key: str) -> Callable[[Outcome], Value]:
    return lambda outcome: getattr(outcome.result.report, key) if outcome.result else None


def _of_training(key: str) -> Callable[[Outcome], Value]:
    def value(outcome: Outcome) -> Value:
        cost = outcome.result.report.training if outcome.result else None
        return cost.get(key) if cost else None

    return value


def _weighted(losses: Losses | None, term: str) -> float | None:
    if losses is None:
        return None
    if term == "total":
        return losses.total
    return losses.terms[term].weighted if term in losses.terms else None


def _loss(term: str) -> Callable[[Outcome], Value]:
    return lambda outcome: _weighted(final_losses(outcome.result), term) if outcome.result else None


def _common(term: str) -> Callable[[Outcome], Value]:
    return lambda outcome: _weighted(outcome.common, term)


def _measure(name: str) -> Callable[[Outcome], Value]:
    return lambda outcome: getattr(outcome.measures, name)


def _look(name: str) -> Callable[[Outcome], Value]:
    return lambda outcome: getattr(outcome.looks, name)


_TERMS = {"content": "content", "style": "style", "tv": "total variation", "total": "total"}
_OWN = "as weighted by the variant itself; not comparable between variants that read differently"
_ALIKE = f"of the finished picture under one objective for all, that of the preset `{COMMON}`"

_SUMMARIES = ("content", "style")


def _measures(names: Iterable[str]) -> dict[str, Column]:
    return {
        f"{name}_score" if name in _SUMMARIES else name: Column(
            f"{MEASURES[name].label} (of 100)" if name in _SUMMARIES else MEASURES[name].label,
            f"{MEASURES[name].help}; {MEASURES[name].direction}",
            _measure(name),
        )
        for name in names
    }


COLUMNS: Mapping[str, Column] = {
    **_measures(_SUMMARIES),
    "seconds": Column("Seconds", "of the run", _of_run("seconds")),
    "iterations": Column("Iterations", "of all sizes together", _of_run("iterations")),
    "seconds_per_iteration": Column(
        "Seconds an iteration", "on average", _of_run("seconds_per_iteration")
    ),
    "training_seconds": Column(
        "Training seconds", "of a network that was trained before", _of_training("seconds")
    ),
    "training_photos": Column("Training photos", "that it learned on", _of_training("photos")),
    **{
        f"{term}_loss": Column(f"{words} loss".capitalize(), _OWN, _loss(term))
        for term, words in _TERMS.items()
    },
    **{
        f"common_{term}": Column(f"Common {words}", _ALIKE, _common(term))
        for term, words in _TERMS.items()
    },
    **_measures(name for name in MEASURES if name not in _SUMMARIES),
    "chroma": Column("Saturation", "mean CIELAB chroma", _look("chroma")),
    "warmth": Column("Warmth", "mean b of CIELAB: blue below 0, yellow above", _look("warmth")),
    "detail": Column("Detail", "mean gradient of the lightness", _look("detail")),
    "measured_by": Column(
        "Measured by", "the backbone that did not paint", lambda outcome: outcome.measured_by
    ),
}


def row(outcome: Outcome) -> dict[str, Value]:
    """All numbers of an outcome by column; None where there is none, as after a failure."""
    failed = outcome.result is None
    numbers = {name: None if failed else column.value(outcome) for name, column in COLUMNS.items()}
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in numbers.items()
    }
    warning = outcome.result.report.warning if outcome.result else ""
    title = outcome.variant.title
    return {"variant": title, **finite, "warning": warning, "error": outcome.error}


def as_csv(outcomes: Sequence[Outcome]) -> str:
    """The rows, with the names of the columns as the first line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["variant", *COLUMNS, "warning", "error"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(row, outcomes))
    return text.getvalue()


def as_tree(outcomes: Sequence[Outcome], photo: str, painting: str) -> dict[str, Any]:
    """Rows, settings and versions, for JSON: all that is needed to make it again."""
    return {
        "photo": photo,
        "painting": painting,
        "common_objective": COMMON,
        "variants": [
            {
                "title": outcome.variant.title,
                "preset": outcome.variant.preset,
                "changes": outcome.variant.changes,
                "photo": outcome.variant.photo,
                "painting": outcome.variant.painting,
                "numbers": row(outcome),
                "report": outcome.result.report.as_dict() if outcome.result else None,
            }
            for outcome in outcomes
        ],
    }


def shown(value: Value) -> str:
    """A number as tables print it: four digits, no more."""
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    digits, e, exponent = f"{value:.4g}".partition("e")
    return f"{digits}e{int(exponent)}" if e else digits
