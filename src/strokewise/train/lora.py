"""Low-rank adapters through peft: put beside linear layers, and folded into them again.

Which layers get them is stated by the architecture.
"""

from torch import nn

from strokewise.errors import ConfigError
from strokewise.models import Backbone, module_of
from strokewise.train.config import Lora


def add_adapters(model: nn.Module, lora: Lora, targets: str) -> None:
    """Freeze the model and give its target layers float32 adapters that change nothing yet.

    Args:
        model: changed in place.
        lora: size and scale of the adapters.
        targets: regular expression over the names of the layers that get one.

    Raises:
        ConfigError: if peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError("adapters need peft: pip install 'strokewise[train]'") from error
    model.requires_grad_(False)
    options = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=targets, lora_dropout=0.0)
    if lora.quantize:
        # What peft asks before it puts adapters beside layers in 4 bits.
        model.is_loaded_in_4bit = True  # type: ignore[assignment]
    inject_adapter_in_model(options, model)
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)


def merge_adapters(model: Backbone) -> None:
    """Fold the adapters into the weights beside them; the model then has none."""
    from peft.tuners.lora import LoraLayer

    root = module_of(model)
    for name, module in list(root.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge(safe_merge=True)
            parent, _, leaf = name.rpartition(".")
            base = module.get_base_layer()
            assert isinstance(base, nn.Linear)
            setattr(root.get_submodule(parent), leaf, base)
