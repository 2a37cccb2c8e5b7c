"""Transforms as functions: torchvision.transforms.functional. An image is what images.py says; a result is new."""

import enum
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from minitrain.data.transforms import resampling
from minitrain.data.transforms.basic import Normalize, ToTensor
from minitrain.data.transforms.images import Planes, get_dimensions, is_pil_image, like, on_planes, pillow, planes_of
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.not_offered import torch_names

if TYPE_CHECKING:
    from minitrain.data.transforms.colors import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation
    from minitrain.data.transforms.random_erasing import erase

__getattr__, __dir__ = torch_names(
    __name__,
    {
        "minitrain.data.transforms.colors": "adjust_brightness adjust_contrast adjust_hue adjust_saturation",
        "minitrain.data.transforms.random_erasing": "erase",
    },
)

__all__ = [
    "InterpolationMode",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "affine",
    "center_crop",
    "convert_image_dtype",
    "crop",
    "erase",
    "get_dimensions",
    "get_image_num_channels",
    "get_image_size",
    "hflip",
    "normalize",
    "pad",
    "pil_to_tensor",
    "resize",
    "resized_crop",
    "rgb_to_grayscale",
    "rotate",
    "to_grayscale",
    "to_pil_image",
    "to_tensor",
    "vflip",
]


class InterpolationMode(enum.Enum):
    """How pixels between the old pixels are computed."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_BY_PILLOWS_NUMBER = dict(
    enumerate(InterpolationMode[name] for name in ("NEAREST", "LANCZOS", "BILINEAR", "BICUBIC", "BOX", "HAMMING"))
)


_ALWAYS_ANTIALIASED = "Anti-alias option is always applied for PIL Image input. Argument antialias is ignored."


def as_mode(interpolation: Any) -> InterpolationMode:
    """An InterpolationMode, also from Pillow's number for it."""
    if isinstance(interpolation, int) and int(interpolation) in _BY_PILLOWS_NUMBER:
        return _BY_PILLOWS_NUMBER[int(interpolation)]
    if not isinstance(interpolation, InterpolationMode):
        raise TypeError(
            "Argument interpolation should be a InterpolationMode or a corresponding Pillow integer constant, got "
            f"{interpolation!r}"
        )
    return interpolation


def get_image_size(img: Any) -> list[int]:
    """The image's [W, H]."""
    return get_dimensions(img)[:0:-1]


def get_image_num_channels(img: Any) -> int:
    """The image's number of channels."""
    return get_dimensions(img)[0]


# --- kinds and dtypes ------------------------------------------------------------------------------------------


def to_tensor(pic: Any) -> Tensor:
    """What ToTensor computes."""
    return ToTensor()(pic)


def normalize(tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Tensor:
    """What Normalize computes."""
    return Normalize(mean, std, inplace)(tensor)


def pil_to_tensor(pic: Any) -> Tensor:
    """The pixels of an array or PIL image as a Tensor (C, H, W) of the same dtype, not scaled."""
    if isinstance(pic, Tensor):
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}: it is a Tensor already")
    planes = planes_of(pic)
    return wrap(np.array(planes[None] if planes.ndim == 2 else planes, order="C"))


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """A PIL image of a Tensor (C, H, W) or (H, W), or of an ndarray (H, W) or (H, W, C). Needs Pillow.

    Floats in [0, 1] are multiplied by 255 and cut off to bytes, unless the mode is "F".

    Raises:
        TypeError: another kind of object, or a dtype without a mode.
        ValueError: another number of dimensions or channels, or a mode that does not fit.
    """
    if not isinstance(pic, Tensor | np.ndarray):
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    array: Any = pic
    if isinstance(pic, Tensor):
        array = pic.array.transpose(1, 2, 0) if pic.ndim == 3 else pic.array
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3:
        raise ValueError(f"pic should be 2/3 dimensional. Got {array.ndim} dimensions.")
    channels = array.shape[2]
    if channels > 4:
        raise ValueError(f"pic should not have > 4 channels. Got {channels} channels.")
    if array.dtype.kind == "f" and mode != "F":
        array = (array * 255).astype(np.uint8)
    if channels == 1:
        allowed = []
        fitting = {"uint8": "L", "int16": "I;16", "int32": "I", "float32": "F"}.get(array.dtype.name)
        allowed = [fitting] if fitting else []
    else:
        allowed = {2: ["LA"], 3: ["RGB", "YCbCr", "HSV"], 4: ["RGBA", "CMYK", "RGBX"]}[channels]
        fitting = allowed[0] if array.dtype == np.uint8 else None
    if mode is not None and mode not in allowed:
        raise ValueError(f"Incorrect mode ({mode}) for {channels} channels of {array.dtype}: expected one of {allowed}")
    if mode is None and fitting is None:
        raise TypeError(f"Input type {array.dtype} is not supported")
    return pillow().frombytes(mode or fitting, (array.shape[1], array.shape[0]), np.ascontiguousarray(array).tobytes())


def convert_image_dtype(image: Tensor, dtype: DTypeLike = np.float32) -> Tensor:
    """The image in another dtype, scaled: floats range from 0 to 1, integers from 0 to their largest value.

    Raises:
        TypeError: not a Tensor.
        RuntimeError: from floats to integers that they cannot represent.
    """
    if not isinstance(image, Tensor):
        raise TypeError(f"Input img should be Tensor Image. Got {type(image)}: use it after PILToTensor or ToTensor")
    values, new = planes_of(image), np.dtype(dtype)
    if values.dtype == new:
        return image
    if new.kind == "f":
        scaled = values.astype(new)
        return wrap(scaled if values.dtype.kind == "f" else scaled / new.type(_largest(values.dtype)))
    largest = _largest(new)
    if values.dtype.kind == "f":
        if new.itemsize >= values.dtype.itemsize:
            raise RuntimeError(f"The cast from {values.dtype} to {new} cannot be performed safely.")
        return wrap((values * values.dtype.type(largest + 1.0 - 1e-3)).astype(new))
    if _largest(values.dtype) > largest:
        return wrap((values // ((_largest(values.dtype) + 1) // (largest + 1))).astype(new))
    return wrap(values.astype(new) * new.type((largest + 1) // (_largest(values.dtype) + 1)))


def _largest(dtype: np.dtype[Any]) -> int:
    return 1 if dtype == np.bool_ else int(np.iinfo(dtype).max)


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """The brightness of each pixel, in 1 channel or 3 equal ones: 0.299 R + 0.587 G + 0.114 B.

    Arrays and PIL images get Pillow's bytes, Tensors torchvision's values.

    Raises:
        ValueError: num_output_channels is neither 1 nor 3.
        TypeError: the image has neither 1 nor 3 channels.
    """
    if num_output_channels not in (1, 3):
        raise ValueError(f"num_output_channels should be either 1 or 3, got {num_output_channels}")
    planes = planes_of(img)
    if isinstance(img, Tensor) and planes.ndim < 3:
        raise TypeError(f"Input image tensor should have at least 3 dimensions, but found {planes.ndim}")
    gray = planes if planes.ndim == 2 else planes[..., :1, :, :]
    if planes.ndim > 2 and planes.shape[-3] != 1:
        if planes.shape[-3] != 3:
            raise TypeError(f"Input image permitted channel values are 1 or 3, but found {planes.shape[-3]}")
        red, green, blue = np.moveaxis(planes, -3, 0)
        if isinstance(img, Tensor):
            dtype = planes.dtype if planes.dtype.kind == "f" else np.dtype(np.float32)
            shares = [dtype.type(share) for share in (0.2989, 0.587, 0.114)]
            value = (shares[0] * red + shares[1] * green + shares[2] * blue).astype(planes.dtype)
        else:
            weighted = red * np.uint32(19595) + green * np.uint32(38470) + blue * np.uint32(7471)
            value = ((weighted + 0x8000) >> 16).astype(np.uint8)
        gray = value[..., None, :, :]
    if num_output_channels == 3:
        gray = gray[None] if gray.ndim == 2 else gray
        return like(img, np.repeat(gray, 3, axis=-3))
    return like(img, gray if isinstance(img, Tensor) else gray.reshape(planes.shape[-2:]))


to_grayscale = rgb_to_grayscale


# --- size and place --------------------------------------------------------------------------------------------


def resize(
    img: Any,
    size: int | Sequence[int],
    interpolation: Any = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """The image in another size.

    Args:
        size: (H, W), or one int for the shorter edge; the longer edge then keeps the ratio.
        interpolation: an InterpolationMode; for Tensors NEAREST, NEAREST_EXACT, BILINEAR or BICUBIC.
        max_size: a limit for the longer edge, if size is one int.
        antialias: whether shrinking averages over all old pixels (only for Tensors; otherwise it always does).
    """
    mode, (height, width) = as_mode(interpolation), get_dimensions(img)[1:]
    new = _new_size((height, width), size, max_size)
    if new == [height, width]:
        return img
    if is_pil_image(img):
        if antialias is False:
            warnings.warn(_ALWAYS_ANTIALIASED, stacklevel=2)
        pillows = {mode: number for number, mode in _BY_PILLOWS_NUMBER.items()}
        return img.resize((new[1], new[0]), pillows.get(mode, 0))  # NEAREST_EXACT is Pillow's NEAREST
    planes = planes_of(img)
    if mode in (InterpolationMode.NEAREST, InterpolationMode.NEAREST_EXACT):
        exact = mode is InterpolationMode.NEAREST_EXACT
        return like(img, resampling.resize_nearest(planes, new, not isinstance(img, Tensor), exact))
    if not isinstance(img, Tensor):
        if antialias is False:
            warnings.warn(_ALWAYS_ANTIALIASED, stacklevel=2)
        if planes.dtype == np.uint8:
            return like(img, resampling.resize_bytes(planes, new, mode.value))
        return like(
            img, resampling.resize_floats(planes.astype(np.float64), new, mode.value, True).astype(planes.dtype)
        )
    if mode not in (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC):
        raise NotImplementedError(f"Tensors cannot be resized by {mode.value}: use BILINEAR or BICUBIC")
    floats = planes if planes.dtype.kind == "f" else planes.astype(np.float32)
    resized = resampling.resize_floats(floats, new, mode.value, bool(antialias))
    if planes.dtype.kind != "f":
        if mode is InterpolationMode.BICUBIC and planes.dtype == np.uint8:
            resized = resized.clip(0, 255)
        resized = np.rint(resized).astype(planes.dtype)
    return wrap(np.ascontiguousarray(resized))


def _new_size(old: tuple[int, int], size: int | Sequence[int], max_size: int | None) -> list[int]:
    """The new [H, W]."""
    sizes = [size] if isinstance(size, int) else list(size)
    if len(sizes) not in (1, 2):
        raise ValueError(f"Size must be an int or a 1 or 2 element tuple/list, not a {len(sizes)} element tuple/list")
    if len(sizes) == 2:
        if max_size is not None:
            raise ValueError(
                "max_size should only be passed if size specifies the length of the smaller edge, "
                "i.e. size should be an int or a sequence of length 1 in torchscript mode."
            )
        return sizes
    short, long = min(old), max(old)
    new_short, new_long = sizes[0], int(sizes[0] * long / short)
    if max_size is not None:
        if max_size <= new_short:
            raise ValueError(
                f"max_size = {max_size} must be strictly greater than the requested size for the smaller edge size = "
                f"{size}"
            )
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return [new_long, new_short] if old[1] <= old[0] else [new_short, new_long]


def pad(img: Any, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant") -> Any:
    """The image with a border.

    Args:
        padding: its width on all sides, (left and right, top and bottom), or (left, top, right, bottom). A negative
            width cuts off pixels.
        fill: the border's value in the mode "constant": a number; for arrays also one for each channel.
        padding_mode: "constant", "edge", "reflect" or "symmetric", as in numpy.pad.
    """
    left, top, right, bottom = border_widths(padding, padding_mode)
    planes = planes_of(img)
    height, width = planes.shape[-2:]
    planes = planes[..., max(-top, 0) : height - max(-bottom, 0), max(-left, 0) : width - max(-right, 0)]
    borders = [(0, 0)] * (planes.ndim - 2) + [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
    if padding_mode != "constant":
        if isinstance(img, Tensor) and padding_mode == "reflect" and max(max(b) for b in borders) >= min(height, width):
            raise RuntimeError(
                f"Padding size should be less than the corresponding input dimension, but got padding {padding} for "
                f"an image of {height}x{width}"
            )
        return like(img, np.pad(planes, borders, mode=padding_mode))  # type: ignore[call-overload]
    fills = [fill or 0] if not isinstance(fill, tuple | list) else list(fill)
    channels = 1 if planes.ndim == 2 else planes.shape[-3]
    if len(fills) not in (1, channels) or (len(fills) > 1 and isinstance(img, Tensor)):
        raise ValueError(f"fill should be one number, or one for each of the {channels} channels; got {fill}")
    shape = [size + sum(border) for size, border in zip(planes.shape, borders, strict=True)]
    padded = np.empty(shape, planes.dtype)
    padded[...] = np.array(fills).astype(planes.dtype).reshape(-1, 1, 1) if len(fills) > 1 else fills[0]
    inner_height, inner_width = planes.shape[-2:]
    padded[..., borders[-2][0] :, borders[-1][0] :][..., :inner_height, :inner_width] = planes
    return like(img, padded)


def border_widths(padding: int | Sequence[int], padding_mode: str) -> list[int]:
    """(left, top, right, bottom) of pad's padding. Raises TypeError or ValueError for any other padding or mode."""
    if not isinstance(padding, int | tuple | list):
        raise TypeError(f"Got inappropriate padding arg: {padding!r}")
    sides = [padding] if isinstance(padding, int) else list(padding)
    if len(sides) not in (1, 2, 4):
        raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(sides)} element tuple")
    if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    return (sides * 4)[:4]


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """The pixels from row `top` and column `left` on; 0 where that lies outside of the image."""
    bottom, right = top + height, left + width
    _, rows, columns = get_dimensions(img)
    inner = on_planes(img, lambda planes: planes[..., max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)])
    if top >= 0 and left >= 0 and bottom <= rows and right <= columns:
        return inner
    _, inner_height, inner_width = get_dimensions(inner)
    before = (min(max(-left, 0), width), min(max(-top, 0), height))
    return pad(inner, (*before, width - inner_width - before[0], height - inner_height - before[1]))


def center_crop(img: Any, output_size: int | Sequence[int]) -> Any:
    """The middle of the image, padded with 0 where the image is smaller."""
    sizes = [int(output_size)] if not isinstance(output_size, Sequence) else list(output_size)
    height, width = (sizes * 2)[:2]
    _, rows, columns = get_dimensions(img)
    if width > columns or height > rows:
        across, down = max(width - columns, 0), max(height - rows, 0)
        img = pad(img, (across // 2, down // 2, (across + 1) // 2, (down + 1) // 2))
        _, rows, columns = get_dimensions(img)
        if (rows, columns) == (height, width):
            return img
    return crop(img, round((rows - height) / 2.0), round((columns - width) / 2.0), height, width)


def resized_crop(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: Any = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """A part of the image, resized."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def hflip(img: Any) -> Any:
    """The image with left and right exchanged."""
    return on_planes(img, lambda planes: planes[..., ::-1])


def vflip(img: Any) -> Any:
    """The image with top and bottom exchanged."""
    return on_planes(img, lambda planes: planes[..., ::-1, :])


# --- rotation --------------------------------------------------------------------------------------------------


def rotate(
    img: Any,
    angle: float,
    interpolation: Any = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Any = 0,
) -> Any:
    """An array or PIL image rotated by `angle` degrees counter-clockwise, with Pillow's pixels.

    Args:
        interpolation: NEAREST or BILINEAR.
        expand: enlarge the image so that all of it stays visible.
        center: (x, y) in pixels from the top left; the image's centre if None.
        fill: the value of pixels that come from outside: a number, or one for each channel.

    Raises:
        NotImplementedError: a Tensor, or another interpolation.
    """
    mode = _affine_mode(img, interpolation, "RandomRotation")
    angle, (height, width) = angle % 360.0, get_dimensions(img)[1:]
    if not center and (angle in (0, 180) or (angle in (90, 270) and (expand or height == width))):
        return on_planes(img, lambda planes: np.rot90(planes, int(angle // 90), axes=(-2, -1)))
    matrix, size = resampling.rotation_matrix(angle, (height, width), center, expand)
    return on_planes(img, lambda planes: resampling.transform_bytes(planes, size, matrix, mode, _fill(fill, planes)))


def affine(
    img: Any,
    angle: float,
    translate: Sequence[int],
    scale: float,
    shear: Any,
    interpolation: Any = InterpolationMode.NEAREST,
    fill: Any = 0,
    center: Sequence[float] | None = None,
) -> Any:
    """An array or PIL image scaled, sheared, rotated clockwise (degrees), then translated (x, y), with Pillow's pixels.

    Raises:
        NotImplementedError: a Tensor, or an interpolation other than NEAREST and BILINEAR.
        ValueError: a scale that is not positive.
    """
    mode = _affine_mode(img, interpolation, "RandomAffine")
    if scale <= 0.0:
        raise ValueError(f"Argument scale should be positive, got {scale}")
    shears = [shear, 0.0] if isinstance(shear, int | float) else [*shear, *shear][:2]
    height, width = get_dimensions(img)[1:]
    middle = center or (width * 0.5, height * 0.5)
    matrix = resampling.affine_matrix(middle, float(angle), translate, scale, shears)
    size = (height, width)
    return on_planes(img, lambda planes: resampling.transform_bytes(planes, size, matrix, mode, _fill(fill, planes)))


def _affine_mode(img: Any, interpolation: Any, transform: str) -> bool:
    """Whether to interpolate bilinearly."""
    mode = as_mode(interpolation)
    if isinstance(img, Tensor):
        raise NotImplementedError(f"{transform} of a Tensor is not offered: put it before ToTensor")
    if mode not in (InterpolationMode.NEAREST, InterpolationMode.BILINEAR):
        raise NotImplementedError(f"{transform} by {mode.value} is not offered: use NEAREST or BILINEAR")
    return mode is InterpolationMode.BILINEAR


def _fill(fill: Any, planes: Planes) -> Any:
    """The fill as one number, or as one for each channel."""
    if fill is None or not isinstance(fill, Sequence):
        return fill or 0
    channels = 1 if planes.ndim == 2 else len(planes)
    if len(fill) not in (1, channels):
        raise ValueError(f"fill should be one number, or one for each of the {channels} channels; got {fill}")
    return fill[0] if len(fill) == 1 else fill
