"""A Ray cluster on this machine: every node a raylet of its own, as on as many machines."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import psutil

from tests.support.project import ROOT

STORE_BYTES = 80_000_000


class LocalCluster:
    """A head without any resources, and nodes that are added and killed."""

    def __init__(self, temp: str) -> None:
        from ray.cluster_utils import Cluster

        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": temp}
        os.makedirs(f"{temp}/ray", exist_ok=True)  # noqa: PTH103
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes: list[Any] = []

    @property
    def address(self) -> str:
        """For --address."""
        return str(self._cluster.address)

    def add(
        self,
        cpus: int = 1,
        gpus: int = 0,
        resources: Mapping[str, float] | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        """One more node, with these variables besides."""
        node = self._cluster.add_node(
            num_cpus=cpus,
            num_gpus=gpus,
            resources=dict(resources or {"cpu": 1}),
            object_store_memory=STORE_BYTES,
            env_vars={"PYTHONPATH": str(ROOT), **environment},
        )
        self.nodes.append(node)
        return node

    def node_of(self, process: psutil.Process) -> Any:
        """The node on which something started this process."""
        parents = {parent.pid for parent in process.parents()}
        (node,) = [node for node in self.nodes if node.all_processes["raylet"][0].process.pid in parents]
        return node

    def kill(self, node: Any) -> None:
        """The node dies at once, with everything on it."""
        self.nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def kill_head(self) -> None:
        """The head dies at once: nobody places anything any more."""
        self._cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)

    def silence_head(self) -> None:
        """The head answers nobody, and is there all the same."""
        self._head().suspend()

    def _head(self) -> psutil.Process:
        return psutil.Process(self._cluster.head_node.all_processes["gcs_server"][0].process.pid)

    def end(self) -> None:
        """Every process of the cluster."""
        if self._cluster.head_node.all_processes.get("gcs_server"):
            self._head().resume()
        self._cluster.shutdown()


@contextmanager
def local_cluster(temp: str, nodes: int = 0, cpus: int = 1) -> Iterator[LocalCluster]:
    """A cluster for the length of the block; `temp` must be short, it holds sockets."""
    cluster = LocalCluster(temp)
    try:
        for _ in range(nodes):
            cluster.add(cpus)
        yield cluster
    finally:
        cluster.end()
