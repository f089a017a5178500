"""Removal of rejects from a data set, so that the next run tries their photos again."""

import pyarrow.compute as pc

from rayboot.data.manifest import MANIFEST
from rayboot.errors import REJECT_STAGES, RequestError
from rayboot.io.lease import hold_lease
from rayboot.io.parquet import read_table
from rayboot.io.storage import join_uri, list_files
from rayboot.pipeline.checkpoint_files import finished_files
from rayboot.pipeline.output_change import OutputChange, finish_change, make_change
from rayboot.pipeline.output_layout import LEASE

__all__ = ["remove_rejects"]

_REJECTS = "outcome=reject"


def remove_rejects(output: str, stage: str) -> int:
    """Removes the rejects of one stage from a data set, which is unfinished afterwards.

    An interrupted removal is completed by the next run on the same output.

    Args:
        output: URI of the data set.
        stage: Stage whose rejects are removed.

    Returns:
        Number of removed rejects.

    Raises:
        RequestError: There is no such stage.
        BusyError: Another run writes to the same output.
    """
    if stage not in REJECT_STAGES:
        raise RequestError(
            f"stage {stage}: expected one that can reject a photo: {', '.join(REJECT_STAGES)}"
        )
    with hold_lease(join_uri(output, LEASE)):
        finish_change(output)
        ids = [
            face_id
            for name in finished_files(output, list_files(output, _REJECTS))
            if name.endswith(".parquet")
            for face_id in _rejected_ids(output, name, stage)
        ]
        if ids:
            make_change(output, OutputChange(ids, [_REJECTS], [MANIFEST]))
        return len(ids)


def _rejected_ids(output: str, name: str, stage: str) -> list[str]:
    table = read_table(join_uri(output, name), ["face_id", "stage"])
    ids: list[str] = table.filter(pc.equal(table["stage"], stage))["face_id"].to_pylist()
    return ids
