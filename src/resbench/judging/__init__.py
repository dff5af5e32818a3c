"""From a comparator and a measurement to a judgement; :mod:`resbench.judge` makes verdicts of them."""
