"""Whether what a report concluded holds in a run: computed, never asserted."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from typing import Any

from nst.study.figures import Claim, Figure
from nst.study.tables import COLUMNS, Value, shown

HOLDS, PARTLY, FAILS, UNKNOWN = "holds", "holds in part", "does not hold", "cannot be said"
CLOSE_POINTS, CLOSE_SHARE = 10.0, 0.25  # of a published percentage: what counts as the same
MOSTLY = 0.5  # Kendall's tau of an order that holds in part

Rows = Mapping[str, Mapping[str, Value]]


@dataclass(frozen=True)
class Verdict:
    """What became of a claim, and the numbers that say so."""

    says: str
    verdict: str
    numbers: str

    def __str__(self) -> str:
        """`Average pooling lowers the total: holds (−85 %, published −87 %).`"""
        return f"{self.says.rstrip('.')}: {self.verdict} ({self.numbers})."


def verdict(claim: Claim, rows: Rows) -> Verdict:
    """The verdict on one claim, from the numbers of a run, by the title of the variant."""
    given = (rows[title][claim.column] for title in claim.of)
    values = [value for value in given if isinstance(value, int | float)]
    label = COLUMNS[claim.column].label.lower()
    if len(values) < len(claim.of):
        return Verdict(claim.says, UNKNOWN, f"{label} is missing for a variant")
    if any(rows[title].get("warning") for title in claim.of):
        return Verdict(claim.says, UNKNOWN, "a variant's numbers grew out of range")
    found, numbers = _CHECKS[claim.kind](claim, values)
    return Verdict(claim.says, found, f"{label} {numbers}")


def _order(claim: Claim, values: Sequence[float]) -> tuple[str, str]:
    sign = 1 if claim.direction == "up" else -1
    right = [sign * (after - before) > 0 for before, after in pairwise(values)]
    pairs = [(after - before) * sign for before, after in combinations(values, 2)]
    tau = sum((p > 0) - (p < 0) for p in pairs) / len(pairs)
    found = HOLDS if all(right) else PARTLY if tau >= MOSTLY else FAILS
    return found, ", ".join(map(shown, values))


def _change(claim: Claim, values: Sequence[float]) -> tuple[str, str]:
    if values[1] == 0:
        return UNKNOWN, "is zero for the one it is compared with"
    assert claim.percent is not None
    measured, published = 100 * (values[0] - values[1]) / abs(values[1]), claim.percent
    size = abs(published)  # a change of one percent is not met by one of ten
    close = abs(measured - published) <= max(min(CLOSE_POINTS, size), CLOSE_SHARE * size)
    same = measured * published > 0
    found = HOLDS if close and same else PARTLY if same else FAILS
    return found, f"{measured:+.0f} %, published {published:+.0f} %"


def _alike(claim: Claim, values: Sequence[float]) -> tuple[str, str]:
    assert claim.within is not None
    found = HOLDS if max(values) - min(values) <= claim.within else FAILS
    return found, f"{', '.join(map(shown, values))}; alike means within {shown(claim.within)}"


def _share(claim: Claim, values: Sequence[float]) -> tuple[str, str]:
    if values[1] <= 0:
        return UNKNOWN, "is zero for the one it is compared with"
    assert claim.percent is not None
    share = 100 * values[0] / values[1]
    reached, wanted = share >= claim.percent, claim.direction == "up"
    bound = f"{'at least' if wanted else 'less than'} {claim.percent:.0f} % wanted"
    return HOLDS if reached == wanted else FAILS, f"{share:.0f} % of the other's; {bound}"


def _extreme(claim: Claim, values: Sequence[float]) -> tuple[str, str]:
    sign = 1 if claim.direction == "up" else -1
    place = sum(sign * value > sign * values[0] for value in values[1:])
    second = place == 1 and len(values) > 2
    found = HOLDS if place == 0 else PARTLY if second else FAILS
    return found, f"{shown(values[0])} against {', '.join(map(shown, values[1:]))}"


_CHECKS = {
    "order": _order,
    "change": _change,
    "alike": _alike,
    "extreme": _extreme,
    "share": _share,
}


def verdicts(figure: Figure, rows: Rows) -> list[Verdict]:
    """The verdicts on all claims of a figure."""
    return [verdict(claim, rows) for claim in figure.claims]


def agreement(found: Sequence[Verdict]) -> str:
    """One sentence on how far the run agrees with the report."""
    if not found:
        return "The report draws no conclusion here that numbers could confirm."
    kinds = (HOLDS, PARTLY, FAILS, UNKNOWN)
    count = {kind: sum(v.verdict == kind for v in found) for kind in kinds}
    whole = f"{count[HOLDS]} of {len(found)}"
    words = f"{whole} conclusions hold" if len(found) > 1 else "The conclusion " + found[0].verdict
    rest = [f"{count[PARTLY]} in part"] if count[PARTLY] else []
    rest += [f"{count[FAILS]} not"] if count[FAILS] else []
    rest += [f"{count[UNKNOWN]} {UNKNOWN}"] if count[UNKNOWN] else []
    return words + (f", {', '.join(rest)}" if rest and len(found) > 1 else "") + "."


def as_trees(found: Sequence[Verdict]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(one) for one in found]
