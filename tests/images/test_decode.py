"""One image is read as a person sees it: upright, in RGB, on white."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from skinfluence.images._decode import Unreadable, content, read, square

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
COLORS = np.random.RandomState(0).randint(0, 256, (8, 8, 3), dtype=np.uint8)


def seen(item):
    """Pixels of an image of 8 by 8 pixels; resizing to the same size changes nothing."""
    return square(read(item), 8)


def saved(image, **options):
    """The bytes of an image file."""
    file = BytesIO()
    image.save(file, **({"format": "PNG"} | options))
    return file.getvalue()


@pytest.mark.parametrize("item", [COLORS, Image.fromarray(COLORS), saved(Image.fromarray(COLORS))])
def test_colors_are_kept(item):
    np.testing.assert_array_equal(seen(item), COLORS)


@pytest.mark.parametrize(
    "item",
    [
        RAMP,
        RAMP[..., None],
        RAMP.astype(int),
        RAMP / 255,
        RAMP.astype(np.uint16) * 257,
        RAMP.astype(">u2") * 257,
        Image.fromarray(RAMP),
        Image.fromarray(RAMP.astype(np.uint16) * 257),
        Image.fromarray((RAMP / 255).astype(np.float32)),
        saved(Image.fromarray(RAMP)),
        saved(Image.fromarray(RAMP.astype(np.uint16) * 257)),
        saved(Image.fromarray(RAMP.astype(np.uint16) * 257), format="TIFF"),
    ],
    ids=lambda item: getattr(item, "mode", None) or getattr(item, "dtype", "file"),
)
def test_gray_images_of_any_depth_look_the_same(item):
    np.testing.assert_array_equal(seen(item), np.repeat(RAMP[..., None], 3, axis=2))


def test_black_and_white():
    black = np.zeros((8, 8), dtype=bool)
    black[0] = True
    for item in (black, Image.fromarray(black), saved(Image.fromarray(black))):
        np.testing.assert_array_equal(seen(item), np.repeat(black[..., None] * 255, 3, axis=2))


def transparent(mode):
    """A gray image whose upper half is transparent, and black where it is not shown."""
    alpha = np.repeat([0, 255], 32).reshape(8, 8).astype(np.uint8)
    gray = np.where(alpha, 100, 0).astype(np.uint8)
    image = Image.fromarray(np.dstack([gray, gray, gray, alpha]))
    if mode == "P":
        image = Image.fromarray((alpha > 0).astype(np.uint8)).convert("P")
        image.putpalette([0, 0, 0, 100, 100, 100])
        image.info["transparency"] = 0
    return image.convert(mode) if mode == "LA" else image


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("as_file", [False, True])
def test_transparent_pixels_are_white(mode, as_file):
    image = transparent(mode)
    assert image.mode == mode
    pixels = seen(saved(image) if as_file else image)
    assert (pixels[:4] == 255).all()
    assert (pixels[4:] == 100).all()


def test_an_array_of_four_channels_has_transparency():
    pixels = seen(np.asarray(transparent("RGBA")))
    assert (pixels[:4] == 255).all()


def test_a_palette_without_transparency():
    image = Image.fromarray(COLORS).quantize(64)
    np.testing.assert_array_equal(seen(saved(image)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("as_file", [False, True])
def test_a_photograph_taken_sideways_is_turned(as_file):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90° clockwise to view
    data = saved(Image.fromarray(COLORS), exif=exif)
    pixels = seen(data if as_file else Image.open(BytesIO(data)))
    np.testing.assert_array_equal(pixels, np.rot90(COLORS, -1))


def test_cmyk_and_the_first_frame_of_an_animation():
    red = Image.new("RGB", (8, 8), "red")
    assert (seen(saved(red.convert("CMYK"), format="TIFF")) == [255, 0, 0]).all()
    frames = saved(red, format="GIF", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert (seen(frames) == [255, 0, 0]).all()


def test_the_whole_image_is_kept():
    """A wide image is squeezed, not cropped."""
    wide = np.zeros((10, 100), dtype=np.uint8)
    wide[:, :20] = 255
    pixels = square(read(wide), 10)
    assert (pixels[:, 0] > 200).all()
    assert (pixels[:, 5:] < 50).all()


def test_a_large_photograph_looks_like_its_small_copy():
    """JPEG files are decoded at a fraction of their size."""
    ramp = np.linspace(0, 255, 800).astype(np.uint8)
    photograph = Image.fromarray(np.dstack([np.tile(ramp, (600, 1))] * 3))
    expected = square(read(photograph), 32).astype(int)
    pixels = square(read(saved(photograph, format="JPEG", quality=95)), 32)
    assert np.abs(pixels - expected).max() <= 3


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (b"no image", "Pillow cannot read"),
        (b"", "Pillow cannot read"),
        ("missing.png", "no such file: missing.png"),
        ("", "empty path"),
        (".", "directory"),
        ("a\0b", "null"),
        (None, "missing value"),
        (np.nan, "missing value"),
        (3, "of type int, not a path"),
        (np.zeros((3, 8, 8), np.uint8), "colors come last"),
        (np.zeros((0, 8), np.uint8), r"shape \(0, 8\)"),
        (np.full((8, 8), 16.0), "values from 16 to 16; expected integers up to 255, or floats"),
        (np.full((8, 8), np.nan), "values from nan to nan"),
        (np.full((8, 8), 256), "values from 256 to 256"),
        (np.full((8, 8), -1), "none of them negative"),
        (np.full((8, 8), "x"), "an array of <U1, not of numbers"),
        (Image.fromarray(np.full((8, 8), 70_000, np.int32)), "expected integers up to 65,535"),
    ],
)
def test_what_cannot_be_read_says_why(item, reason):
    with pytest.raises(Unreadable, match=reason):
        seen(item)


def test_a_file_that_was_cut_off():
    data = saved(Image.fromarray(np.tile(COLORS, (20, 20, 1))))
    with pytest.raises(Unreadable, match="truncated"):
        seen(data[: len(data) // 2])


def test_images_of_different_shape_and_equal_bytes_differ():
    pixels = COLORS.reshape(4, 16, 3)
    assert read(pixels).tobytes() == read(COLORS).tobytes()
    assert content(read(pixels)) != content(read(COLORS))
