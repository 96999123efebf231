"""The work of the comparison, in Dagster; a run a partition, in this process."""

import logging

import probe


def works():
    import dagster as dg

    logging.disable(logging.CRITICAL)

    def grid(*sizes):
        return dg.MultiPartitionsDefinition(
            {
                name: dg.StaticPartitionsDefinition([f"{name}{n:04d}" for n in range(size)])
                for name, size in zip("ab", sizes, strict=False)
            }
        )

    def keys(size):
        definition = grid(size, size)
        return lambda: len(definition.get_partition_keys())

    def noop(size, instance):
        definition = grid(10, 100)
        chosen = definition.get_partition_keys()[:size]

        @dg.asset(partitions_def=definition)
        def noop():
            return None

        def work():
            done = (
                dg.materialize([noop], partition_key=key, instance=instance).success
                for key in chosen
            )
            return sum(done)

        return work

    return {
        "keys": keys,
        "memory": lambda size: noop(size, dg.DagsterInstance.ephemeral()),
        "disk": lambda size: noop(size, dg.DagsterInstance.local_temp(".")),
    }


if __name__ == "__main__":
    probe.main(works)
