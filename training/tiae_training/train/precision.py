"""In what precision, and by how many threads, a training computes."""

from __future__ import annotations

import torch

from tiae_ros.errors import ParameterError
from tiae_ros.model.engines.onnx_runtime import usual_threads


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The reduced type to multiply in, or None for float32.

    What is compared (restored pictures, shifts, the objective) is float32 in any case. bfloat16 has float32's range;
    float16 has more digits and needs its gradients scaled, and is what `auto` takes on a GPU without bfloat16.
    Raises ParameterError for float16 on a CPU, where a step takes minutes.
    """
    if precision == "float16" and device.type == "cpu":
        raise ParameterError("precision is float16, which is for GPUs; on a CPU give bfloat16, float32 or auto")
    if precision != "auto":
        return {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if _multiplies_bfloat16() else None


def _multiplies_bfloat16() -> bool:
    """Whether this processor has matrix units for bfloat16; without them it is slower than float32."""
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(supported and supported())


def set_threads() -> None:
    """Use as many threads as this process may run on (a container's share, not the machine's)."""
    torch.set_num_threads(usual_threads())
