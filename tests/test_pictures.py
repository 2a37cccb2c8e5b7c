"""Pictures are converted to match the training images, or the reason why not is given in one line."""

import io
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from minitrain.data.datasets import Digits
from minitrain.runs import pictures
from minitrain.runs.config import ConfigError
from minitrain.runs.pictures import FORMATS, MAX_PIXELS, MAX_SCANS, PictureError, read_picture, require_pillow
from tests.fault_table import record

SHAPE = (28, 28)
WHITE = 255

Pixels = npt.NDArray[np.uint8]


def a_coat() -> Pixels:
    """Light on black, of every shade, and no side like another."""
    pixels = np.zeros(SHAPE, np.uint8)
    pixels[3:25, 6:20] = np.arange(22 * 14).reshape(22, 14) % 256
    pixels[3:8, 6:9] = WHITE
    return pixels


def written(image: Any, folder: Path, name: str = "picture.png", **options: Any) -> Path:
    image.save(folder / name, **options)
    return folder / name


def encoded(image: Any, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def turned(orientation: int) -> Any:
    """EXIF data that say how the camera was held."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


COAT = a_coat()
GRAY = Image.fromarray(COAT)


# --- right readings ---------------------------------------------------------------------------------------------------


@given(st.binary(min_size=64, max_size=64))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_grayscale_png_of_the_right_size_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    pixels = np.frombuffer(content, np.uint8).reshape(8, 8)
    assert (read_picture(written(Image.fromarray(pixels), tmp_path), (8, 8)).pixels == pixels).all()


@pytest.mark.parametrize(
    ("name", "image", "options"),
    [
        ("palette.png", GRAY.convert("P"), {}),
        ("colour.png", GRAY.convert("RGB"), {}),
        ("16-bit.png", Image.fromarray(COAT.astype(np.uint16) * 257), {}),
        ("opaque.png", GRAY.convert("RGBA"), {}),
        ("white-on-transparent.png", Image.fromarray(np.dstack([np.full_like(COAT, WHITE), COAT])), {}),
        ("sideways.png", GRAY.transpose(Image.Transpose.ROTATE_90), {"exif": turned(6)}),
        ("mirrored.png", GRAY.transpose(Image.Transpose.FLIP_LEFT_RIGHT), {"exif": turned(2)}),
        ("picture.gif", GRAY, {}),
        ("picture.bmp", GRAY, {}),
        ("picture.webp", GRAY.convert("RGB"), {"lossless": True}),
        ("large.png", GRAY.resize((280, 280), Image.Resampling.NEAREST), {}),
    ],
)
def test_the_same_picture_saved_otherwise_is_the_same(
    name: str, image: Any, options: dict[str, Any], tmp_path: Path
) -> None:
    picture = read_picture(written(image, tmp_path, name, **options), SHAPE)
    assert (picture.pixels == COAT).all()
    assert picture.notes == []


def test_a_photograph_is_turned_and_nearly_the_same(tmp_path: Path) -> None:
    photograph = GRAY.transpose(Image.Transpose.ROTATE_90).convert("RGB")
    picture = read_picture(written(photograph, tmp_path, "p.jpg", exif=turned(6), quality=98, subsampling=0), SHAPE)
    assert np.abs(picture.pixels.astype(int) - COAT).max() < 16


def test_sixteen_bits_keep_their_place_between_black_and_white(tmp_path: Path) -> None:
    shades = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    pixels = read_picture(written(Image.fromarray(shades), tmp_path), (8, 8)).pixels
    assert (pixels == np.rint(shades / 257)).all()


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(WHITE - COAT),
        Image.fromarray(np.dstack([np.zeros_like(COAT), COAT])),  # black on transparent
    ],
    ids=["dark on white", "dark on transparent"],
)
def test_what_is_dark_on_white_is_inverted_on_demand(image: Any, tmp_path: Path) -> None:
    picture = read_picture(written(image, tmp_path), SHAPE, invert=True)
    assert (picture.pixels == COAT).all()
    assert picture.notes == []


def test_colours_become_their_brightness(tmp_path: Path) -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 90, 90]]], np.uint8)
    assert read_picture(written(Image.fromarray(colours), tmp_path), (1, 4)).pixels.tolist() == [[76, 150, 29, 90]]


@given(st.integers(1, 60), st.integers(1, 60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_proportions_are_kept_and_what_is_left_over_is_black(tmp_path: Path, height: int, width: int) -> None:
    picture = read_picture(written(Image.new("L", (width, height), 100), tmp_path), SHAPE)
    lit = picture.pixels > 0
    rows, columns = lit.any(axis=1).sum(), lit.any(axis=0).sum()
    assert lit.sum() == rows * columns
    assert max(rows, columns) == 28
    assert min(rows, columns) == max(1, round(28 * min(height, width) / max(height, width)))
    for margins in (lit.any(axis=1).nonzero()[0], lit.any(axis=0).nonzero()[0]):
        assert 0 <= (27 - margins[-1]) - margins[0] <= 1  # centred
    assert set(picture.pixels[lit].tolist()) == {100}


def test_a_pixel_is_the_mean_of_the_area_that_it_covers(tmp_path: Path) -> None:
    large = np.random.RandomState(0).randint(0, 256, (32, 32)).astype(np.uint8)
    pixels = read_picture(written(Image.fromarray(large), tmp_path), (8, 8)).pixels
    means = large.reshape(8, 4, 8, 4).mean(axis=(1, 3))
    assert np.abs(pixels - means).max() < 1  # rounded twice, along rows and along columns


@given(
    st.binary(min_size=4, max_size=4 * 40 * 40),
    st.integers(1, 40),
    st.sampled_from(["L", "RGB", "RGBA", "LA", "P", "1"]),
    st.integers(0, 9),
    st.booleans(),
    st.sampled_from([1, 30, 10**6]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bands_give_the_pixels_that_the_whole_picture_gives(
    tmp_path: Path, content: bytes, width: int, mode: str, orientation: int, invert: bool, band: int
) -> None:
    height = max(1, len(content) // (4 * width))
    colours = np.resize(np.frombuffer(content, np.uint8), (height, width, 4))
    path = written(Image.fromarray(colours, "RGBA").convert(mode), tmp_path, exif=turned(orientation))
    with Image.open(path) as image, pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "BAND", band)
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            upright = upright.convert("RGBA")
            background = Image.new("RGBA", upright.size, (*[255 * invert] * 3, 255))
            whole = Image.composite(upright.convert("L"), background.convert("L"), upright.getchannel("A"))
        else:
            whole = upright.convert("L")
        expected = ImageOps.invert(whole) if invert else whole
        assert np.asarray(pictures._upright_gray(image, invert)).tolist() == np.asarray(expected).tolist()


# --- doubts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "invert", "note"),
    [
        (Image.fromarray(WHITE - COAT), False, "its border is bright"),
        (GRAY, True, "its border was dark"),
        (Image.new("L", (28, 28), 17), False, "it shows almost nothing"),
        (Image.fromarray(np.dstack([np.zeros_like(COAT), COAT])), False, "if it is dark on transparent, add --invert"),
        (Image.fromarray(np.dstack([np.full_like(COAT, WHITE), COAT])), True, "leave out --invert"),
    ],
)
def test_a_picture_that_is_the_wrong_way_round_is_doubted(image: Any, invert: bool, note: str, tmp_path: Path) -> None:
    (found,) = read_picture(written(image, tmp_path), SHAPE, invert).notes
    assert note in found


def test_a_border_is_bright_from_the_middle_of_the_scale_up(tmp_path: Path) -> None:
    for shade, doubted in {100: False, 127: False, 128: True, 200: True}.items():
        framed = Image.new("L", (8, 8), shade)
        framed.paste(Image.new("L", (4, 4), 0), (2, 2))
        assert bool(read_picture(written(framed, tmp_path), (8, 8)).notes) == doubted


def test_no_genuine_digit_is_doubted_and_every_inverted_one_is(tmp_path: Path) -> None:
    for pixels in Digits(train=False).data.array[:50]:
        assert read_picture(written(Image.fromarray(pixels), tmp_path), (8, 8)).notes == []
        assert read_picture(written(Image.fromarray(WHITE - pixels), tmp_path), (8, 8)).notes != []


@pytest.mark.parametrize("form", ["gif", "png", "webp"])
def test_of_several_pictures_in_a_file_the_first_is_taken_and_that_is_said(form: str, tmp_path: Path) -> None:
    others = [Image.fromarray(WHITE - COAT).convert("RGB")]
    options = {"lossless": True} if form == "webp" else {}
    path = written(
        GRAY.convert("RGB"), tmp_path, f"moving.{form}", save_all=True, append_images=others, duration=100, **options
    )
    picture = read_picture(path, SHAPE)
    assert (picture.pixels == COAT).all()
    assert picture.notes == ["it holds several pictures; the first is used"]


# --- what cannot be read ----------------------------------------------------------------------------------------------


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG's header, and next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 6, 0, 0, 0])
    data = zlib.compress(bytes(10))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not a PNG, JPEG, GIF, BMP or WEBP file, or it is damaged"),
        (b"hello", "it is not a PNG"),
        (encoded(GRAY, "TIFF"), "it is not a PNG"),
        (encoded(GRAY, "EPS"), "it is not a PNG"),  # a program, which Pillow would have run
        (encoded(GRAY, "PNG")[:-60], "it cannot be read"),
        (png_that_claims(5001, 5000), "its 5001 x 5000 pixels are more than 25,000,000"),
        (png_that_claims(10_000, 9_500), "its 10000 x 9500 pixels"),  # of which Pillow warns
        (png_that_claims(10**5, 10**5), "it has more than 25,000,000 pixels"),
        (png_that_claims(5000, 5000), "it cannot be read: image file is truncated"),
        (png_that_claims(0, 5), "it "),
        (
            encoded(Image.fromarray(COAT.astype(np.uint16)), "PNG", transparency=0),
            "16 bits with transparency are not supported; save it with 8 bits",
        ),
    ],
)
def test_what_cannot_be_read_is_told(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(PictureError) as caught:
        read_picture(path, SHAPE)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_the_largest_picture_is_read(tmp_path: Path) -> None:
    assert MAX_PIXELS == 5000 * 5000
    assert read_picture(written(Image.new("1", (5000, 5000), 1), tmp_path), SHAPE).pixels.min() == WHITE


# --- memory and time --------------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png_with(*chunks: bytes) -> bytes:
    """A small PNG with further chunks after its header."""
    content = encoded(GRAY, "PNG")
    return content[:33] + b"".join(chunks) + content[33:]


def exif_that_repeats(tags: int, length: int) -> bytes:
    """EXIF data whose tags all name the same bytes: read one by one, they are tags times as many."""
    entries = b"".join(struct.pack("<HHII", 1000 + tag, 7, length, 8) for tag in range(tags))
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", tags) + entries).ljust(length + 8, b"\0")


def jpeg_with_scans(scans: int, side: int = 2000) -> bytes:
    content = encoded(Image.new("L", (side, side), 128), "JPEG", progressive=True)
    last = content.rfind(b"\xff\xda")
    return content[:-2] + content[last:-2] * scans + b"\xff\xd9"


def jpeg_with(marker: bytes, content: bytes) -> bytes:
    """A small JPEG with this segment, as often as its content needs it."""
    picture, signature = encoded(GRAY, "JPEG"), content[: content.index(b"\0") + 1]
    parts = [content[i : i + 65_000] for i in range(len(signature), len(content), 65_000)]
    segments = [marker + (len(signature + part) + 2).to_bytes(2, "big") + signature + part for part in parts]
    return picture[:2] + b"".join(segments) + picture[2:]


def bmp_of_runs(width: int, height: int, runs: bytes) -> bytes:
    """A BMP that is compressed by run lengths, 8 bits a pixel."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(runs), 0, 0, 1078) + header + bytes(1024) + runs


def bombs() -> dict[str, tuple[bytes, str]]:
    """Files that once took memory or time out of proportion, and the reason that is given now; "" if it is read."""
    text, emoji = zlib.compress(bytes(1_000_000)), zlib.compress("\U0001f600".encode() * 250_000)
    wide, exif = Image.new("RGB", (16_000, 1_500)), exif_that_repeats(60_000, 800_000)
    long_exif = b"MM\0*\0\0\0\x08\xff\xff" + struct.pack(">HHII", 5, 7, 10**7, 8) * 65_535 + bytes(10**7)
    jpeg, gif = encoded(GRAY, "JPEG"), encoded(GRAY, "GIF")
    return {
        "tall": (encoded(Image.new("L", (1, 24_999_999)), "PNG"), "a side is longer than 20,000"),
        "wide": (encoded(Image.new("L", (24_999_999, 1)), "PNG"), "a side is longer than 20,000"),
        "WEBP": (encoded(wide, "WEBP", lossless=True), "more than 6,000,000, the most for a WEBP file"),
        "scans": (jpeg_with_scans(3_000), "its 3,006 scans are more than 64"),
        "JPEG that is held": (encoded(Image.new("RGB", (5_000, 5_000)), "JPEG", progressive=True, subsampling=0), "MB"),
        "runs": (bmp_of_runs(5_000, 5_000, b"\xff\0" * 99_000), "more than 1,000,000, the most for a compressed BMP"),
        "lines": (bmp_of_runs(900, 900, bytes(5_000_000)), "more than 4,000,000, the most for a compressed BMP file"),
        "frames": (encoded(GRAY, "GIF", save_all=True, append_images=[GRAY.rotate(i) for i in range(300)]), ""),
        "zTXt": (png_with(*[chunk(b"zTXt", b"k%d\0\0" % i + text) for i in range(64)]), "text"),
        "iTXt": (png_with(*[chunk(b"iTXt", b"k%d\0\1\0\0\0" % i + emoji) for i in range(64)]), "text"),
        "iCCP": (png_with(chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(10**8)))), "too large"),
        "eXIf": (png_with(chunk(b"eXIf", exif)), ""),
        "EXIF": (jpeg_with(b"\xff\xe1", b"Exif\0\0" + exif), ""),
        "MPF": (jpeg_with(b"\xff\xe2", b"MPF\0" + exif_that_repeats(5_000, 60_100)), ""),
        "one EXIF tag again and again": (png_with(chunk(b"eXIf", long_exif)), ""),
        "chunks": (png_with(chunk(b"tEXt", b"k\0v") * 10**6), "more than 300,000 pieces"),
        "empty chunks": (png_with(chunk(b"tEXt", b"") * 10**6), "more than 300,000 pieces"),
        "segments": (jpeg[:2] + b"\xff\xe1\0\2" * 10**6 + jpeg[2:], "300,000 pieces"),
        "segments in a scan": (jpeg[:-2] + b"\xff\xe0\0\2" * 10**7 + jpeg[-2:], "more than 10,000 segments"),
        "filled JPEG": (jpeg[:2] + b"\xff" * 10**7 + jpeg[2:], "more than 300,000 pieces"),
        "comments": (gif[:-1] + b"!\xfe" + b"\1a" * 10**7 + b"\0;", "more than 300,000 pieces"),
        "24 million in GIF": (encoded(Image.effect_noise((5_000, 4_900), 99), "GIF"), ""),
        "12 megapixels": (encoded(Image.new("RGB", (4_000, 3_000)), "JPEG", progressive=True, subsampling=0), ""),
        "12 million in PNG": (encoded(Image.new("RGBA", (4_000, 3_000)), "PNG", compress_level=1), ""),
    }


READ_EACH = """
import json, resource, sys, time
from pathlib import Path
from minitrain.runs.pictures import PictureError, read_picture
from PIL import Image, PngImagePlugin
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
read_picture(sys.argv[1], (28, 28))
limit, before = resource.getrlimit(resource.RLIMIT_DATA), peak()
for path in sys.argv[2:]:
    began, reason = time.process_time(), ""
    try:
        read_picture(path, (28, 28))
    except PictureError as error:
        reason = str(error)
    print(json.dumps([Path(path).name, peak() - before, time.process_time() - began, reason]))
assert limit == resource.getrlimit(resource.RLIMIT_DATA)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")
def test_no_picture_takes_memory_or_time_out_of_proportion(tmp_path: Path) -> None:
    expected = bombs()
    (tmp_path / "small").write_bytes(encoded(GRAY, "PNG"))
    for name, (content, _) in expected.items():
        (tmp_path / name).write_bytes(content)
    line = [sys.executable, "-c", READ_EACH, *(str(tmp_path / name) for name in ("small", *expected))]
    printed = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    for name, memory, seconds, reason in map(json.loads, printed.splitlines()):
        why = expected.pop(name)[1]
        assert (why in reason) if why else not reason, (name, reason)
        assert memory < 130e6, (name, memory)
        assert seconds < 4, (name, seconds)  # 2 on a machine that has nothing else to do
    assert not expected
    record("pictures out of proportion", len(printed.splitlines()), 0)


@pytest.mark.parametrize("scans", [1, MAX_SCANS - 6, MAX_SCANS - 5])
def test_scans_are_counted_as_libjpeg_goes_over_them(scans: int, tmp_path: Path) -> None:
    content = jpeg_with_scans(scans, side=16)
    assert pictures._count_scans(content) == 6 + scans
    thumbnail = content[:2] + b"\xff\xe1\x01\x02" + b"\xff\xda" * 128 + content[2:]  # within a segment
    assert pictures._count_scans(thumbnail + b"\xff\xda" * 100) == 6 + scans  # and after the end, as of a film
    path = tmp_path / "picture.jpg"
    path.write_bytes(thumbnail)
    if scans + 6 > MAX_SCANS:
        with pytest.raises(PictureError, match="its 65 scans are more than 64"):
            read_picture(path, SHAPE)
    else:
        assert read_picture(path, SHAPE).pixels.max() == 128


def test_a_large_picture_is_halved_and_hardly_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shades = np.random.RandomState(0).randint(0, 256, (8, 12, 3)).astype(np.uint8)
    photograph = Image.fromarray(shades).resize((1200, 800), Image.Resampling.BICUBIC)
    for name, options in {"p.jpg": {}, "progressive.jpg": {"progressive": True}, "p.png": {}}.items():
        path = written(photograph, tmp_path, name, exif=turned(6), **options)
        monkeypatch.setattr(pictures, "MEMORY", 100_000_000)
        exact = read_picture(path, SHAPE).pixels.astype(int)
        monkeypatch.setattr(pictures, "MEMORY", 4_000_000)
        assert 0 < np.abs(read_picture(path, SHAPE).pixels - exact).max() <= 2, name


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, reason in {"pipe": "a pipe", ".": "a folder", "nothing.png": "there is no such file"}.items():
        with pytest.raises(PictureError, match=reason):
            read_picture(tmp_path / name, SHAPE)


def test_without_pillow_the_line_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'reading pictures needs Pillow.*: pip install -e ".\[images\]"'):
        require_pillow()


# --- damage -----------------------------------------------------------------------------------------------------------

RGB = Image.merge("RGB", [GRAY, GRAY.rotate(90), GRAY.rotate(180)])
FILES = {
    "PNG": encoded(GRAY, "PNG"),
    "PNG, palette": encoded(GRAY.convert("P"), "PNG", transparency=3),
    "PNG, turned": encoded(RGB, "PNG", exif=turned(6)),
    "PNG, moving": encoded(GRAY, "PNG", save_all=True, append_images=[RGB]),
    "JPEG": encoded(RGB, "JPEG", exif=turned(6)),
    "JPEG, progressive": encoded(RGB, "JPEG", progressive=True),
    "JPEG, CMYK": encoded(RGB.convert("CMYK"), "JPEG"),
    "GIF": encoded(GRAY, "GIF", save_all=True, append_images=[GRAY.rotate(90)]),
    "BMP": encoded(RGB, "BMP"),
    "WEBP": encoded(RGB, "WEBP"),
    "WEBP, lossless": encoded(RGB.convert("RGBA"), "WEBP", lossless=True),
    "WEBP, moving": encoded(RGB, "WEBP", save_all=True, append_images=[RGB.rotate(90)]),
}


def test_every_format_is_damaged_here() -> None:
    assert {name.partition(",")[0] for name in FILES} == set(FORMATS)


def read(content: bytes, folder: Path) -> Pixels | str:
    """The pixels, or the reason why not. Anything else that is raised is a failure."""
    (folder / "picture").write_bytes(content)
    try:
        return read_picture(folder / "picture", SHAPE).pixels
    except PictureError as error:
        return str(error)


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_told_and_no_damaged_png_is_taken_for_whole(name: str, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    found = read(bytes(content), tmp_path)
    if isinstance(found, str):
        assert "\n" not in found
    elif name.startswith("PNG"):
        assert (found == read(FILES[name], tmp_path)).all()


@pytest.mark.parametrize("name", FILES)
@given(share=st.floats(0, 1, exclude_max=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_off_is_told_or_its_first_picture_is_whole(name: str, tmp_path: Path, share: float) -> None:
    found = read(FILES[name][: int(len(FILES[name]) * share)], tmp_path)
    assert isinstance(found, str) or (found == read(FILES[name], tmp_path)).all()
