"""Blocks of other libraries, beside the units that compute the same."""

from . import track


class Inference:
    """A block's forward pass in eval mode."""

    track_cpu = track("peers.Inference.track_cpu", "Seconds of a forward pass in eval mode, without autograd.")
    track_cuda = track("peers.Inference.track_cuda", "Seconds of a forward pass in eval mode, without autograd.")


class Step:
    """A block's share of a training step."""

    track_cpu = track("peers.Step.track_cpu", "Seconds of a forward and backward pass and the update.")
    track_cuda = track("peers.Step.track_cuda", "Seconds of a forward and backward pass and the update.")
