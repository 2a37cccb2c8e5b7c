"""Pictures are converted to match the training images, or the reason why not is given in one line."""

import io
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from minitrain.data.datasets import Digits
from minitrain.runs import pictures
from minitrain.runs.config import ConfigError
from minitrain.runs.pictures import FORMATS, MAX_PIXELS, PictureError, read_picture, require_pillow

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
