"""Means over what counts, the same however many processes share a step.

In a training on several processes each has its part of the rows, and gradients are averaged. The average of their means
is not the mean over all rows where parts have different numbers of labels. So every process divides its sum by its share
of the count over all of them: the average of these is the mean over all rows.
"""

from __future__ import annotations

import torch.distributed
from torch import Tensor


def mean(total: Tensor, count: Tensor) -> Tensor:
    """total / count, where count is that of all processes over their number; 0 where nothing counts."""
    processes = 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        processes, count = torch.distributed.get_world_size(), count.detach().clone().float()
        torch.distributed.all_reduce(count)
        count = count / processes
    return total / count.clamp(min=1 / processes)
