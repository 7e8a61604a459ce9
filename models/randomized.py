"""Random models and inputs, the same on every run."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from entry import Architecture
from norm_records import norm_modules
from torch import Tensor, nn


def seed_of(name: str) -> int:
    return zlib.crc32(name.encode())


def randomized(architecture: Architecture) -> nn.Module:
    """The model with random weights, gains, biases, running statistics, and epsilons if its entry has them drawn."""
    torch.manual_seed(seed_of(architecture.name))
    model = architecture.build()
    with torch.no_grad():
        for parameter in model.parameters():
            # Zeros and ones: biases, layer scales. Equal ones would also become one initializer.
            if parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all()):
                parameter.copy_(0.3 * torch.randn_like(parameter))
        module: Any
        for _, module, found in norm_modules(model):
            if getattr(module, "weight", None) is not None:
                sign = torch.where(torch.rand_like(module.weight) < 0.125, -1.0, 1.0)
                module.weight.copy_(sign * (1.0 + 0.3 * torch.randn_like(module.weight)))
            if getattr(module, "bias", None) is not None:
                module.bias.copy_(0.5 * torch.randn_like(module.bias))
            if getattr(module, "running_var", None) is not None:
                module.running_mean.copy_(0.5 * torch.randn_like(module.running_mean))
                module.running_var.copy_(0.5 + 1.5 * torch.rand_like(module.running_var))
            # Two digits, log-uniform in [1e-6, 1e-3].
            epsilon = float(f"{10 ** (-6 + 3 * torch.rand(()).item()):.1e}")
            if architecture.drawn_epsilons:
                setattr(module, found.epsilon, epsilon)
    model.train(architecture.training)
    return model.to(getattr(torch, architecture.dtype))


def drawn(architecture: Architecture, second_size: bool, seed: int) -> tuple[Tensor, ...]:
    """Random inputs at the first or the second size of the dynamic dimensions."""
    generator = torch.Generator().manual_seed(seed)
    result = []
    for spec in architecture.inputs:
        shape = spec.at(second_size)
        if spec.high is not None:
            result.append(torch.randint(0, spec.high, shape, generator=generator))
        else:
            value = torch.randn(shape, generator=generator)
            result.append(value.to(getattr(torch, architecture.dtype)))
    return tuple(result)
