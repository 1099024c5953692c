"""Training of a decoder, the inverse network of Chen and Schmidt 2016 (section 3.2).

It learns to turn features of photos back into the photos, and, where paintings are given, features
that were put together from a painting's patches into pictures that have those features.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import default_collate

from nst.machine import PRECISIONS
from nst.nn.decoders import Decoder, encoder
from nst.nn.exact import exact
from nst.nn.losses import added, total_variation
from nst.nn.style_swap import Patches, swapped
from nst.nn.transformer import SPREAD
from nst.nn.vgg import Backbone
from nst.settings.training import InverseRecipe
from nst.steps import Losses, Term
from nst.training.fleet import Fleet
from nst.training.loop import TrainingStep, run
from nst.training.photos import BadTraining, Crops, Photos

BLOCK = 16  # pixels of a side, whose mean color counts
STATISTICS_CROPS = 64  # whose features give each channel's mean and deviation
LEAST_DEVIATION = 1e-2  # as a share of the mean one: some channels are silent on all photos


def train_inverse(
    photos: Photos,
    recipe: InverseRecipe,
    fleet: Fleet,
    *,
    paintings: Photos | None = None,
    start: Decoder | None = None,
    state: Path | None = None,
) -> Generator[TrainingStep, None, None]:
    """Train a decoder of `recipe.layer`.

    With `paintings`, every photo of a batch is also swapped with a crop of a painting. `start` is a
    decoder of the same layer, or of a shallower one, with whose weights the last parts then begin.
    `state` is as `nst.training.loop.run` has it, whose errors it raises.
    """
    task = _Inverse.of(photos, recipe, fleet, paintings, start)
    yield from run(task, photos, fleet, state=state)


@dataclass(frozen=True)
class _Inverse:
    """What is learned of a layer."""

    recipe: InverseRecipe
    network: Decoder
    backbone: Backbone
    paintings: Crops | None
    identity: bytes

    @classmethod
    def of(
        cls,
        photos: Photos,
        recipe: InverseRecipe,
        fleet: Fleet,
        paintings: Photos | None,
        start: Decoder | None,
    ) -> Self:
        backbone = encoder(PRECISIONS[fleet.precision], fleet.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            network = Decoder(recipe.layer)
        identity = sha256()
        mean, deviation = _statistics(photos.paths, recipe, backbone)
        network.mean.copy_(mean)
        network.deviation.copy_(deviation)
        if start is not None:
            _take_over(start, network)
        crops = None
        if paintings is not None:
            data = recipe.data.model_copy(update={"recolor": 0.0})  # of a painting, colors matter
            crops = Crops(paintings.paths, data, recipe.seed)
            for path in paintings.paths:
                identity.update(sha256(path.read_bytes()).digest())
        return cls(recipe, network.to(fleet.device), backbone, crops, identity.digest())

    def losses(
        self, network: nn.Module, crops: Tensor, done: int, draw: torch.Generator
    ) -> tuple[Tensor, Losses]:
        layer, count = self.recipe.layer, len(crops)
        with torch.no_grad():
            wanted = self.backbone.features(crops, (layer,))[layer]
            if self.paintings is not None:
                wanted = torch.cat([wanted, self._swapped(wanted, self.paintings, draw)])
        decoded = network(wanted)
        found = self.backbone.features(decoded, (layer,))[layer]
        error = self.network.normalized(found) - self.network.normalized(wanted)
        difference = (decoded[:count] - crops) / SPREAD
        sums = {
            "feature": error.float().square().mean(),
            "image": difference.square().mean(),
            "color": F.avg_pool2d(difference, BLOCK).square().mean(),
            "grid": _repeated(difference, difference.shape[2] // wanted.shape[2]).square().mean(),
            "tv": total_variation(decoded / SPREAD, "l2-mean"),
        }
        weights = {name: getattr(self.recipe, name) for name in sums}
        total = added(weights[name] * value for name, value in sums.items())
        terms = {
            name: Term(weights[name] * float(value.detach()), float(value.detach()), {})
            for name, value in sums.items()
        }
        return total, Losses(float(total.detach()), terms)

    def _swapped(self, features: Tensor, paintings: Crops, draw: torch.Generator) -> Tensor:
        """Each photo's features, put together from patches of a painting."""
        chosen = torch.randint(2**31, (len(features),), generator=draw).tolist()
        style = default_collate([paintings[index] for index in chosen]).to(features.device)
        styles = self.backbone.features(style, (self.recipe.layer,))[self.recipe.layer]
        pairs = zip(features.split(1), styles.split(1), strict=True)
        return torch.cat([swapped(one, other, Patches()) for one, other in pairs])


def _repeated(difference: Tensor, period: int) -> Tensor:
    """(N, 3, H, W) to (N, 3, period ** 2): each picture's mean at each place of a grid, less all's.

    Features of a blurred picture are too weak, and a pattern that repeats at every position of the
    layer is the cheapest way to strengthen them.
    """
    places = F.pixel_unshuffle(difference, period).mean((2, 3)).unflatten(1, (3, -1))
    return places - places.mean(2, keepdim=True)


@torch.no_grad()
def _statistics(
    paths: Sequence[Path], recipe: InverseRecipe, backbone: Backbone
) -> tuple[Tensor, Tensor]:
    """(C,) each: mean and standard deviation of the layer's channels over crops of the photos."""
    crops = Crops(paths, recipe.data, recipe.seed)
    mean = square = torch.tensor(0.0)
    for index in range(STATISTICS_CROPS):
        found = backbone.features(crops[index][None].to(backbone.device), (recipe.layer,))
        values = exact(found[recipe.layer])
        mean = mean + values.mean((0, 2, 3)) / STATISTICS_CROPS
        square = square + values.square().mean((0, 2, 3)) / STATISTICS_CROPS
    deviation = (square - mean.square()).clamp(min=0).sqrt()
    least = LEAST_DEVIATION * float(deviation.mean())
    return mean.float(), deviation.clamp(min=least).float()


def _take_over(start: Decoder, network: Decoder) -> None:
    """The weights of a decoder of the same or a shallower layer."""
    state = start.state_dict()
    if start.layer != network.layer:
        own = ("mean", "deviation")  # of the layer
        state = {name: value for name, value in state.items() if name not in own}
    deeper = network.load_state_dict(state, strict=False).unexpected_keys
    if deeper:
        raise BadTraining(
            f"A decoder of {start.layer} cannot begin one of {network.layer}: it is deeper."
        )
