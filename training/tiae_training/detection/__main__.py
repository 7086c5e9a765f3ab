"""``python -m tiae_training.detection`` is ``tiae train detector``, in a form that torchrun can start several of.

torchrun --nproc-per-node 8 -m -- tiae_training.detection --data frames --out runs/detector --device cuda
"""

from __future__ import annotations

from tiae_ros.commands import train_detector
from tiae_training.__main__ import leave, main

if __name__ == "__main__":
    leave(main(name="python -m tiae_training.detection", command=train_detector, text=__doc__))
