"""Focal frequency loss, torch."""

from __future__ import annotations

import torch
from torch import Tensor

from models.networks.shape_checks import refuse_images, refuse_unlike


class FocalFrequencyLoss:
    """Squared difference of two images' spectra, weighted towards the frequencies that differ most.

    Args:
        loss_weight: Factor of the loss.
        alpha: Power of the weights.
        patch_factor: Number of patches along each image axis; it has to divide both sizes.
        ave_spectrum: Average the spectra over the batch first.
        log_matrix: Take the logarithm of the weights.
        batch_matrix: Divide the weights by their maximum over the whole batch, not that of each channel.

    Raises:
        ValueError: `patch_factor` is below 1.

    Example:
        >>> FocalFrequencyLoss()(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))
        tensor(0.)

    References:
        Jiang et al., 2021: Focal frequency loss for image reconstruction and synthesis.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        alpha: float = 1.0,
        patch_factor: int = 1,
        ave_spectrum: bool = False,
        log_matrix: bool = False,
        batch_matrix: bool = False,
    ) -> None:
        self.loss_weight = loss_weight
        self.alpha = alpha
        if patch_factor < 1:
            raise ValueError(f"FocalFrequencyLoss: patch_factor must be at least 1, got {patch_factor}")
        self.patch_factor = patch_factor
        self.ave_spectrum = ave_spectrum
        self.log_matrix = log_matrix
        self.batch_matrix = batch_matrix

    def spectrum(self, images: Tensor) -> Tensor:
        """Return the orthonormal spectra of the patches.

        Args:
            images: (N, C, H, W), float.

        Returns:
            (N, P, C, H/f, W/f), complex, patches row-major; N is 1 if the batch is averaged.

        Raises:
            AssertionError: The patches do not tile the images.
        """
        N, C, H, W = images.shape
        f = self.patch_factor
        assert H % f == 0, f"FocalFrequencyLoss: patch_factor {f} must divide the height {H}"
        assert W % f == 0, f"FocalFrequencyLoss: patch_factor {f} must divide the width {W}"
        patches = images.reshape(N, C, f, H // f, f, W // f).permute(0, 2, 4, 1, 3, 5)
        freq = torch.fft.fft2(patches.reshape(N, f * f, C, H // f, W // f), norm="ortho")
        return freq.mean(0, keepdim=True) if self.ave_spectrum else freq

    def weights(self, distance: Tensor) -> Tensor:
        """Return the weights in [0, 1] of squared distances (N, P, C, h, w), without gradient."""
        m = distance.detach().sqrt() ** self.alpha
        if self.log_matrix:
            m = torch.log(m + 1)
        m = m / (m.max() if self.batch_matrix else m.amax((-2, -1), keepdim=True))
        return m.masked_fill(m.isnan(), 0).clamp(0, 1)

    def __call__(self, pred: Tensor, target: Tensor, matrix: Tensor | None = None, mean_batch: bool = True) -> Tensor:
        """Compare images.

        Args:
            pred: (N, C, H, W) or (B, T, C, H, W), float.
            target: Same, or a shape that expands to it.
            matrix: Weights (N, P, C, h, w) in [0, 1], in place of the computed ones.
            mean_batch: Average over samples and patches.

        Returns:
            Scalar, or (N, P) without `mean_batch`; (B, T) for five axes.

        Raises:
            ValueError: These are no images, or without `mean_batch` there is not one loss for each.
            AssertionError: A given weight is outside [0, 1].
        """
        refuse_images("FocalFrequencyLoss", tuple(pred.shape))
        refuse_unlike("FocalFrequencyLoss", tuple(pred.shape), tuple(target.shape))
        leading = pred.shape[:-3]
        target = target.expand_as(pred).reshape(-1, *pred.shape[-3:])
        difference = self.spectrum(pred.reshape(-1, *pred.shape[-3:])) - self.spectrum(target)
        distance = difference.real.square() + difference.imag.square()
        matrix = self.weights(distance) if matrix is None else matrix.detach()
        assert ((matrix >= 0) & (matrix <= 1)).all(), "FocalFrequencyLoss: matrix must lie in [0, 1]"
        loss = (matrix * distance).sum((-3, -2, -1))
        if mean_batch:
            return loss.mean() * self.loss_weight
        if len(leading) > 1:
            refuse_images("FocalFrequencyLoss", tuple(pred.shape), tuple(loss.shape))
            loss = loss.reshape(leading)
        return loss * self.loss_weight
