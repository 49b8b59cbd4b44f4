"""What attribution maps are measured by, and what they have to beat.

``baselines`` are maps that know nothing of the network; ``fills`` replaces what is hidden; ``hiding``, ``road``,
``robustness`` and ``localization`` measure; ``certificate`` chooses and certifies a map, ``ranking`` orders methods.
"""
