"""A side stream without a GPU, whose results cannot be read before they are waited for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

POISON = 0x5A


class _Results(TorchFunctionMode):
    """Collects the tensors that operations return."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: list[torch.Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.tensors.append(result)
        return result


class _Withheld:
    """Results that a stream has computed and its users have not waited for."""

    def __init__(self, results: list[torch.Tensor]) -> None:
        self._values = [(tensor, tensor.clone()) for tensor in results]
        for tensor in results:
            tensor.fill_(POISON)

    def before_next(self, *tensors: torch.Tensor) -> None:
        self.synchronize()

    def synchronize(self) -> None:
        for tensor, value in self._values:
            tensor.copy_(value)
        self._values = []


class PoisonedStream:
    """Overwrites the results of its work until somebody waits for it."""

    def __init__(self) -> None:
        self._results: list[torch.Tensor] = []

    @contextmanager
    def queued(self) -> Iterator[None]:
        with _Results() as mode:
            yield
        self._results += mode.tensors

    def after_current(self, *tensors: torch.Tensor) -> None:
        pass

    def mark(self) -> _Withheld:
        results, self._results = self._results, []
        return _Withheld(results)
