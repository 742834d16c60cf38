"""Groups: rows of data that are too many for memory, in groups that are read one at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor


class Groups(ABC):
    """Rows in groups, such as those of a Parquet file.

    Attributes:
        sizes: how many rows each group has.
    """

    sizes: Sequence[int]

    @abstractmethod
    def read(self, number: int) -> tuple[Tensor, Tensor | None]:
        """The rows of a group, and their contexts, if there are any."""
