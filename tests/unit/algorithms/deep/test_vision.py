"""What a container of images loads before it begins."""

import subprocess
import sys

LOADED = """
import sys
from algorithms.toolkit.images.vision import ops
before = [name for name in sys.modules if name.startswith("torch._dynamo")]
import torch
boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.9], [2.0, 2.0, 3.0, 3.0]])
kept = ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist()
from torchvision.ops.roi_align import is_compile_supported
print(before, kept, is_compile_supported("cpu"), "torch._dynamo.utils" in sys.modules)
"""


def test_torchvision_brings_no_compiler_until_somebody_asks_for_it() -> None:
    result = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "[] [0, 2] True True", result.stderr
