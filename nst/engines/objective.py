"""The sum of losses that a run and a training lower, written once for both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from PIL.Image import Image
from torch import Tensor

from nst.nn.losses import STYLE_LOSSES, added, content_loss, style_loss, total_variation
from nst.nn.vgg import Backbone
from nst.pictures.images import cropped, fit, resized, to_tensor
from nst.settings.recipe import Recipe
from nst.settings.training import TrainingRecipe
from nst.steps import Losses, Term

Features = Mapping[str, Tensor]  # by layer
Weights = Recipe | TrainingRecipe  # what has the settings of the losses


@dataclass(frozen=True)
class Targets:
    """What the result's features are compared with, by layer."""

    content: Features
    style: Mapping[str, Any]


def total(
    recipe: Weights,
    found: Features,
    targets: Targets,
    others: Mapping[str, Tensor],
    ramp: float = 1.0,
) -> tuple[Tensor, Losses]:
    """The weighted sum of all terms, to differentiate, and what it consists of.

    `found` are (N, C, h, w) features of N pictures, over which terms are means; `others` are terms
    that look at no features, by the section of the recipe that has their weight. `ramp` is a factor
    of the style weight. Gatys et al. 2016, equation 7, with total variation and stability added.
    """
    layers = {
        "content": {
            name: content_loss(found[name], wanted, recipe.normalization) / len(wanted)
            for name, wanted in targets.content.items()
        },
        "style": {
            name: _style(found[name], wanted, recipe) for name, wanted in targets.style.items()
        },
    }
    sums = {
        term: _weighted_sum(losses, getattr(recipe, term).layers)
        for term, losses in layers.items()
        if losses
    }
    sums |= others
    weights = {term: getattr(recipe, term).weight for term in sums}
    if "style" in weights:
        weights["style"] *= ramp
    whole = _weighted_sum(sums, weights)
    terms = {
        term: Term(
            weights[term] * float(value.detach()),
            float(value.detach()),
            {name: float(loss.detach()) for name, loss in layers.get(term, {}).items()},
        )
        for term, value in sums.items()
    }
    return whole, Losses(float(whole.detach()), terms)


def variation(pictures: Tensor, recipe: Weights) -> Tensor:
    """The mean total variation of (N, 3, H, W) pictures in 0..255."""
    parts = (total_variation(one, recipe.tv.kind) for one in _each(pictures))
    return added(parts) / len(pictures)


def _each(batch: Tensor) -> Sequence[Tensor]:
    """Pictures one by one; a single one as it is, since a split would copy its whole gradient."""
    return batch.split(1) if len(batch) > 1 else (batch,)


def _style(features: Tensor, wanted: Any, recipe: Weights) -> Tensor:
    losses = (
        style_loss(one, wanted, recipe.normalization, recipe.style.loss) for one in _each(features)
    )
    return added(losses) / len(features)


def _weighted_sum(values: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    return torch.stack([weights[name] * value for name, value in values.items()]).sum()


@dataclass(frozen=True)
class Objective:
    """The losses of a training, for one painting (Johnson et al. 2016, section 3.2)."""

    recipe: TrainingRecipe
    backbone: Backbone
    style: Mapping[str, Any]

    @classmethod
    @torch.no_grad()
    def of(
        cls, painting: Image, recipe: TrainingRecipe, device: torch.device, dtype: torch.dtype
    ) -> Self:
        """The statistics of the painting at `style.scale` times the crops' side."""
        backbone = Backbone(**recipe.backbone.model_dump(), dtype=dtype, device=device)
        side = recipe.data.side
        if recipe.style.fit == "crop":
            painting = cropped(painting, (side, side))
        size = fit(painting.size, side * recipe.style.scale)
        found = backbone.features(to_tensor(resized(painting, size), device), recipe.layers)
        statistics = STYLE_LOSSES[recipe.style.loss].statistics
        return cls(
            recipe, backbone, {name: statistics(found[name]) for name in recipe.style.layers}
        )

    def evaluate(
        self, photos: Tensor, painted: Tensor, again: Tensor, ramp: float = 1.0
    ) -> tuple[Tensor, Losses]:
        """The mean total of pictures, to differentiate, and what it consists of.

        Pictures are (N, 3, H, W) in 0..255; `again` is the first one painted from a noisy photo,
        or (0, 3, H, W). `ramp` is a factor of the style weight.
        """
        recipe = self.recipe
        found = self.backbone.features(painted, recipe.layers)
        with torch.no_grad():
            wanted = self.backbone.features(photos, recipe.content.layers)
        targets = Targets({name: wanted[name] for name in recipe.content.layers}, self.style)
        others = {"tv": variation(painted, recipe)}
        if len(again):
            others["stability"] = (again - painted[:1]).square().mean()
        return total(recipe, found, targets, others, ramp)
