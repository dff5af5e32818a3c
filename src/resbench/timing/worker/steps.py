"""A case made ready to run: one call of ``step`` is one step, the same work every time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .case import Case, CaseError, unsupported
from .subjects import DRAW_CYCLE, Subject, build

__all__ = ["Work", "prepare"]

_WARM_CAPTURE = 3
"""Steps before a CUDA graph is captured: lazy initialisations must not be part of it (torch's own recommendation)."""


class Work:
    """One case, ready.

    ``step``: one step as the case asks for it.  ``eager``: the same without compilation and graphs, for counting.
    ``cycle``: steps after which stochastic depth's draws repeat; a sample has a multiple of it.  ``least_bytes``: what
    any implementation must read and write in one step, whatever it fuses and however large its caches are: the input,
    the output and each parameter once; a training step as well their gradients (of the parameters: their momentum
    read and written, and the parameters written).
    """

    def __init__(self, case: Case, subject: Subject):
        self.case, self._subject = case, subject
        self.module = subject.module
        self.cuda = case.cuda
        self.cycle = DRAW_CYCLE if subject.draws is not None and case.passing != "inference" else 1
        self._held = ExitStack()
        try:
            self._held.enter_context(_conditions(case))
            self._place()
            self.eager = subject.job or self._pass(subject.call)
            self.step: Callable[[], object] = self.eager
            self.least_bytes = self._least_bytes()
            if case.mode != "eager":
                self.step = self._compiled() if case.mode == "compiled" else self._graph()
            self.restart()
        except BaseException:
            self.close()
            raise

    def restart(self) -> None:
        """The draws of stochastic depth begin anew, so that two samples do the same work."""
        if self._subject.draws is not None:
            self._subject.draws.restart()

    def close(self) -> None:
        """Let go of memory and put torch's settings back."""
        self._held.close()

    def _place(self) -> None:
        subject, case = self._subject, self.case
        device = torch.device("cuda" if case.cuda else "cpu")
        layout = torch.channels_last if case.format == "nhwc" else torch.contiguous_format
        subject.module.to(device, memory_format=layout)  # type: ignore[call-overload]
        subject.module.train(case.passing != "inference")
        subject.input = subject.input.to(device, memory_format=layout)
        if subject.labels is not None:
            subject.labels = subject.labels.to(device)

    def _pass(self, call: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        """The forward pass, with or without autograd, or the whole training step."""
        case, input = self.case, self._subject.input
        if case.passing == "inference":

            @torch.inference_mode()
            def infer() -> Tensor:
                with _autocast(case):
                    return call(input)

            return infer
        if case.passing == "forward":

            def forward() -> Tensor:
                with _autocast(case):
                    return call(input)

            return forward
        return self._training(call)

    def _training(self, call: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        case, labels = self.case, self._subject.labels
        # A block stands inside a network: the gradient of its input is part of its work.  An image's is not.
        input = self._subject.input.requires_grad_(labels is None)
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        # The update is computed in full but moves nothing, so that the thousandth step does what the first did.
        optimiser = torch.optim.SGD(parameters, lr=0.0, momentum=0.9, nesterov=True, weight_decay=1e-4)
        with torch.no_grad(), _autocast(case):
            at_output = torch.randn_like(call(input)) if labels is None else None

        def step() -> None:
            optimiser.zero_grad(set_to_none=True)
            input.grad = None
            with _autocast(case):
                output = call(input)
                loss = None if labels is None else F.cross_entropy(output, labels)
            if loss is None:
                output.backward(at_output)
            else:
                loss.backward()
            optimiser.step()

        return step

    def _compiled(self) -> Callable[[], object]:
        """Every unit compiled by itself: a network's units share their code, and whole networks take minutes."""
        if self._subject.job is not None:
            raise CaseError(f"{self.case.subject}: an engine has no compiled mode")
        # A fresh process per round starts with empty caches; within one, cases must not share recompilation limits.
        torch._dynamo.reset()
        for part in self._subject.parts:
            part.compile(dynamic=False)
        step = self._pass(self._subject.call)
        self._held.callback(_uncompile, self._subject.parts)
        try:
            step()
        except Exception as error:
            raise CaseError(f"torch.compile failed: {' '.join(str(error).split())[:200]}") from error
        self.restart()
        return step

    def _graph(self) -> Callable[[], object]:
        if self._subject.draws is not None and self.case.passing != "inference":
            raise CaseError("one CUDA graph would replay one draw of stochastic depth for ever")
        if self._subject.job is not None:
            raise CaseError(f"{self.case.subject}: an engine has no graph mode")
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_CAPTURE):
                self.eager()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.eager()
        return graph.replay

    def _least_bytes(self) -> int:
        if self._subject.job is not None:
            return 0
        case, input = self.case, self._subject.input
        with torch.no_grad(), _autocast(case):
            output = self._subject.call(input)
        self.restart()
        ends = _bytes(input) + _bytes(output)
        parameters = sum(_bytes(p) for p in self.module.parameters())
        if case.passing != "step":
            return ends + parameters
        gradients = 0 if self._subject.labels is not None else ends
        return ends + gradients + 4 * parameters


def prepare(case: Case) -> Work:
    """``case`` ready to run, with torch's settings as it asks; :meth:`Work.close` puts them back.

    Raises:
        CaseError: it cannot exist, needs a GPU that is not there, or its subject does not build.
    """
    reason = unsupported(case)
    if reason is None and case.cuda and not torch.cuda.is_available():
        reason = "there is no GPU that torch can use"
    if reason is not None:
        raise CaseError(f"{case.key}: {reason}")
    return Work(case, build(case))


def _autocast(case: Case) -> AbstractContextManager[Any]:
    if case.dtype != "bf16":
        return nullcontext()
    # Without its cache of cast weights, which a CUDA graph must not keep across steps.
    return torch.autocast("cuda" if case.cuda else "cpu", torch.bfloat16, cache_enabled=False)


def _conditions(case: Case) -> AbstractContextManager[None]:
    """Threads and number formats as the case asks; put back on exit."""
    held = ExitStack()
    if case.threads is not None:
        held.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(case.threads)
    if case.cuda:
        for backend in (torch.backends.cuda.matmul, torch.backends.cudnn.conv):  # type: ignore[attr-defined]
            held.callback(setattr, backend, "fp32_precision", backend.fp32_precision)
            backend.fp32_precision = "tf32" if case.dtype == "tf32" else "ieee"
        held.callback(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
        # The fastest algorithm that cuDNN has, chosen during warm-up, as training code does.
        torch.backends.cudnn.benchmark = True
    return held  # type: ignore[return-value]


def _uncompile(parts: list[nn.Module]) -> None:
    for part in parts:
        part._compiled_call_impl = None


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
