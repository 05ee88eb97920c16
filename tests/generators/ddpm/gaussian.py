"""Gaussian data, for which the best denoiser and the probability flow are known in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GaussianData:
    """Pixels ~ N(mean, covariance), as images [n, 1, 1, d] in float64."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of_pixels(cls, mean: float, deviation: float, dimensions: int = 1) -> GaussianData:
        """Independent pixels."""
        double = torch.float64
        return cls(torch.full((dimensions,), mean, dtype=double), deviation**2 * torch.eye(dimensions, dtype=double))

    def denoise(self, noisy: Tensor, sigma: float) -> Tensor:
        """D = mean + covariance (covariance + sigma^2 I)^-1 (x - mean), the mean of x_0 given x."""
        eye = torch.eye(len(self.mean), dtype=torch.float64)
        gain = self.covariance @ torch.linalg.inv(self.covariance + sigma**2 * eye)
        return self.mean + (noisy - self.mean) @ gain.T

    def flow(self, noisy: Tensor, start: float, end: float) -> Tensor:
        """Where the probability flow leads from x at noise level `start`: each principal axis is scaled alone."""
        variances, axes = torch.linalg.eigh(self.covariance)
        scale = ((variances + end**2) / (variances + start**2)).sqrt()
        return self.mean + (noisy - self.mean) @ (axes * scale) @ axes.T
