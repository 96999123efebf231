"""Assets and tasks: what a user declares."""

from rivers.assets.asset import Asset, ExternalAsset, GraphAsset, MultiAsset, SingleAsset
from rivers.assets.asset_def import AssetDef, DepDef
from rivers.assets.graph_asset import Task
from rivers.execution.outputs import Materialization, Output

__all__ = [
    "Asset",
    "AssetDef",
    "DepDef",
    "ExternalAsset",
    "GraphAsset",
    "Materialization",
    "MultiAsset",
    "Output",
    "SingleAsset",
    "Task",
]
