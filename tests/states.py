"""Saved states as lists that can be compared."""

import torch


def parts(value: object, name: str = "run") -> list:
    """Every tensor and plain value of a state, with its place: equal lists, equal states, bit for bit."""
    if isinstance(value, dict):
        return [part for key in value for part in parts(value[key], f"{name}.{key}")]
    if isinstance(value, list | tuple):
        return [part for i, each in enumerate(value) for part in parts(each, f"{name}[{i}]")]
    if isinstance(value, torch.Tensor):
        return [(name, value.dtype, tuple(value.shape), value.contiguous().numpy().tobytes())]
    return [(name, value)]
