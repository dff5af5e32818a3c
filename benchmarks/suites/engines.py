"""resbench's own engines: lesions and path gradients."""

from . import track


class Inference:
    """Engines that only look at outputs."""

    track_cpu = track("engines.Inference.track_cpu", "Seconds of one small sweep of deletions.")


class Step:
    """Engines that need gradients."""

    track_cpu = track("engines.Step.track_cpu", "Seconds of the gradient of one batch by path length.")
