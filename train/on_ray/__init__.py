"""A training across the nodes of a Ray cluster: Ray Train places the processes, and each runs the child
that a single machine would run (vlt.train.child), with accelerate and TRL unchanged.

    vlt train sft --processes 16 --ray auto

`driver` runs in a process of its own, as a job of the cluster: when it exits, even by kill -9, Ray stops
everything that it placed. `rank` is what each placed process does. `lost` decides what happens after a
process has failed: the others stop, and all restart on the remaining or new nodes from the last checkpoint
on the shared disk. A user's mistake is reported at once.
"""
