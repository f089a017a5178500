"""Every module with logic has a test file at the same place, or is listed here with its tests."""

from pathlib import Path

import pytest

from tests.conftest import LONG_FILES

ROOT = Path(__file__).resolve().parents[1]

TESTED_IN = {
    "cli/cluster_commands": "test_cli",
    "cli/data_commands": "test_cli",
    "cli/group": "test_cli",
    "cli/messages": "test_cli",
    "cli/model_commands": "test_cli",
    "cli/options": "cli/test_config_commands",
    "cli/serving_commands": "test_cli",
    "cli/task_config": "test_cli",
    "cli/training_commands": "test_cli",
    "cluster/dashboard": "submission/test_prepare",
    "cluster/progress_bar": "cluster/test_progress",
    "data/ground_truth": "pipeline/test_synthesize",
    "data/color_profiles": "field/test_colors",
    "data/image_formats": "field/test_formats",
    "data/landmark_files": "field/test_landmarks",
    "data/ljson": "evaluate/datasets/test_scan_landmarks",
    "data/readers/unread": "field/test_formats",
    "data/pair_targets": "data/test_pairs_dataset",
    "data/row_index": "data/test_pair_index",
    "data/schema": "data/test_pairs",
    "data/tiff_samples": "field/test_formats",
    "diagnostics/check": "diagnostics/test_machine_checks",
    "diagnostics/doctor": "diagnostics/test_requirements",
    "diagnostics/gpu/child": "diagnostics/gpu/test_check",
    "diagnostics/gpu/evaluation": "diagnostics/gpu/test_parts",
    "diagnostics/gpu/generation": "diagnostics/gpu/test_bare_machine",
    "diagnostics/gpu/machine": "diagnostics/gpu/test_parts",
    "diagnostics/gpu/marked_tests": "diagnostics/gpu/test_parts",
    "diagnostics/gpu/part": "diagnostics/gpu/test_parts",
    "diagnostics/gpu/prediction": "diagnostics/gpu/test_parts",
    "diagnostics/gpu/rendering": "integration/test_gpu_check",
    "diagnostics/gpu/rendering_process": "diagnostics/gpu/test_parts",
    "diagnostics/gpu/timing": "diagnostics/gpu/test_parts",
    "diagnostics/gpu/training": "diagnostics/gpu/test_parts",
    "diagnostics/machine_info": "diagnostics/test_support_bundle",
    "diagnostics/config_gpus": "field/test_doctor",
    "diagnostics/ray_check": "diagnostics/test_service_checks",
    "diagnostics/ray_logs": "diagnostics/test_support_bundle",
    "diagnostics/run_files": "diagnostics/test_support_bundle",
    "evaluate/datasets/aflw2000_files": "evaluate/datasets/test_aflw2000",
    "evaluate/datasets/base": "evaluate/datasets/test_kinds",
    "evaluate/datasets/face_files": "evaluate/datasets/test_aflw2000",
    "evaluate/datasets/ground_truth_alignment": "evaluate/datasets/test_scans",
    "evaluate/datasets/reannotation": "evaluate/datasets/test_aflw2000",
    "evaluate/datasets/shape_model": "evaluate/datasets/test_aflw2000_dense",
    "evaluate/evaluation_config": "evaluate/test_run",
    "evaluate/measure_faces": "evaluate/test_measure",
    "evaluate/measurements": "evaluate/test_run",
    "evaluate/metrics/registration": "evaluate/metrics/test_nme",
    "evaluate/metrics/statistics": "evaluate/metrics/test_bands",
    "evaluate/protocol": "evaluate/metrics/test_nme",
    "evaluate/report/summary": "evaluate/report/test_outputs",
    "geometry/landmarks68": "geometry/test_pose",
    "geometry/physical_size": "field/test_sizes",
    "geometry/mesh": "render/test_renderer",
    "inference/face_mesh": "inference/test_reconstruction",
    "inference/mlflow_model": "registry/test_registration",
    "geometry/landmark_schemes": "field/test_landmarks",
    "models/head_regressor": "models/test_reconstructor",
    "models/network_config": "models/test_vrn",
    "models/onnx_check": "models/test_onnx_export",
    "models/volumetric": "models/test_reconstructor",
    "pipeline/planning/storage": "integration/test_planned_storage",
    "pipeline/checkpoint": "pipeline/test_generate",
    "pipeline/dry_run": "test_cli",
    "pipeline/export_request": "pipeline/test_export_meshes",
    "pipeline/generate_config": "pipeline/test_generate",
    "pipeline/generate_request": "pipeline/test_generate",
    "pipeline/in_process_executor": "pipeline/test_generate",
    "io/s3_access": "field/test_stores",
    "pipeline/output_change": "pipeline/test_follow_input",
    "pipeline/output_layout": "pipeline/test_generate",
    "pipeline/planning/limits": "pipeline/planning/test_scaling",
    "pipeline/preview/sheet": "pipeline/test_generate",
    "pipeline/preview/write": "pipeline/test_generate",
    "pipeline/ray_executor": "pipeline/test_generate",
    "pipeline/render_part": "pipeline/test_synthesize",
    "pipeline/stage_usage": "pipeline/test_runner",
    "pipeline/stages/crop_faces": "pipeline/test_graph",
    "pipeline/stages/predict_volume": "pipeline/test_graph",
    "pipeline/stages/records": "pipeline/test_graph",
    "pipeline/stages/render_views": "pipeline/test_graph",
    "pipeline/stages/write_meshes": "pipeline/test_graph",
    "pipeline/unused_landmarks": "pipeline/test_generate_summary",
    "pipeline/weights_copy": "pipeline/test_generate",
    "registry/download": "registry/test_resolve",
    "registry/model_names": "registry/test_resolve",
    "registry/model_versions": "rounds/test_trace",
    "registry/run_description": "registry/test_system_metrics",
    "render/contact_sheet": "render/test_surroundings",
    "render/photo_charts": "render/test_texture_atlas",
    "render/scene": "render/test_renderer",
    "rounds/demo": "integration/test_demo",
    "rounds/provenance": "rounds/test_trace",
    "rounds/round_page": "rounds/test_round",
    "rounds/steps": "rounds/test_round",
    "serving/application": "infra/test_kubernetes",
    "serving/deployments": "serving/test_run",
    "serving/engine": "serving/test_app",
    "serving/face_finder": "serving/test_app",
    "serving/faces": "compatibility/test_registered_version",
    "serving/gate": "serving/test_app",
    "serving/metrics": "serving/test_app",
    "serving/page": "serving/test_page_in_browser",
    "serving/problems": "serving/test_app",
    "serving/reconstruction_request": "serving/test_app",
    "serving/serve_config": "serving/test_run",
    "diagnostics/config_checks": "field/test_doctor",
    "submission/tasks": "field/test_commands",
    "synthesis/appearance": "pipeline/test_synthesize",
    "synthesis/photo": "pipeline/test_synthesize",
    "synthesis/sampling": "pipeline/test_synthesize",
    "synthesis/synthesis_config": "pipeline/test_synthesize",
    "synthesis/synthetic_face": "pipeline/test_synthesize",
    "viewer/scripts": "viewer/test_face_page",
    "train/finetune": "integration/test_demo",
    "train/training_config": "train/test_loop",
    "train/training_run": "train/test_pretrain",
    "train/training_task": "train/test_pretrain",
    "train/worker": "train/test_pretrain",
}
"""Module below rayboot/ and the test file below tests/ in which its logic runs."""

MODULES = {
    str(path.relative_to(ROOT / "rayboot").with_suffix(""))
    for path in (ROOT / "rayboot").rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
}


def mirrored(module: str) -> Path:
    path = ROOT / "tests" / module
    return path.with_name(f"test_{path.name}.py")


def test_every_module_has_its_tests() -> None:
    missing = sorted(m for m in MODULES if not mirrored(m).exists() and m not in TESTED_IN)
    assert not missing, f"write tests at the same place, or add to TESTED_IN: {missing}"


@pytest.mark.parametrize("module", TESTED_IN)
def test_the_list_is_true(module: str) -> None:
    assert module in MODULES, f"{module} is gone"
    assert not mirrored(module).exists(), f"{module} has tests at the same place"
    assert (ROOT / "tests" / f"{TESTED_IN[module]}.py").exists()


def test_the_long_files_exist() -> None:
    assert [name for name in LONG_FILES if not (ROOT / "tests" / f"{name}.py").exists()] == []
