"""Whole networks."""

from . import track


class Inference:
    """A network's forward pass in eval mode."""

    track_cpu = track("networks.Inference.track_cpu", "Seconds of a forward pass in eval mode, without autograd.")
    track_cuda = track("networks.Inference.track_cuda", "Seconds of a forward pass in eval mode, without autograd.")


class Step:
    """A training step."""

    track_cpu = track("networks.Step.track_cpu", "Seconds of a forward and backward pass, its loss, and the update.")
    track_cuda = track("networks.Step.track_cuda", "Seconds of a forward and backward pass, its loss, and the update.")
