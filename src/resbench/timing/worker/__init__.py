"""What runs inside the process whose code is timed.

This package imports itself only relatively, and of resbench only what it times (``resbench.networks`` and so on, inside
functions).  It can therefore be loaded under another name beside *another* revision of resbench: the ruler stays the
same while the code under it changes (:func:`resbench.timing.processes.start_worker`, ``benchmarks/suites``).
"""
