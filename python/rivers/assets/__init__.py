"""What a user declares."""

from rivers.assets.asset import Asset
from rivers.assets.asset_def import AssetDef, DepDef
from rivers.assets.external_asset import ExternalAsset
from rivers.assets.graph_asset import GraphAsset, Task
from rivers.assets.multi_asset import MultiAsset, Output

__all__ = [
    "Asset",
    "AssetDef",
    "DepDef",
    "ExternalAsset",
    "GraphAsset",
    "MultiAsset",
    "Output",
    "Task",
]
