"""Which of torch's attention kernels compute: those that take any shape as it comes."""

from __future__ import annotations


def without_plans() -> None:
    """Leave cuDNN's attention out, which torch prefers on Hopper and Blackwell GPUs.

    cuDNN plans anew for shapes that it has not met, and here each batch of rows has its own length, and each answered
    token one more. On an H200 (torch 2.11, 2026-11-26) forward and backward pass of one layer took 160 ms in a new
    shape, where flash attention took 1 ms, and 1.5 ms in a known one, where that took 0.9; a step of a 0.6B base over
    rows of different lengths took 0.24 s without cuDNN, with it 0.32 s and 2 s in new shapes.
    """
    import torch

    torch.backends.cuda.enable_cudnn_sdp(False)
