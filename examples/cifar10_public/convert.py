"""A public checkpoint, as its author published it, to safetensors with the names of ``cifar10_public.py``.

python convert.py resnet56-4bfd9763.th akamaster-resnet56.safetensors
"""

from __future__ import annotations

import re
import sys

import torch
from safetensors.torch import save_file

IMAGENET = "[0.485, 0.456, 0.406]", "[0.229, 0.224, 0.225]"
"""What akamaster/pytorch_resnet_cifar10 normalises with."""
OWN = (
    "[0.4918687901200927, 0.49185976472299225, 0.4918583862227116]",
    "[0.24697121702736, 0.24696766978537033, 0.2469719877121087]",
)
"""What a-martyn/resnet normalises with: computed from its training images."""

RENAMED = (
    (r"^module\.", ""),
    (r"^convIn\.", "conv1."),
    (r"^bnIn\.", "bn1."),
    (r"^fcOut\.", "linear."),
    (r"^stack1\.(\d+)\.", r"layer1.\1."),
    (r"^stack([23])a\.", r"layer\1.0."),
    (r"^stack([23])b\.(\d+)\.", lambda m: f"layer{m[1]}.{int(m[2]) + 1}."),
)


def renamed(key: str) -> str:
    """The name of a parameter in ``cifar10_public.py``, from either repository's."""
    for pattern, name in RENAMED:
        key = re.sub(pattern, name, key)
    return key


def convert(source: str, target: str) -> None:
    """Tensors only: nothing is unpickled."""
    content = torch.load(source, map_location="cpu", weights_only=True)
    state = content.get("state_dict", content)
    mean, std = OWN if "convIn.weight" in state else IMAGENET
    tensors = {renamed(key): value.contiguous() for key, value in state.items() if not key.endswith("tracked")}
    save_file(tensors, target, {"mean": mean, "std": std, "source": source})


if __name__ == "__main__":
    convert(*sys.argv[1:3])
