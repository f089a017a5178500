"""The interactive 3D view of pages, in JavaScript without a library, and a page of its own for it.

It imports no other package, so that notebooks, reports and the service can show the same view.
"""

from rayboot.viewer.face_page import ViewedFace, make_face_page
from rayboot.viewer.scripts import hash_script, pack_array, read_viewer_script

__all__ = ["ViewedFace", "hash_script", "make_face_page", "pack_array", "read_viewer_script"]
