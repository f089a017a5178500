"""Files of other programs: rare kinds of known formats, and what surrounds photos on disks."""

import io
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import tifffile

from rayboot.config import FrozenConfig, load_config, parse_yaml
from rayboot.data.fetch import PhotoFetcher
from rayboot.data.images import decode_photo
from rayboot.data.landmarks import read_landmarks
from rayboot.data.readers import list_photos
from rayboot.data.readers.unread import unread_note
from rayboot.errors import FaceRejectedError, RequestError
from tests.field.test_formats import encoded, gradient, make_folder, rejection
from tests.field.test_landmarks import FACE, SIZE, lines, npy

JPEG = encoded(gradient(), "JPEG")


def with_frame(marker: int, bits: int) -> bytes:
    """The header of a JPEG of a rare kind, which no encoder here writes."""
    payload = bytearray(JPEG)
    start = payload.find(b"\xff\xc0")
    payload[start + 1], payload[start + 4] = marker, bits
    return bytes(payload)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (with_frame(0xC1, 12), "a JPEG of 12 bits per channel"),
        (with_frame(0xC3, 8), "a lossless JPEG"),
    ],
)
def test_rare_kinds_of_jpeg_are_named(payload: bytes, words: str) -> None:
    """Medical scanners and industrial cameras."""
    reject = rejection(payload)
    assert reject.reason == "undecodable" and words in reject.message


def with_gamma(png: bytes, gamma: float) -> bytes:
    data = b"gAMA" + struct.pack(">I", round(gamma * 100_000))
    chunk = struct.pack(">I", 4) + data + struct.pack(">I", zlib.crc32(data))
    return png[:33] + chunk + png[33:]


@pytest.mark.parametrize("alpha", [False, True])
def test_the_gamma_of_a_png_is_honoured(alpha: bool) -> None:
    """Renderers that save linear values as PNG; browsers show them as they should look."""
    encoded_values = gradient() / 255
    linear = np.where(
        encoded_values <= 0.04045, encoded_values / 12.92, ((encoded_values + 0.055) / 1.055) ** 2.4
    )
    stored = np.rint(255 * linear).astype(np.uint8)
    if alpha:
        stored = np.dstack([stored, np.full(stored.shape[:2], 255, np.uint8)])
    decoded = decode_photo(with_gamma(encoded(stored, "PNG"), 1.0))
    # A step of the linear values is some steps of the encoded ones where it is dark.
    assert np.abs(decoded.astype(int) - gradient()).max() <= 6
    plain = encoded(gradient(), "PNG")
    for same in (1 / 2.2, 0.45, 0.0, 21_000.0):
        assert (decode_photo(with_gamma(plain, same)) == gradient()).all()


@pytest.mark.parametrize("factor", [1, 257, 2**24 + 2**16 + 2**8 + 1])
def test_grey_of_32_bits_keeps_its_range(factor: int) -> None:
    """Microscopes, and programs that sum up pictures."""
    grey = gradient()[..., 0]
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, grey.astype(np.uint32) * np.uint32(factor))
    decoded = decode_photo(buffer.getvalue())
    assert np.abs(decoded.astype(int) - grey[..., None]).max() <= 1


def write_tar(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(JPEG)
            archive.addfile(member, io.BytesIO(JPEG))
    return path


def test_shadow_files_are_no_photos(tmp_path: Path) -> None:
    """Archives packed on macOS, and thumbnails on disks of Synology."""
    archive = write_tar(tmp_path / "a.tar", "._a.jpg", "__MACOSX/._a.jpg", "a.jpg")
    assert list_photos(str(archive))["face_id"].to_pylist() == ["a/a.jpg"]
    folder = tmp_path / "photos"
    (folder / "@eaDir/a.jpg").mkdir(parents=True)
    (folder / "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg").write_bytes(JPEG)
    (folder / "a.jpg").write_bytes(JPEG)
    assert list_photos(str(folder))["face_id"].to_pylist() == ["a.jpg"]


@pytest.mark.parametrize("payload", [b"", b"PAR1xxxxPAR1"])
@pytest.mark.parametrize(("suffix", "kind"), [(".tar", "tar"), (".parquet", "Parquet")])
def test_a_damaged_file_of_many_photos_is_named(
    tmp_path: Path, suffix: str, kind: str, payload: bytes
) -> None:
    """Downloads that were interrupted."""
    (tmp_path / f"b{suffix}").write_bytes(payload)
    message = rf"b{suffix}: expected a {kind} file, got one that is empty, incomplete or damaged"
    with pytest.raises(RequestError, match=message):
        list_photos(str(tmp_path))


def test_archives_that_are_not_read_are_named(tmp_path: Path) -> None:
    """Downloads of data sets, before they are unpacked."""
    folder = make_folder(tmp_path / "photos", "a.jpg", "b.zip", "c.tar.gz", "d.h5")
    note = unread_note(list_photos(folder))
    assert note.startswith("3 archives are not read (b.zip, c.tar.gz, d.h5)")
    alone = make_folder(tmp_path / "alone", "b.zip")
    for uri in (alone, f"{alone}/b.zip"):
        with pytest.raises(RequestError, match=r"1 archive is not read .*unpack them"):
            list_photos(uri)


def test_tables_of_arrow_and_lance_are_named(tmp_path: Path) -> None:
    """What `save_to_disk` of Hugging Face, pandas and LanceDB write, beside photos and alone."""
    table = pa.table({"image": [JPEG]})
    folder = tmp_path / "photos"
    (folder / "faces.lance/data").mkdir(parents=True)
    for name in ("data-00000-of-00001.arrow", "b.feather"):
        pyarrow.feather.write_feather(table, str(folder / name))
    for name in ("data/0001.lance", "data/0002.lance", "_versions/1.manifest"):
        (folder / "faces.lance" / name).parent.mkdir(exist_ok=True)
        (folder / "faces.lance" / name).write_bytes(b"lance")
    named = (
        "3 archives are not read (b.feather, data-00000-of-00001.arrow, faces.lance); unpack them, "
        "or store the photos in .tar or Parquet files"
    )
    with pytest.raises(RequestError) as caught:
        list_photos(str(folder))
    assert named in str(caught.value)
    (folder / "a.jpg").write_bytes(JPEG)
    photos = list_photos(str(folder))
    assert photos["face_id"].to_pylist() == ["a.jpg"]
    assert unread_note(photos) == named


def test_rings_of_links_are_no_reason_to_stop(tmp_path: Path) -> None:
    """Collections made of links, moved to another place."""
    (tmp_path / "a.jpg").write_bytes(JPEG)
    for link, target in (("b.jpg", "c.jpg"), ("c.jpg", "b.jpg"), ("own", "own")):
        (tmp_path / link).symlink_to(target)
    rows = list_photos(str(tmp_path)).to_pylist()
    assert [row["face_id"] for row in rows] == ["a.jpg", "b.jpg", "c.jpg"]
    photo, *rejects = PhotoFetcher().fetch(rows)
    assert photo.photo == JPEG
    assert all(isinstance(reject, FaceRejectedError) for reject in rejects)


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.large_binary(), pa.binary_view(), pa.binary(len(JPEG))),
        pa.dictionary(pa.int32(), pa.binary()),
    ],
    ids=str,
)
def test_all_kinds_of_bytes_in_parquet(tmp_path: Path, kind: pa.DataType) -> None:
    """Polars writes views, pandas' categories are dictionaries."""
    images = pa.array([JPEG, JPEG], pa.binary())
    is_dictionary = pa.types.is_dictionary(kind)
    column = images.dictionary_encode() if is_dictionary else images.cast(kind)
    pq.write_table(pa.table({"image": column}), tmp_path / "a.parquet")
    fetched = PhotoFetcher().fetch(list_photos(str(tmp_path)).to_pylist())
    assert [photo.photo for photo in fetched] == [JPEG, JPEG]


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("".join(f'"{x}","{y}"\n' for x, y in FACE), ".csv"),
        ('"","x","y"\n' + "".join(f'"{i}",{x},{y}\n' for i, (x, y) in enumerate(FACE)), ".csv"),
        ("".join(f"{x},{y},-\n" for x, y in FACE), ".csv"),
        (str(FACE.tolist()), ".txt"),
        ("\n".join(f"({x}, {y})" for x, y in FACE), ".txt"),
        (np.array2string(FACE, threshold=10_000), ".txt"),
        (repr(FACE).replace("...", ""), ".txt"),
    ],
    ids=["quoted", "R", "empty column", "list", "tuples", "array", "repr"],
)
def test_landmarks_as_programs_print_them(text: str, suffix: str) -> None:
    """Tables of R and spreadsheets, and output of `print`."""
    landmarks = read_landmarks(text.encode(), suffix, SIZE)
    assert np.abs(landmarks - FACE).max() < 1e-2


@pytest.mark.parametrize("unseen", ["NA NA", "N/A N/A", "- -", "null null", "nan nan", "inf inf"])
def test_points_that_were_not_seen_in_words(unseen: str) -> None:
    """R and pandas write NA."""
    first, rest = lines(FACE).split("\n", 1)
    landmarks = read_landmarks(f"{unseen}\n{rest}".encode(), ".txt", SIZE)
    assert np.abs(landmarks[1:] - FACE[1:]).max() < 1e-2
    assert np.isfinite(landmarks).all() and first


@pytest.mark.parametrize("far", [1e30, -1e30, 65535.0])
def test_a_point_far_away_counts_as_unseen(far: float) -> None:
    """Trackers that mark a lost point by the largest number."""
    points = FACE.copy()
    points[3] = far
    landmarks = read_landmarks(npy(points), ".npy", SIZE)
    assert np.abs(landmarks - FACE)[3].max() < 30
    assert (np.delete(landmarks, 3, 0) == np.delete(FACE, 3, 0)).all()


def test_a_mat_file_of_hdf5_is_named() -> None:
    with pytest.raises(FaceRejectedError, match=r"MATLAB 7\.3"):
        read_landmarks(b"MATLAB 7.3 MAT-file" + b" " * 600, ".mat", SIZE)


class Pools(FrozenConfig):
    """A config in a config."""

    readers: int = 1
    actors: int = 1


class Config(FrozenConfig):
    """A config."""

    pools: Pools = Pools()
    name: str = ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nname: b\n", "the key name is given twice, in lines 1 and 2"),
        ("pools: {readers: 2}\npools: {actors: 3}\n", "the key pools is given twice"),
        (
            "pools:\n  readers: 2\n  readers: 3\n",
            "the key readers .* in lines 2 and 3",
        ),
        ("pools:\n\treaders: 2\n", r"cannot start any token \(line 2\); indent with spaces"),
    ],
)
def test_mistakes_in_a_config_are_told_with_their_line(
    tmp_path: Path, text: str, message: str
) -> None:
    """Configs that were copied together."""
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(RequestError, match=message):
        load_config(Config, path)


def test_anchors_and_merges_are_yaml(tmp_path: Path) -> None:
    assert parse_yaml("{a: &x {p: 1, q: 2}, b: {<<: *x, q: 3}}")["b"] == {"p": 1, "q": 3}
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: &x a\r\npools: {<<: {readers: 2}, actors: '3'}\r\n")
    assert load_config(Config, path) == Config(name="a", pools=Pools(readers=2, actors=3))


def test_a_photo_whose_name_is_hard_to_quote(tmp_path: Path) -> None:
    """Screenshots, messengers and scrapers."""
    names = [
        *("a\nb.jpg", 'it\'s "q".jpg', "100%.jpg", "%20.jpg", "a#b?c.jpg", "a*[b]{c}.jpg"),
        *("~.jpg", "C:\\x.jpg", "\u202eabc.jpg", " lead.jpg", "\U0001f600.jpg"),
    ]
    for name in names:
        (tmp_path / name).write_bytes(JPEG)
    (tmp_path / "x.tar").mkdir()
    (tmp_path / "x.tar/y.jpg").write_bytes(JPEG)
    rows = list_photos(str(tmp_path)).to_pylist()
    assert {row["face_id"] for row in rows} == {*names, "x.tar/y.jpg"}
    assert all(photo.photo == JPEG for photo in PhotoFetcher().fetch(rows))


def test_the_first_picture_of_a_file_of_several() -> None:
    """Scanners, stereo cameras, messengers."""
    photo = PIL.Image.fromarray(gradient())
    other = PIL.Image.new("RGB", photo.size)
    for image_format, options in {"TIFF": {}, "WEBP": {"lossless": True}, "MPO": {}}.items():
        buffer = io.BytesIO()
        photo.save(buffer, image_format, save_all=True, append_images=[other], **options)
        decoded = decode_photo(buffer.getvalue())
        assert np.abs(decoded.astype(int) - gradient()).max() <= 12
