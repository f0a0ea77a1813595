"""Fully sharded data parallelism: in training no process keeps the whole model (Zhao et al. 2023, arXiv:2304.11277).

Each process keeps a part of every transformer block's weights and of their moments, and gathers a block when it is that
block's turn; what is not in a block is gathered at once. The whole is built before it is dealt, and gathered to be saved.
For models whose training does not fit one GPU; smaller ones are better served by a copy in each process (DDP), which talks
less.

Design choices
--------------
* **The loss is the same**: rows are dealt to processes as DDP deals them, `sharded` changes where weights lie.
* Muon needs whole matrices, and an average of the weights would be a copy of the whole: both are refused, not dropped.
* PyTorch's FSDP2 through Lightning, which runs on CPUs too: what is tested here needs no GPU.
"""

from __future__ import annotations

from pytorch_lightning.strategies import ModelParallelStrategy
from torch import Tensor, contiguous_format
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

from pilab.contracts import PilabError
from pilab.training.module import Learner
from pilab.training.recipes import Recipe
from pilab.vla.model import VLA


class ShardedLearner(Learner):
    """A Learner whose weights are dealt to all processes, block by block."""

    # A resumed optimiser has no moments of what never had a gradient: a stage need not use all of the model. (Lightning's
    # switch is for the weights as well; those come from the run's own folder, whose plan was compared.)
    strict_loading = False

    def configure_model(self) -> None:
        """Called by Lightning when the processes are there."""
        mesh = self.device_mesh["data_parallel"]
        self.model.to(memory_format=contiguous_format)  # a part of a weight is a part of its rows
        for transformer in (self.model.trunk, self.model.head.expert.transformer):
            for block in transformer.blocks:
                fully_shard(block, mesh=mesh)
        fully_shard(self.model, mesh=mesh)
        register_fsdp_forward_method(self.model, "loss")


def sharded(processes: int) -> ModelParallelStrategy:
    """Lightning's strategy for so many processes."""
    return ModelParallelStrategy(processes, 1, save_distributed_checkpoint=False)


def check(recipe: Recipe, processes: int) -> None:
    """Raises `PilabError` where a recipe cannot be sharded, with everything that has to change."""
    wrong = [
        *["at least two processes (--processes 2), so that there is something to share"] * (processes < 2),
        *["muon=False: Muon needs whole matrices"] * recipe.muon,
        *["average=0.0: an average of the weights is a copy of the whole"] * (recipe.average > 0),
        *["success_every=0: an evaluation half-way needs the whole model"] * (recipe.success_every > 0),
    ]
    if wrong:
        raise PilabError(f"a sharded training needs {'; '.join(wrong)}")


def whole(model: VLA) -> dict[str, Tensor]:
    """Name → weight of the whole model, in the first process; empty in others. All of them have to call it together."""
    return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
