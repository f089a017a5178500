"""A second implementation of the NME, with SciPy's k-d tree and rotations by SVD.

It follows docs/reference/evaluation.md literally, and is slow.
"""

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation


def reference_nme(predicted, truth, interocular, align="icp", steps=500):
    tree = cKDTree(predicted)
    if align == "none":
        return tree.query(truth)[0].mean() / interocular
    front = np.quantile(predicted[:, 2], 0.98) - np.quantile(truth[:, 2], 0.98)
    rotation, shift = align_to_planes(predicted, tree, truth, np.array([0.0, 0.0, front]))
    for _ in range(steps):
        _, nearest = tree.query(truth @ rotation.T + shift)
        before = rotation, shift
        rotation, shift = fit_rigid(truth, predicted[nearest])
        if np.abs(rotation - before[0]).max() < 1e-7 and np.abs(shift - before[1]).max() < 1e-6:
            break
    distance, nearest = tree.query(truth @ rotation.T + shift)
    if align == "icp":
        return distance.mean() / interocular
    return np.linalg.norm(truth - predicted[nearest], axis=1).mean() / interocular


def align_to_planes(predicted, tree, truth, shift, steps=50):
    """Point-to-plane ICP; normals are those of planes through the nearest vertices."""
    around = predicted[tree.query(predicted, k=12)[1]]
    around = around - around.mean(axis=1, keepdims=True)
    normals = np.linalg.svd(around)[2][:, 2]
    rotation = np.eye(3)
    for _ in range(steps):
        moved = truth @ rotation.T + shift
        _, nearest = tree.query(moved)
        normal, off = normals[nearest], predicted[nearest] - moved
        rows = np.hstack([np.cross(moved, normal), normal])
        step = np.linalg.lstsq(rows, (off * normal).sum(axis=1), rcond=None)[0]
        turn = Rotation.from_rotvec(step[:3]).as_matrix()
        rotation, shift = turn @ rotation, turn @ shift + step[3:]
        if np.abs(step).max() < 1e-7:
            break
    return rotation, shift


def fit_rigid(source, target):
    """Kabsch algorithm: rotation and translation that align points with their counterparts."""
    middle, target_middle = source.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((source - middle).T @ (target - target_middle))
    flip = np.diag([1, 1, np.sign(np.linalg.det(vt.T @ u.T))])
    rotation = vt.T @ flip @ u.T
    return rotation, target_middle - rotation @ middle
