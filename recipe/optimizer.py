"""AdamW without decay on biases and norms, a rate for the heads, linear warm-up and decay, clipping."""

from __future__ import annotations

from composer.algorithms import GradientClipping
from composer.optim import LinearWithWarmupScheduler
from torch import nn
from torch.optim import AdamW

from recipe.config import OptimizerConfig


def parameter_groups(model: nn.Module, weight_decay: float, head_lr: float | None = None) -> list[dict]:
    """Two groups: matrices and embeddings decay; biases, norms and other vectors do not.

    With a rate of their own two more, for all that is not the backbone's.
    """
    parameters = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if head_lr is None:
        return _by_decay([p for _, p in parameters], weight_decay)
    body = _by_decay([p for name, p in parameters if ".backbone." in name], weight_decay)
    heads = _by_decay([p for name, p in parameters if ".backbone." not in name], weight_decay)
    return [*body, *({**group, "lr": head_lr} for group in heads)]


def _by_decay(parameters: list[nn.Parameter], weight_decay: float) -> list[dict]:
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> AdamW:
    return AdamW(
        parameter_groups(model, config.weight_decay, config.head_lr),
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
    )


def build_scheduler(config: OptimizerConfig) -> LinearWithWarmupScheduler:
    return LinearWithWarmupScheduler(t_warmup=f"{config.warmup}dur", alpha_f=0.0)


def build_clipping(config: OptimizerConfig) -> GradientClipping:
    return GradientClipping(clipping_type="norm", clipping_threshold=config.clip_norm)
