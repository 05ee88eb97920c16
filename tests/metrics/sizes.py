"""How large the tensors are that a computation makes."""

from __future__ import annotations

from typing import Any

from torch import Tensor, float64
from torch.overrides import TorchFunctionMode


class LargestTensor(TorchFunctionMode):
    """Notes the elements of the largest float64 tensor that any operation gives, while it is entered."""

    elements = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.dtype == float64:
            self.elements = max(self.elements, result.numel())
        return result
