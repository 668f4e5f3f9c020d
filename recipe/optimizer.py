"""AdamW without decay on biases and norms, linear warm-up and decay, clipping."""

from __future__ import annotations

from composer.algorithms import GradientClipping
from composer.optim import LinearWithWarmupScheduler
from torch import nn
from torch.optim import AdamW

from recipe.config import OptimizerConfig


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Two groups: matrices and embeddings decay; biases, norms and other vectors do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> AdamW:
    return AdamW(
        parameter_groups(model, config.weight_decay),
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
    )


def build_scheduler(config: OptimizerConfig) -> LinearWithWarmupScheduler:
    return LinearWithWarmupScheduler(t_warmup=f"{config.warmup}dur", alpha_f=0.0)


def build_clipping(config: OptimizerConfig) -> GradientClipping:
    return GradientClipping(clipping_type="norm", clipping_threshold=config.clip_norm)
