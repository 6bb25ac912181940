"""Linear layers in 8 or 4 bits, through bitsandbytes. Knows layers, not models."""

import torch
from torch import Tensor, nn

from strokewise.errors import ConfigError

QUANTIZED = ("int8", "nf4")


def quantized_linear(tensors: dict[str, Tensor], scheme: str, device: torch.device) -> nn.Module:
    """Return a linear layer of the given weights, quantized on its way to the device.

    Args:
        tensors: ``weight`` (out, in) and perhaps ``bias``, on the CPU.
        scheme: ``int8`` (LLM.int8) or ``nf4`` (4-bit normal floats).
        device: where it goes.

    Raises:
        ConfigError: if bitsandbytes is not installed.
    """
    try:
        import bitsandbytes as bnb
    except ImportError as error:
        raise ConfigError("quantized loading needs bitsandbytes: pip install 'strokewise[quant]'") from error
    weight, bias = tensors["weight"], tensors.get("bias")
    size_out, size_in = weight.shape
    layer: nn.Module
    if scheme == "int8":
        layer = bnb.nn.Linear8bitLt(
            size_in, size_out, bias is not None, has_fp16_weights=False, device="meta"
        )
        layer.weight = bnb.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    else:
        layer = bnb.nn.Linear4bit(
            size_in, size_out, bias is not None, compute_dtype=weight.dtype, quant_type="nf4", device="meta"
        )
        layer.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4", module=layer)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer.to(device)
