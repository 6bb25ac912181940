"""Low-rank adapters through peft: put beside the decoder's linear layers, and folded into them again."""

from torch import nn

from strokewise.errors import ConfigError
from strokewise.models.bagel import UnifiedModel
from strokewise.train.config import Lora

TARGETS = r"language\.layers\.\d+\.(understanding|generation)\.(qkv|out|gate_up|down)"


def add_adapters(model: UnifiedModel, lora: Lora) -> None:
    """Freeze the model and give both experts of each layer float32 adapters that change nothing yet.

    Raises:
        ConfigError: if peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError("adapters need peft: pip install 'strokewise[train]'") from error
    model.requires_grad_(False)
    options = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=TARGETS, lora_dropout=0.0)
    inject_adapter_in_model(options, model)
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)


def merge_adapters(model: UnifiedModel) -> None:
    """Fold the adapters into the weights they stand beside; the model is then as one without."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge(safe_merge=True)
            parent, _, leaf = name.rpartition(".")
            base = module.get_base_layer()
            assert isinstance(base, nn.Linear)
            setattr(model.get_submodule(parent), leaf, base)
