"""When and where cells are measured: one after the other, several at once, or on the nodes of a cluster.

An executor is given jobs (what they need) and `measure` (what to do with one where it is placed). `measure`
runs in this process always, with the journal and every decision; only the engine and the client that asks it
are where the place is. It always returns a result, also when it is cancelled.
"""

from gate.executors.local import Here, Jobs, Sequential, check_executor, executor_for, visibility_variables
from gate.executors.protocol import Executor, Job, Place

__all__ = [
    "Executor",
    "Here",
    "Job",
    "Jobs",
    "Place",
    "Sequential",
    "check_executor",
    "executor_for",
    "visibility_variables",
]
