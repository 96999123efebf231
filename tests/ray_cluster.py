"""A Ray cluster for tests: one for all of a test run, small, and shut down at its end."""

import os
import warnings

import pytest

OBJECT_STORE_BYTES = 80 * 2**20
HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 1_000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1_500,
    "health_check_failure_threshold": 3,
}


def import_ray():
    """Returns Ray, or skips the test where it is not installed; in CI it must be."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    try:
        import ray
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("Ray is not installed: pip install 'rivers[ray]'")
    return ray


class TestCluster:
    """A head without processors of its own, and nodes that tests add and remove.

    Attributes:
        nodes: The nodes that runs are executed on.
    """

    __test__ = False

    def __init__(self, num_nodes, num_cpus):
        self.ray = import_ray()
        from ray.cluster_utils import Cluster

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.cluster = Cluster()
            self.cluster.add_node(
                num_cpus=0, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES,
                _system_config=HEALTH_CHECKS,
            )  # fmt: skip
            self.nodes = [self.add_node(num_cpus=num_cpus) for _ in range(num_nodes)]
            self.ray.init(address=self.cluster.address, log_to_driver=False, logging_level="ERROR")

    def add_node(self, **options):
        options.setdefault("object_store_memory", OBJECT_STORE_BYTES)
        return self.cluster.add_node(**options)

    def close(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.ray.shutdown()
            self.cluster.shutdown()
