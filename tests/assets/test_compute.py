"""What assets and tasks need of the machine that executes them."""

import pytest
from tests.support import letters

import rivers as rs
from rivers.exceptions import ConfigurationError
from rivers.execution.compute import Compute


def test_an_asset_needs_what_it_says_and_one_processor():
    asset = rs.Asset(lambda: None, name="a", compute={"num_gpus": 0.5, "memory": 100})
    assert dict(asset.step.compute_of_all.amounts) == {"CPU": 1.0, "GPU": 0.5, "memory": 100.0}
    assert asset.step.compute_of_all.options() == {"num_cpus": 1.0, "num_gpus": 0.5, "memory": 100}


def test_a_graph_asset_needs_the_largest_amounts_of_its_tasks():
    one = rs.Task(lambda: 1, name="one", compute={"num_cpus": 3})
    two = rs.Task(lambda value: 2, name="two", compute={"resources": {"ssd": 2}})

    @rs.Asset.from_graph(compute={"num_cpus": 2})
    def both():
        return two(one())

    assert dict(both.step.compute_of_all.amounts) == {"CPU": 3.0, "ssd": 2.0}


def test_the_outputs_of_a_multi_asset_share_its_need():
    @rs.Asset.from_multi(output_defs=[rs.AssetDef("a"), rs.AssetDef("b")], compute={"num_cpus": 2})
    def both():
        return {"a": 1, "b": 2}

    assert {asset.step.compute_of_all for asset in both.assets} == {Compute((("CPU", 2.0),))}


def test_a_type_of_accelerator_is_a_resource_of_rays_nodes():
    needed = Compute.read("an asset", {"num_cpus": 0, "accelerator_type": "A100"})
    assert needed.options()["resources"] == {"accelerator_type:A100": 0.001}
    assert needed.missing_of({"CPU": 4.0}) == ["accelerator_type:A100"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cpus": 1}, "it may have 'num_cpus'"),
        ({"num_gpu": 1}, "did you mean 'num_gpus'"),
        ({"num_cpus": "two"}, "must be a number, 0 or more, got 'two'"),
        ({"memory": -1}, "must be a number, 0 or more, got -1"),
        ({"resources": {"ssd": None}}, r"resources\['ssd'\]"),
        ({"resources": 3}, "must be a dict of numbers"),
        ({"accelerator_type": 3}, "must be a str"),
        (4, "must be a dict such as"),
    ],
)
def test_what_is_no_requirement_is_refused(given, message):
    with pytest.raises(ConfigurationError, match=message):
        rs.Asset(lambda: None, name="a", compute=given)
    with pytest.raises(ConfigurationError, match=message):
        rs.Task(lambda: None, name="a", compute=given)


def test_executors_of_one_machine_do_not_look_at_it(repo):
    asset = rs.Asset(lambda: None, name="a", partitions_def=letters(2), compute={"num_gpus": 900})
    assert (
        repo(asset).backfill(partition_range=rs.PartitionKeyRange.single("a", "b")).completed == 2
    )
