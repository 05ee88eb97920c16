"""Which images are the same."""

from __future__ import annotations

import torch

from synthaug.data.equality import equal_to_any


def test_equality_is_of_all_pixels_and_of_mirrors_only_where_they_count() -> None:
    images = torch.arange(3 * 16, dtype=torch.uint8).view(3, 1, 4, 4)
    others = torch.stack([images[1], images[2].flip(-1)])
    assert equal_to_any(images, others, mirrored=False).tolist() == [False, True, False]
    assert equal_to_any(images, others, mirrored=True).tolist() == [False, True, True]
