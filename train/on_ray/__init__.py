"""A training over the nodes of a Ray cluster: Ray Train places the processes, each of which starts the
child that one machine would start (vlt.train.child), with accelerate and TRL in it as ever.

    vlt train sft --processes 16 --ray auto

`driver` runs as a process of its own, a job of the cluster: when it is gone, by kill -9 too, so is all that
it has placed. `rank` is what a placed process does. `lost` says what happens after one has ended: the
others end, and all are placed again, on the nodes that are left or new, to go on from the last checkpoint
on the shared disk. A mistake of the user's is told at once.
"""
