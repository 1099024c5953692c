"""What a transformer network is trained for: the losses of a batch of painted photos."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from PIL.Image import Image
from torch import Tensor

from nst.nn.losses import content_loss, gram_matrix, style_loss, total_variation
from nst.nn.vgg import Backbone
from nst.pictures.images import fit, resized, to_tensor
from nst.settings.training import TrainingRecipe
from nst.steps import Losses, Term


@dataclass(frozen=True)
class Objective:
    """The losses of a training, for one painting (Johnson et al. 2016, section 3.2)."""

    recipe: TrainingRecipe
    backbone: Backbone
    targets: Mapping[str, Tensor]

    @classmethod
    @torch.no_grad()
    def of(
        cls, painting: Image, recipe: TrainingRecipe, device: torch.device, dtype: torch.dtype
    ) -> Self:
        """With the Gram matrices of the painting at `style.scale` times the crops' side."""
        backbone = Backbone(**recipe.backbone.model_dump(), dtype=dtype, device=device)
        side = recipe.data.side * recipe.style.scale
        image = to_tensor(resized(painting, fit(painting.size, side)), device)
        found = backbone.features(image, recipe.layers)
        targets = {name: gram_matrix(found[name]) for name in recipe.style.layers}
        return cls(recipe, backbone, targets)

    def evaluate(
        self, photos: Tensor, painted: Tensor, again: Tensor, ramp: float = 1.0
    ) -> tuple[Tensor, Losses]:
        """The mean total of pictures, to differentiate, and what it consists of.

        Pictures are (N, 3, H, W) in 0..255; `again` is the first one painted from a noisy photo,
        or (0, 3, H, W). `ramp` is a factor of the style weight.
        """
        recipe, count = self.recipe, len(photos)
        found = self.backbone.features(painted, recipe.layers)
        with torch.no_grad():
            wanted = self.backbone.features(photos, recipe.content.layers)
        layers = {
            "content": {
                name: content_loss(found[name], wanted[name], recipe.normalization) / count
                for name in recipe.content.layers
            },
            "style": {
                name: sum(
                    style_loss(one, target, recipe.normalization) for one in found[name].split(1)
                )
                / count
                for name, target in self.targets.items()
            },
        }
        sums = {
            term: sum(getattr(recipe, term).layers[name] * loss for name, loss in losses.items())
            for term, losses in layers.items()
        }
        sums["tv"] = sum(total_variation(one, recipe.tv.kind) for one in painted.split(1)) / count
        if len(again):
            sums["stability"] = (again - painted[:1]).square().mean()
        weights = {term: getattr(recipe, term).weight for term in sums}
        weights["style"] *= ramp
        total = sum(weights[term] * value for term, value in sums.items())
        terms = {
            term: Term(
                weights[term] * float(value.detach()),
                float(value.detach()),
                {},
            )
            for term, value in sums.items()
        }
        return total, Losses(float(total.detach()), terms)
