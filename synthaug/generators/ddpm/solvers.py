"""Solvers that lead from noise to an image, as plain functions of a denoiser D(x; sigma).

Coordinates are those of `synthaug.generators.ddpm.process`: x = x_0 + sigma n, so the probability-flow equation is
dx/dsigma = (x - D(x; sigma)) / sigma (Karras et al. 2022, equation 3). In lambda = -ln(sigma) it reads
dx/dlambda = D - x, whose linear part has the exact solution the exponential integrators below are built on; they are
the same solvers in any other scaling of x.

Each takes the descending noise levels at which to evaluate the denoiser; all end in its last estimate, at no noise.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.core.registry import Registry

Images = Float[Tensor, "n c h w"]
#: D(x; sigma_k): the estimate of x_0 from x at level k.
Denoise = Callable[[Images, int], Images]
DrawNoise = Callable[[], Images]
Integrate = Callable[[Denoise, Images, Sequence[float], DrawNoise], Images]
Deterministic = Callable[[Denoise, Images, Sequence[float]], Images]
#: Below this many steps, the third-order solvers take their last but one step with order 2, as diffusers does.
_FEW_STEPS = 15


@dataclass(frozen=True)
class Solver:
    """A solver and what to know of it.

    Attributes:
        purpose: What it is, with its source.
        integrate: From x at the first level, the levels and a source of fresh noise to images.
        is_ancestral: Whether it walks the whole chain of noise levels, adding fresh noise at each.
    """

    purpose: str
    integrate: Integrate
    is_ancestral: bool = False


def ancestral(denoise: Denoise, x: Images, sigmas: Sequence[float], draw_noise: DrawNoise) -> Images:
    """Ancestral sampling: a draw from q(x_next | x, x_0) with x_0 = D (Ho et al. 2020, algorithm 2, equations 6 and 7).

    In these coordinates its mean is D + (sigma_next / sigma)^2 (x - D), its variance
    sigma_next^2 (1 - (sigma_next / sigma)^2), which is the smaller of the two that Ho et al. try.
    """
    for k, sigma, sigma_next in _steps(sigmas):
        share = (sigma_next / sigma) ** 2
        clean = denoise(x, k)
        x = clean + share * (x - clean) + sigma_next * math.sqrt(1 - share) * draw_noise()
    return denoise(x, len(sigmas) - 1)


def ddim(denoise: Denoise, x: Images, sigmas: Sequence[float]) -> Images:
    """DDIM (Song et al. 2021, equation 12, eta = 0): Euler steps of the probability-flow equation in sigma."""
    for k, sigma, sigma_next in _steps(sigmas):
        clean = denoise(x, k)
        x = clean + (sigma_next / sigma) * (x - clean)
    return denoise(x, len(sigmas) - 1)


def _dpmpp(most: int) -> Deterministic:
    def integrate(denoise: Denoise, x: Images, sigmas: Sequence[float]) -> Images:
        """DPM-Solver++ multistep (Lu et al. 2022, "DPM-Solver++", algorithm 2 and its third-order form).

        The latter gives the second derivative half of its Taylor weight, as the authors' code and diffusers' do: its
        error falls like h^2 too, but to a third of that of order 2.
        """
        estimates: deque[tuple[float, Images]] = deque(maxlen=most)  # (lambda, D), newest first
        for k, sigma, sigma_next in _steps(sigmas):
            here, there = -math.log(sigma), -math.log(sigma_next)
            h = there - here
            estimates.appendleft((here, denoise(x, k)))
            order = _order(most, k, len(sigmas))
            clean = estimates[0][1]
            x = (sigma_next / sigma) * x - math.expm1(-h) * clean
            if order >= 2:
                r0 = (here - estimates[1][0]) / h
                slope = (clean - estimates[1][1]) / r0
                if order == 2:
                    x = x - 0.5 * math.expm1(-h) * slope
                else:
                    r1 = (estimates[1][0] - estimates[2][0]) / h
                    older = (estimates[1][1] - estimates[2][1]) / r1
                    first = slope + (r0 / (r0 + r1)) * (slope - older)
                    second = (slope - older) / (r0 + r1)
                    phi_1 = math.expm1(-h) / h + 1.0
                    phi_2 = (math.expm1(-h) + h) / h**2 - 0.5
                    x = x + phi_1 * first - phi_2 * second
        return denoise(x, len(sigmas) - 1)

    return integrate


def unipc(denoise: Denoise, x: Images, sigmas: Sequence[float]) -> Images:
    """UniPC of order 3 in its B_2(h) = e^h - 1 form (Zhao et al. 2023, algorithms 5 and 6).

    Each evaluation of the denoiser serves twice: it corrects the step that led to it, and predicts the next.
    """
    most = 3
    estimates: deque[tuple[float, Images]] = deque(maxlen=most + 1)  # (lambda, D), newest first
    x_before, order_before = x, 0
    for k, sigma in enumerate(sigmas):
        here = -math.log(sigma)
        clean = denoise(x, k)
        if k > 0:  # correct
            before, clean_before = estimates[0]
            points = [*itertools.islice(estimates, 1, order_before), (here, clean)]
            x = _unified(x_before, before, clean_before, here, points)
        estimates.appendleft((here, clean))
        if k == len(sigmas) - 1:
            return clean  # no noise is left at the next level: x = D
        order = min(most, k + 1, len(sigmas) - k)
        x_before, order_before = x, order
        there = -math.log(sigmas[k + 1])
        x = _unified(x, here, clean, there, list(itertools.islice(estimates, 1, order)))
    raise AssertionError("there is at least one noise level")


def _unified(x: Images, here: float, clean: Images, there: float, points: list[tuple[float, Images]]) -> Images:
    """One UniP or UniC update from lambda = `here` to `there` with the estimates at `points` besides that at `here`."""
    h = there - here
    b_h = math.expm1(-h)
    x = math.exp(-h) * x - b_h * clean
    if not points:
        return x
    ratios = [(point - here) / h for point, _ in points]
    # phi_1, phi_2, ... of equation (11) at -h, times factorials, over B(h): the right-hand side of equation (12).
    right, phi, factorial = [], b_h / -h - 1.0, 1.0
    for i in range(1, len(points) + 1):
        right.append(phi * factorial / b_h)
        factorial *= i + 1
        phi = phi / -h - 1.0 / factorial
    if len(points) == 1:
        weights = [0.5]  # independent of h at first order, as the authors recommend
    else:
        matrix = torch.tensor([[r**i for r in ratios] for i in range(len(points))], dtype=torch.float64)
        weights = torch.linalg.solve(matrix, torch.tensor(right, dtype=torch.float64)).tolist()
    for weight, ratio, (_, estimate) in zip(weights, ratios, points, strict=True):
        x = x - (b_h * weight / ratio) * (estimate - clean)
    return x


#: Adams-Bashforth weights of the newest and older slopes, by order.
_ADAMS = {1: (1.0,), 2: (3 / 2, -1 / 2), 3: (23 / 12, -16 / 12, 5 / 12), 4: (55 / 24, -59 / 24, 37 / 24, -9 / 24)}


def ipndm(denoise: Denoise, x: Images, sigmas: Sequence[float]) -> Images:
    """The improved PNDM (Zhang and Chen 2023, "DEIS", section 3.3): Adams-Bashforth of order 4 on dx/dsigma.

    The first steps use the lower orders; weights are those of even distances whatever the distances.
    """
    slopes: deque[Images] = deque(maxlen=4)
    for k, sigma, sigma_next in _steps(sigmas):
        slopes.appendleft((x - denoise(x, k)) / sigma)
        for weight, slope in zip(_ADAMS[len(slopes)], slopes, strict=True):
            x = x + (sigma_next - sigma) * weight * slope
    return denoise(x, len(sigmas) - 1)


def _steps(sigmas: Sequence[float]) -> list[tuple[int, float, float]]:
    """(k, sigma_k, sigma_k+1) of all steps but the last, which leads to no noise."""
    return [(k, sigma, sigma_next) for k, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas))]


def _order(most: int, k: int, steps: int) -> int:
    """The order of step k: as many estimates as there are, fewer towards the end of a short run."""
    return min(most, k + 1, 2 if k == steps - 2 and steps < _FEW_STEPS else most)


def _without_noise(solve: Deterministic) -> Integrate:
    return lambda denoise, x, sigmas, _: solve(denoise, x, sigmas)


SOLVERS: Registry[Solver] = Registry(
    "sampler",
    {
        "ddpm": Solver("ancestral sampling (Ho et al. 2020), 1000 steps in the paper", ancestral, is_ancestral=True),
        "ddim": Solver("DDIM (Song et al. 2021)", _without_noise(ddim)),
        "dpmpp": Solver("DPM-Solver++(2M) (Lu et al. 2022)", _without_noise(_dpmpp(2))),
        "dpmpp3m": Solver("DPM-Solver++(3M) (Lu et al. 2022)", _without_noise(_dpmpp(3))),
        "unipc": Solver("UniPC of order 3 (Zhao et al. 2023)", _without_noise(unipc)),
        "ipndm": Solver("iPNDM of order 4 (Zhang and Chen 2023)", _without_noise(ipndm)),
    },
)
