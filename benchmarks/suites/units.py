"""Residual units by themselves: one block, one step."""

from . import track


class Inference:
    """A block's forward pass in eval mode."""

    track_cpu = track("units.Inference.track_cpu", "Seconds of a forward pass in eval mode, without autograd.")
    track_cuda = track("units.Inference.track_cuda", "Seconds of a forward pass in eval mode, without autograd.")


class Step:
    """A block's share of a training step."""

    track_cpu = track("units.Step.track_cpu", "Seconds of a forward and backward pass and the update.")
    track_cuda = track("units.Step.track_cuda", "Seconds of a forward and backward pass and the update.")
