HEAD


@lru_cache(maxsize=4)
@torch.no_grad()
def _executed(schedule: Schedule, p_last: float, draws: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How often each unit's branch was computed in ``draws`` draws, and the depth of each draw.

    The draws are those of 500 copies of a network one channel wide: the branch of ``m`` active copies has ``m``
    channels, so what is counted is what was computed, not what was drawn.
    """
    copies = 500
    if draws % copies:
        raise ValueError(f"the number of draws is a multiple of {copies}, not {draws}")
    spec = NetworkSpec(widths=(1, 1, 1), unit=UnitSpec(order="original"), inputs=1)
    network = thin_network(spec, copies=copies, dtype=torch.float32)
    network.sampler = make_sampler(stochastic_recipe(schedule, p_last, spec), N_UNITS, range(copies))
    counts = [0] * N_UNITS

    def count(index: int) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            counts[index] += output.shape[1]

        return hook

    for index, unit in enumerate(network.residual_units()):
        unit.residual.register_forward_hook(count(index))
    images = torch.randn(2, copies, 4, 4, generator=torch.Generator().manual_seed(0))
    depths: list[int] = []
    for _ in range(draws // copies):
        network(images)
        if network.last_draw is None:
            depths += [N_UNITS] * copies
        else:
            depths += network.last_draw.sum(1).tolist()
    return tuple(counts), tuple(depths)


def survival_outside_interval(schedule: Schedule, p_last: float, draws: int = 10_000) -> Measurement:
    """How many of the 54 units were used implausibly often or seldom for their ``p_l``.

    Implausible: outside the simultaneous (Bonferroni) binomial interval of 99.9 %.  A schedule that starts at
    ``p_1 = 1``, as ``(l - 1) / (L - 1)`` does, or units that never drop are outside it.
    """
    from scipy.special import bdtr

    counts, _ = _executed(schedule, p_last, draws)
    tail = 0.001 / (2 * N_UNITS)
    outside = []
    for unit, used in enumerate(counts, start=1):
        p = float(schedules.survival(N_UNITS, str(p_last), unit, schedule))
        at_most = bdtr(used, draws, p)
        at_least = 1.0 if used == 0 else bdtr(draws - used, draws, 1 - p)
        if min(at_most, at_least) < tail:
            outside.append(unit)
    frequencies = [used / draws for used in counts]
    return Measurement(
        len(outside), samples={"frequency": frequencies}, n=draws, detail=f"units outside the interval: {outside}"
    )


def depth_as_drawn(schedule: Schedule, p_last: float, draws: int = 10_000) -> Measurement:
    """Mean number of branches that a training pass computes, units."""
    counts, depths = _executed(schedule, p_last, draws)
    mean = sum(counts) / draws
    spread = math.sqrt(sum((depth - mean) ** 2 for depth in depths) / (draws - 1))
    half = 1.96 * spread / math.sqrt(draws)
    return Measurement(
        mean,
        interval=(mean - half, mean + half),
        method="normal approximation of the mean over draws",
        samples={"depth": list(depths)},
        n=draws,
        detail=f"standard deviation {spread:.2f} units, range {min(depths)} to {max(depths)}",
    )


def units_saved(schedule: Schedule, p_last: float, draws: int = 10_000) -> Measurement:
    """Share of the branches that training passes do not compute, %."""
    depth = depth_as_drawn(schedule, p_last, draws)
    assert isinstance(depth.value, float) and depth.interval is not None
    low, high = (100.0 * (1.0 - bound / N_UNITS) for bound in reversed(depth.interval))
    return Measurement(
        100.0 * (1.0 - depth.value / N_UNITS), (low, high), method=depth.method, n=draws, detail=depth.detail
    )


def branches_not_skipped(passes: int = 4) -> Measurement:
    """Disagreements between the draw of a training pass and what it did with each unit's branch.

    A drawn branch is computed once and its weights receive a gradient; another is not computed at all and
    receives none.  (Multiplying by zero computes it, and saves no time.)
    """
    network = thin_network(dtype=torch.float32)
    network.sampler = make_sampler(stochastic_recipe("linear", 0.5), N_UNITS, [0])
    calls = [0] * N_UNITS

    def count(index: int) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_: nn.Module, __: object, ___: Tensor) -> None:
            calls[index] += 1

        return hook

    for index, unit in enumerate(network.residual_units()):
        unit.residual.register_forward_hook(count(index))
    wrong, computed = 0, 0
    for _ in range(passes):
        calls[:] = [0] * N_UNITS
        network.zero_grad(set_to_none=True)
        network(random_images(4, dtype=torch.float32)).sum().backward()
        drawn = [True] * N_UNITS if network.last_draw is None else network.last_draw[0].tolist()
        for unit, keep, called in zip(network.residual_units(), drawn, calls, strict=True):
            reached = [parameter.grad is not None for parameter in unit.residual.parameters()]
            wrong += called != int(keep) or any(reached) != keep or all(reached) != keep
        computed += sum(calls)
    return Measurement(wrong, n=passes, detail=f"{computed} of {passes * N_UNITS} branches were computed")


def flop_saving(schedule: Schedule, p_last: float) -> float:
    """Share of a training pass's multiplications that stochastic depth saves on average, %; 32x32 images.

    Counted from the shapes of the paper's own network (16/32/64 filters), weighted with the probabilities of the
    sampler that training would use.  The first convolution and the classifier are always computed.
    """
    spec = NetworkSpec(unit=UnitSpec(order="original"))
    with torch.device("meta"):
        network = ResidualNetwork(spec).eval()
    costs: dict[nn.Module, int] = {}

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        costs[layer] = output[0].numel() * weight[0].numel()

    for module in network.modules():
        if hasattr(module, "weight") and not isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(count)
    network(torch.empty(1, 3, 32, 32, device="meta"))
    sampler = make_sampler(stochastic_recipe(schedule, p_last, spec), spec.n_units, [0])
    used = sampler.inclusion() if sampler is not None else (1.0,) * spec.n_units
    branches = [sum(costs.get(m, 0) for m in unit.residual.modules()) for unit in network.residual_units()]
    saved = sum(cost * (1.0 - p) for cost, p in zip(branches, used, strict=True))
    return 100.0 * saved / sum(costs.values())


def _stem_gradients(active: int | None, seeds: int) -> Tensor:
    """Mean absolute gradient of the first convolution at initialisation, one value per seed.

    ``active``: exactly so many units (drawn) are used; None: stochastic depth, linear decay to 1/2.
    """
    spec = NetworkSpec(widths=(8, 16, 32), unit=UnitSpec(order="original"))
    network = thin_network(spec, copies=seeds, dtype=torch.float32)
    recipe = stochastic_recipe("linear", 0.5, spec)
    network.sampler = make_sampler(recipe, N_UNITS, range(seeds)) if active is None else ExactlyK(N_UNITS, active, range(seeds))
    labels = torch.randint(0, spec.classes, (16,), generator=torch.Generator().manual_seed(1))
    logits = network(random_images(16, dtype=torch.float32).repeat(1, seeds, 1, 1))
    F.cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(seeds), reduction="sum").div(16).backward()
    weight = next(m for m in network.stem.modules() if isinstance(m, CopiesConv2d)).weight
    assert weight.grad is not None
    return weight.grad.unflatten(0, (seeds, -1)).abs().mean((1, 2, 3, 4))


def initial_gradient_ratios(seeds: int = 8) -> list[float]:
    """Gradient of the first convolution with stochastic depth over that of the full network, at initialisation."""
    return [float(ratio) for ratio in _stem_gradients(None, seeds) / _stem_gradients(N_UNITS, seeds)]


def initial_gradient_by_units(units: Sequence[int], seeds: int = 8) -> list[float]:
    """The same gradient with exactly ``units`` of 54 units in use, mean over seeds, relative to the full network."""
    full = _stem_gradients(N_UNITS, seeds)
    return [float((_stem_gradients(active, seeds) / full).mean()) for active in units]
