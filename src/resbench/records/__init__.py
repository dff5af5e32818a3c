"""Measurements, and the files that resbench keeps: what was seen, where it comes from, and that it is still that.

=====================================  ===================  ============================  ==========================
file                                   schema               who holds it                  when it is damaged
=====================================  ===================  ============================  ==========================
``claims/SETTING/NETWORK[/seed-N]/``   resbench.evidence/2  `measure`: the network's      judging: exit 2; `measure`:
``EXPERIMENT.json``                                         folder                        set aside, measured again
``claims/SETTING/seed-N.json``         resbench.seed/2      `calibrate`: the file         reading: exit 2;
                                                                                          `calibrate`: set aside,
                                                                                          measured again
``checkpoints/SETTING/[seed-N/]``      resbench-checkpoint  `train`, `measure`: the       judging: exit 2; `train`,
``NETWORK.safetensors``                -1, with a digest    network                       `measure`: set aside,
                                                                                          trained again
``checkpoints/digits/index.json``      1                    `train`, while it writes      judging: exit 2; `train`
                                                                                          writes it anew
``throughput/*.json``, saved runs      resbench.timing/1,   `bench --save`: the name      reading: exit 2; `bench
(``RESBENCH_STORE``)                   with a digest                                      --save` of its name: set
                                                                                          aside
``pace.json`` (decides nothing)        1                    who writes it, meanwhile      set aside, begun anew
cache: ``training/SETTING/*.state``    resbench-run-1,      the network's training        set aside, training begun
                                       with a digest                                      anew
cache: ``partial/``, ``lesions/``      none: of one         one lock a result             removed, measured again
                                       fingerprint
``survey.csv``                         its columns          `survey`                      exit 2
``claims/claims.lock`` (the package)   1                    nobody: a person writes it    exit 2
asv's results                          asv's                ``.lock`` in their folder     exit 2
``verdicts.json`` of `check --out`     1                    written whole                 `diff`, `badge`, `check
                                                                                          --since`: exit 2
reports, figures, benchmarks' results  -                    written whole, not read       -
=====================================  ===================  ============================  ==========================

All are written whole or not at all (:func:`resbench.records.places.write_atomically`).  Locks are in ``.locks`` beside
what they are of (:mod:`.locking`); a second writer is told who the first is, or leaves the network to it.  *Set aside*:
renamed to ``*.damaged-N``, told in a line, exit code 1 (:mod:`.aside`).  Older schemas are read, newer ones refused
(:mod:`.schemas`).  Names in records cannot lead out of their store, nor can links (:func:`.places.inside`).
`resbench records` verifies, merges, compares and migrates whole folders (:mod:`.stores`).
"""

from resbench.records.measurement import Measurement, Scalar, Value

__all__ = ["Measurement", "Scalar", "Value"]
