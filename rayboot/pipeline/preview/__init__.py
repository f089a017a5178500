"""What one looks at before training on pairs: a page of a data set, or contact sheets."""

from rayboot.pipeline.preview.sheet import pairs_sheet
from rayboot.pipeline.preview.write import preview_photos, write_preview

__all__ = ["pairs_sheet", "preview_photos", "write_preview"]
