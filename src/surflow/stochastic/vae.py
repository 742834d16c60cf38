"""The VAE layer: an encoder and a decoder; two in a row are a hierarchical VAE."""

from __future__ import annotations

from torch import Tensor

from surflow._internal.number_types import number_type
from surflow.distribution import Distribution
from surflow.errors import BoundError
from surflow.pieces import shared_context
from surflow.transform import Path, Transform


class VAE(Transform):
    r"""A latent drawn by an encoder, data drawn by a decoder, a stochastic layer.

    .. math:: z \sim q(z \mid x, c), \quad x \sim p(x \mid z, c), \qquad V = \log p(x \mid z, c) - \log q(z \mid x, c)

    Args:
        encoder: distribution over z whose context is x, or x joined with the flow's context; of exact density.
        decoder: distribution over x whose context is z, or z joined with the flow's context. Any Distribution will do:
            a conditional Normal, Bernoulli or Categorical for discrete data, a Flow. A network that takes angles by
            their cosines and sines says so by an attribute ``periodic = True``; others jump from one end of the circle
            to the other, which costs gradients that are less noisy.

    Raises:
        BoundError: if the encoder has only a bound.

    Source: Kingma and Welling, "Auto-Encoding Variational Bayes", arXiv 1312.6114.

    >>> import torch, surflow as sf
    >>> layer = sf.VAE(encoder=sf.Normal(1, context_shape=3), decoder=sf.Normal(3, context_shape=1))
    >>> layer(torch.zeros(5, 3))[0].shape, layer.exact
    (torch.Size([5, 1]), False)
    """

    random_forward = True
    random_inverse = True

    def __init__(self, encoder: Distribution, decoder: Distribution) -> None:
        if not encoder.exact:
            raise BoundError(
                f"the encoder {type(encoder).__name__} has only a bound of its density, which bounds nothing here: "
                "use an encoder with an exact density"
            )
        context_shape = shared_context(
            "encoder and decoder, beside x and z,",
            [
                (encoder, encoder._context_beyond(decoder.event_shape)),
                (decoder, decoder._context_beyond(encoder.event_shape)),
            ],
        )
        super().__init__(
            decoder.event_shape,
            encoder.event_shape,
            domain=decoder.support,
            codomain=encoder.support,
            context_shape=context_shape,
        )
        self.encoder = encoder
        self.decoder = decoder

    def _drawn(self, *, inverse: bool) -> list[Distribution]:
        return [self.decoder if inverse else self.encoder]

    def _path(self, *, inverse: bool) -> Path:
        given = self.encoder._jumps(event=False, context=True), self.decoder._jumps(event=True, context=False)
        drawn = self.encoder._jumps(event=True, context=False), self.decoder._jumps(event=False, context=True)
        return Path(contribution=max(given), drawn=max(drawn), keeps=False)

    def _seen(self, x: Tensor) -> Tensor:
        """x as the encoder takes it: many integers are of a wider type than it computes in."""
        return x.to(number_type(self.encoder)) if self.decoder.support.largest else x

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_q = self.encoder._draw_for(x.shape[0], self.encoder._given(self._seen(x), context))
        return z, self.decoder.elbo(x, self.decoder._given(z, context)) - log_q

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_p = self.decoder._draw_for(z.shape[0], self.decoder._given(z, context))
        return x, log_p - self.encoder.log_prob(z, self.encoder._given(self._seen(x), context))

    def _generate(self, z: Tensor, context: Tensor | None) -> Tensor:
        return self.decoder._sample(z.shape[0], self.decoder._given(z, context))
