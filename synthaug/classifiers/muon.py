"""Muon: momentum whose matrices are made orthogonal before they are applied (Jordan et al. 2024).

torch's and timm's compute in bfloat16 only, which processors without such instructions have to imitate; and torch's
takes no kernels of convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

#: Of the fifth-order polynomial that drives all singular values towards 1.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5


class Muon(torch.optim.Optimizer):
    """Orthogonalised Nesterov momentum for matrices and kernels, Adam for vectors and the last layer.

    Args:
        parameters: What to train; groups with `"is_hidden": False` go by Adam altogether, as a last layer should.
        lr: Learning rate of matrices.
        momentum: Of matrices.
        weight_decay: Of matrices, decoupled; the others have none.
        adam_rate: Learning rate of the others as a share of that of matrices.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        adam_rate: float = 1 / 6,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "adam_rate": adam_rate}
        super().__init__(parameters, {**defaults, "is_hidden": True})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Moves all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                is_matrix = group["is_hidden"] and parameter.ndim >= 2
                (self._move_matrix if is_matrix else self._move_other)(parameter, parameter.grad, group)
        return loss

    def _move_matrix(self, matrix: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, momentum = self.state[matrix], group["momentum"]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        average = state["momentum"].lerp_(gradient, 1 - momentum)
        ahead = gradient.lerp(average, momentum)  # Nesterov
        flat = orthogonalised(ahead.flatten(start_dim=1))
        scale = max(1.0, flat.shape[0] / flat.shape[1]) ** 0.5
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        matrix.add_(flat.reshape(matrix.shape), alpha=-group["lr"] * scale)

    def _move_other(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Adam with the betas 0.9 and 0.95."""
        state = self.state[parameter]
        if not state:
            state.update(step=0, mean=torch.zeros_like(gradient), square=torch.zeros_like(gradient))
        state["step"] += 1
        mean = state["mean"].lerp_(gradient, 0.1) / (1 - 0.9 ** state["step"])
        square = state["square"].lerp_(gradient.square(), 0.05) / (1 - 0.95 ** state["step"])
        parameter.addcdiv_(mean, square.sqrt() + 1e-8, value=-group["lr"] * group["adam_rate"])


def orthogonalised(matrix: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """Nearly U V^T of a matrix U S V^T: its singular values between 0.7 and 1.2, by five Newton-Schulz steps.

    In float32, and all steps but the last product on the smaller Gram matrix G: a step X -> P X with P = aI + bG + cG^2
    makes G -> P G P, as P and G commute.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if is_tall else matrix).float()
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T
    step = product = _step_of(gram)
    for _ in range(_STEPS - 1):
        gram = step @ gram @ step
        step = _step_of(gram)
        product = step @ product
    orthogonal: Tensor = product @ x
    return (orthogonal.T if is_tall else orthogonal).to(matrix.dtype)


def _step_of(gram: Float[Tensor, "m m"]) -> Float[Tensor, "m m"]:
    """The polynomial P of a Gram matrix."""
    a, b, c = _COEFFICIENTS
    polynomial: Tensor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    polynomial.diagonal().add_(a)
    return polynomial
