"""PNG, JPEG, TIFF and WebP into the canonical form, on small drawn images."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from boneage.errors import UnreadableRadiograph, UnsuitableRadiograph
from boneage.formats import is_phantom, read_radiograph
from boneage.formats.raster import gray_from_colour, picture_kind
from boneage.radiograph import PHANTOM_MARK, Radiograph
from boneage.remarks import Severity

Gray = npt.NDArray[np.uint8]


@pytest.fixture
def drawn() -> Gray:
    """A bright bar on a ramp, 80 high and 100 wide, no two corners alike."""
    ramp = np.add.outer(np.arange(80), np.arange(100)).astype(np.uint8)
    ramp[10:50, 20:30] = 250
    return ramp


def canonical(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    return Radiograph.from_values(values).pixels


def codes_of(radiograph: Radiograph) -> set[str]:
    return {remark.code for remark in radiograph.remarks}


def saved(path: Path, values: npt.NDArray[np.generic], mode: str | None = None, **options: Any) -> Path:
    image = Image.fromarray(values)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def assert_same(path: Path, expected: npt.NDArray[np.float32], atol: float = 1e-6) -> Radiograph:
    radiograph = read_radiograph(path)
    assert radiograph.file == str(path)
    assert radiograph.pixels.dtype == np.float32
    np.testing.assert_allclose(radiograph.pixels, expected, atol=atol)
    return radiograph


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_gray_in_any_mode_is_the_same_radiograph(tmp_path: Path, drawn: Gray, mode: str, name: str) -> None:
    radiograph = assert_same(saved(tmp_path / name, drawn, mode), canonical(drawn))
    assert (radiograph.height, radiograph.width) == (80, 100)
    assert not codes_of(radiograph) & {"read_with_8_bits", "transparency"}


def test_a_plain_radiograph_has_no_remark(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(400), np.arange(300)).astype(np.uint16)
    assert read_radiograph(saved(tmp_path / "a.png", ramp)).remarks == ()


def test_source_and_header_of_a_plain_image(tmp_path: Path, drawn: Gray) -> None:
    radiograph = read_radiograph(str(saved(tmp_path / "a.png", drawn)))
    assert radiograph.source == "PNG"
    assert (radiograph.sex, radiograph.laterality, radiograph.spacing_mm) == (None, None, None)


@pytest.mark.parametrize(("name", "options"), [("a.jpg", {"quality": 95}), ("a.webp", {"quality": 95})])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_lossy_kinds_come_close(tmp_path: Path, drawn: Gray, name: str, options: dict[str, Any], mode: str) -> None:
    smooth = np.array(Image.fromarray(drawn).resize((200, 160), Image.Resampling.BICUBIC))
    assert_same(saved(tmp_path / name, smooth, mode, **options), canonical(smooth), atol=0.12)


def test_lossless_webp(tmp_path: Path, drawn: Gray) -> None:
    assert assert_same(saved(tmp_path / "a.webp", drawn, "RGB", lossless=True), canonical(drawn)).source == "WEBP"


def test_kind_is_found_by_content(tmp_path: Path, drawn: Gray) -> None:
    path = saved(tmp_path / "a.png", drawn).rename(tmp_path / "a.dcm")
    assert assert_same(path, canonical(drawn)).source == "PNG"


def test_palette(tmp_path: Path, drawn: Gray) -> None:
    image = Image.fromarray(255 - drawn, "L").convert("P")
    image.putpalette(np.repeat(255 - np.arange(256, dtype=np.uint8), 3).tobytes())
    image.save(tmp_path / "a.png")
    assert_same(tmp_path / "a.png", canonical(drawn))
    tifffile.imwrite(
        tmp_path / "a.tif",
        255 - drawn,
        photometric="palette",
        colormap=np.tile(((255 - np.arange(256)) * 257).astype(np.uint16), (3, 1)),
    )
    assert_same(tmp_path / "a.tif", canonical(drawn))


def test_sixteen_bit_ramp_keeps_its_depth(tmp_path: Path) -> None:
    # 100 x 100 values 1000..10999: percentiles .5 and 99.5 of them lie at 1049.995 and 10949.005.
    ramp = np.arange(1000, 11000, dtype=np.uint16).reshape(100, 100)
    expected = np.clip((ramp - 1049.995) / (10949.005 - 1049.995), 0, 1).astype(np.float32)
    assert len(np.unique(expected)) > 9000
    assert_same(saved(tmp_path / "a.png", ramp), expected, atol=1e-5)
    tifffile.imwrite(tmp_path / "a.tif", ramp)
    assert_same(tmp_path / "a.tif", expected, atol=1e-5)
    tifffile.imwrite(tmp_path / "big.tif", ramp, byteorder=">", bigtiff=True, compression="zlib")
    assert_same(tmp_path / "big.tif", expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.float16, np.float32, np.float64])
def test_tiff_sample_types(tmp_path: Path, drawn: Gray, dtype: type[np.generic]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", drawn.astype(dtype))
    assert_same(tmp_path / "a.tif", canonical(drawn))


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_sixteen_bit_colour_tiff_that_is_gray(tmp_path: Path, planar: str) -> None:
    ramp = np.arange(4000, dtype=np.uint16).reshape(50, 80).repeat(2, axis=0)
    axis = -1 if planar == "contig" else 0
    tifffile.imwrite(tmp_path / "a.tif", np.stack([ramp] * 3, axis), photometric="rgb", planarconfig=planar)
    assert_same(tmp_path / "a.tif", canonical(ramp))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_at_zero_is_inverted_once(tmp_path: Path, drawn: Gray, compression: str, dtype: type[np.generic]) -> None:
    top = 255 if dtype is np.uint8 else 65535
    stored = (top - drawn.astype(np.int64)).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="miniswhite")
    assert_same(path, canonical(drawn), atol=1e-5)
    # Pillow writes with black at zero: the values stay as they are when the tag is changed afterwards.
    Image.fromarray(stored).save(path, compression=None if compression == "raw" else compression)
    content = bytearray(path.read_bytes())
    place = content.index(struct.pack("<HHI", 262, 3, 1))
    content[place + 8 : place + 10] = b"\0\0"
    path.write_bytes(content)
    with Image.open(path) as image:
        assert image.tag_v2[262] == 0  # type: ignore[attr-defined]
    assert_same(path, canonical(drawn), atol=1e-5)


@pytest.mark.parametrize(("name", "mode"), [("a.jpg", "CMYK"), ("a.tif", "CMYK")])
def test_cmyk_that_is_gray(tmp_path: Path, drawn: Gray, name: str, mode: str) -> None:
    assert_same(saved(tmp_path / name, drawn, mode), canonical(drawn), atol=0.15)


def test_jpeg_inside_a_tiff(tmp_path: Path, drawn: Gray) -> None:
    smooth = np.array(Image.fromarray(drawn).resize((200, 160), Image.Resampling.BICUBIC))
    assert_same(saved(tmp_path / "a.tif", smooth, "RGB", compression="jpeg", quality=95), canonical(smooth), atol=0.12)


def test_two_gray_values_of_one_bit(tmp_path: Path, drawn: Gray) -> None:
    for name in ("a.png", "a.tif"):
        assert_same(saved(tmp_path / name, drawn, "1"), canonical(np.array(Image.fromarray(drawn).convert("1"))))


# The stored corner, as (row, column), that is shown at the top left.
@pytest.mark.parametrize(
    ("orientation", "corner", "transposed"),
    [
        (1, (0, 0), False),
        (2, (0, -1), False),
        (3, (-1, -1), False),
        (4, (-1, 0), False),
        (5, (0, 0), True),
        (6, (-1, 0), True),
        (7, (-1, -1), True),
        (8, (0, -1), True),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "lzw.tif"])
def test_exif_orientation(
    tmp_path: Path, name: str, orientation: int, corner: tuple[int, int], transposed: bool
) -> None:
    stored = np.zeros((80, 100), dtype=np.uint8)
    rows = slice(0, 20) if corner[0] == 0 else slice(-20, None)
    columns = slice(0, 20) if corner[1] == 0 else slice(-20, None)
    stored[rows, columns] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    every: dict[str, dict[str, Any]] = {"lzw.tif": {"compression": "tiff_lzw"}, "a.webp": {"lossless": True}}
    options = every.get(name, {})
    radiograph = read_radiograph(saved(tmp_path / name, stored, exif=exif, **options))
    assert radiograph.pixels.shape == ((100, 80) if transposed else (80, 100))
    assert radiograph.pixels[2:18, 2:18].min() > 0.9
    assert radiograph.pixels.mean() == pytest.approx(400 / 8000, abs=0.01)


def test_an_unknown_orientation_rotates_nothing(tmp_path: Path, drawn: Gray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 9
    assert_same(saved(tmp_path / "a.png", drawn, exif=exif), canonical(drawn))


def test_an_image_with_damaged_exif_is_read(tmp_path: Path, drawn: Gray) -> None:
    path = saved(tmp_path / "a.png", drawn, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert_same(path, canonical(drawn))


def test_alpha_matters_only_where_it_is_used(tmp_path: Path, drawn: Gray) -> None:
    # The left half is transparent and white: it is shown black.
    alpha = np.full(drawn.shape, 255, dtype=np.uint8)
    alpha[:, :50] = 0
    hidden = np.where(alpha == 0, 255, drawn).astype(np.uint8)
    expected = canonical(np.where(alpha == 0, 0, drawn))
    for name in ("a.png", "a.tif", "a.webp"):
        stacked = np.dstack([hidden, hidden, hidden, alpha])
        options: dict[str, Any] = {"lossless": True, "exact": True} if name == "a.webp" else {}
        radiograph = assert_same(saved(tmp_path / name, stacked, **options), expected)
        assert "transparency" in codes_of(radiograph)
    assert_same(saved(tmp_path / "la.png", np.dstack([hidden, alpha])), expected)
    # One gray value may be declared transparent.
    path = saved(tmp_path / "trns.png", np.where(alpha == 0, 255, drawn).astype(np.uint8), transparency=255)
    assert_same(path, expected)


def test_half_transparent_is_half_as_bright(tmp_path: Path, drawn: Gray) -> None:
    alpha = np.full(drawn.shape, 255, dtype=np.uint8)
    alpha[40:] = 51
    expected = canonical(drawn * (alpha / np.float32(255)))
    assert_same(saved(tmp_path / "a.png", np.dstack([drawn] * 3 + [alpha])), expected)


def test_associated_alpha_of_a_tiff_is_blended_already(tmp_path: Path, drawn: Gray) -> None:
    four = np.dstack([drawn] * 3 + [np.full(drawn.shape, 128, dtype=np.uint8)])
    tifffile.imwrite(tmp_path / "a.tif", four, photometric="rgb", extrasamples=["assocalpha"])
    assert_same(tmp_path / "a.tif", canonical(drawn))


def test_the_first_page_is_read_with_a_remark(tmp_path: Path, drawn: Gray) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(drawn)
        writer.write(255 - drawn)
    radiograph = assert_same(tmp_path / "a.tif", canonical(drawn))
    assert "first_page" in codes_of(radiograph)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_the_largest_page_is_read_where_the_first_is_a_thumbnail(tmp_path: Path, drawn: Gray, compression: str) -> None:
    thumbnail, mask = Image.fromarray(drawn[::4, ::4]), Image.fromarray(255 - drawn)
    thumbnail.save(
        tmp_path / "a.tif",
        save_all=True,
        append_images=[Image.fromarray(drawn), mask],
        compression=None if compression == "raw" else compression,
    )
    radiograph = assert_same(tmp_path / "a.tif", canonical(drawn))
    assert [remark.code for remark in radiograph.remarks] == ["largest_page"]


def test_a_thumbnail_with_the_image_below_it(tmp_path: Path, drawn: Gray) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(drawn[::4, ::4], subifds=1, subfiletype=1)
        writer.write(drawn)
    assert [remark.code for remark in assert_same(tmp_path / "a.tif", canonical(drawn)).remarks] == ["largest_page"]


def test_a_pyramid_is_read_at_its_first_level(tmp_path: Path, drawn: Gray) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(drawn, subifds=1, tile=(16, 16))
        writer.write(drawn[::2, ::2], subfiletype=1)
    assert_same(tmp_path / "a.tif", canonical(drawn))


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("marked", [False, True])
def test_cmyk_jpeg_of_both_polarities(tmp_path: Path, *, inverted: bool, marked: bool) -> None:
    smooth = np.add.outer(np.arange(80), np.arange(100)).astype(np.uint8)
    cmyk = np.zeros((80, 100, 4), dtype=np.uint8)
    cmyk[..., 3] = 255 - smooth
    path = tmp_path / "a.jpg"
    # Pillow inverts what it writes, and marks the file as Adobe does.
    Image.fromarray(cmyk if inverted else 255 - cmyk, "CMYK").save(path, quality=95)
    if not marked:
        content = path.read_bytes()
        place = content.index(b"\xff\xee\0\x0eAdobe")
        path.write_bytes(content[:place] + content[place + 16 :])
    assert_same(path, canonical(smooth), atol=0.05)


def test_deep_colour_png_gives_a_remark(tmp_path: Path, drawn: Gray) -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    deep = np.dstack([drawn.astype(">u2") * 257] * 3)
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    path = tmp_path / "a.png"
    head = struct.pack(">IIBBBBB", 100, 80, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    assert "read_with_8_bits" in codes_of(assert_same(path, canonical(drawn)))


class TestColour:
    def test_photograph_is_refused(self, tmp_path: Path, drawn: Gray) -> None:
        skin = (drawn[..., None] / 255 * np.array([224, 172, 135])).astype(np.uint8)
        for name in ("a.png", "a.jpg", "a.tif", "a.webp"):
            with pytest.raises(UnsuitableRadiograph) as raised:
                read_radiograph(saved(tmp_path / name, skin))
            assert (raised.value.code, raised.value.file) == ("color_image", str(tmp_path / name))

    def test_a_sepia_scan_is_read_with_a_remark_where_the_refusal_is_overruled(
        self, tmp_path: Path, drawn: Gray
    ) -> None:
        sepia = np.rint(drawn[..., None] * np.array([1.0, 0.8, 0.6])).astype(np.uint8)
        expected = canonical(sepia.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32))
        for name, options in (("a.png", {}), ("a.tif", {}), ("lzw.tif", {"compression": "tiff_lzw"})):
            path = saved(tmp_path / name, sepia, **options)
            with pytest.raises(UnsuitableRadiograph) as raised:
                read_radiograph(path)
            assert raised.value.code == "color_image"
            radiograph = read_radiograph(path, refuse=False)
            np.testing.assert_allclose(radiograph.pixels, expected, atol=1e-4)
            assert [(remark.code, remark.severity) for remark in radiograph.remarks] == [
                ("color_image", Severity.DO_NOT_RELY)
            ]

    def test_a_coloured_marker_and_noise_are_accepted(self, drawn: Gray) -> None:
        rgb = np.dstack([drawn] * 3)
        rgb[:8, :9] = [255, 255, 0]  # 72 of 8000 pixels
        rgb[..., 2] += np.tile(np.array([0, 5], dtype=np.uint8), (80, 50))
        gray = gray_from_colour(rgb)
        np.testing.assert_allclose(gray[8:], drawn[8:] + 0.114 * (rgb[8:, :, 2] - drawn[8:]), atol=1e-4)

    def test_threshold(self, refuses) -> None:
        gray = np.zeros((10, 10, 3), dtype=np.uint8)
        gray[..., 0] = 16
        assert gray_from_colour(gray).shape == (10, 10)
        gray[..., 0] = 17
        with refuses(UnsuitableRadiograph, "color_image"):
            gray_from_colour(gray)

    def test_scale_of_deep_colour_follows_the_bits_in_use(self, refuses) -> None:
        # 12 bits in 16: 17/255 of 4095 is 273.
        rgb = np.full((10, 10, 3), 4000, dtype=np.uint16)
        rgb[..., 0] = 4000 - 273
        with refuses(UnsuitableRadiograph, "color_image"):
            gray_from_colour(rgb)

    def test_equal_channels_give_back_the_channel(self, drawn: Gray) -> None:
        assert gray_from_colour(np.dstack([drawn] * 3)).dtype == np.uint8


class TestRefused:
    @pytest.mark.parametrize("refuse", [True, False])
    def test_more_samples_than_memory_allows(self, tmp_path: Path, refuses, *, refuse: bool) -> None:
        path = saved(tmp_path / "a.png", np.eye(80, dtype=np.uint8), "RGBA")
        content = bytearray(path.read_bytes())
        content[16:24] = struct.pack(">II", 9900, 9900)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        path.write_bytes(content)
        with refuses(UnsuitableRadiograph, "too_many_pixels"):
            read_radiograph(path, refuse=refuse)

    def test_nan_in_a_tiff(self, tmp_path: Path, refuses) -> None:
        values = np.random.default_rng(0).random((80, 80), dtype=np.float32)
        for bad in (np.nan, np.inf):
            values[3, 4] = bad
            tifffile.imwrite(tmp_path / "a.tif", values)
            with pytest.raises(UnsuitableRadiograph) as raised:
                read_radiograph(tmp_path / "a.tif")
            assert (raised.value.code, raised.value.file) == ("non_finite_values", str(tmp_path / "a.tif"))
        tifffile.imwrite(tmp_path / "b.tif", np.dstack([values] * 3), photometric="rgb")
        with refuses(UnsuitableRadiograph, "non_finite_values"):
            read_radiograph(tmp_path / "b.tif")

    def test_complex_tiff(self, tmp_path: Path, refuses) -> None:
        tifffile.imwrite(tmp_path / "a.tif", np.ones((80, 80), dtype=np.complex64))
        with refuses(UnsuitableRadiograph, "not_gray_values"):
            read_radiograph(tmp_path / "a.tif")

    @pytest.mark.parametrize("value", [0, 255])
    @pytest.mark.parametrize("mode", ["L", "RGB"])
    def test_one_gray_value(self, tmp_path: Path, value: int, mode: str, refuses) -> None:
        path = saved(tmp_path / "a.png", np.full((80, 80), value, dtype=np.uint8), mode)
        with refuses(UnsuitableRadiograph, "uniform_image"):
            read_radiograph(path)

    def test_too_small(self, tmp_path: Path, refuses) -> None:
        path = saved(tmp_path / "a.png", np.eye(10, dtype=np.uint8))
        with refuses(UnsuitableRadiograph, "too_small"):
            read_radiograph(path)

    @pytest.mark.parametrize("side", [11_000, 30_000])
    def test_huge_png_by_its_header(self, tmp_path: Path, side: int, refuses) -> None:
        path = saved(tmp_path / "a.png", np.eye(80, dtype=np.uint8))
        content = bytearray(path.read_bytes())
        content[16:24] = struct.pack(">II", side, side)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        path.write_bytes(content)
        with refuses(UnsuitableRadiograph, "too_many_pixels"):
            read_radiograph(path)

    def test_huge_jpeg_by_its_header(self, tmp_path: Path, refuses) -> None:
        path = saved(tmp_path / "a.jpg", np.eye(80, dtype=np.uint8))
        content = bytearray(path.read_bytes())
        place = content.index(b"\xff\xc0")
        content[place + 5 : place + 9] = struct.pack(">HH", 30000, 30000)
        path.write_bytes(content)
        with refuses(UnsuitableRadiograph, "too_many_pixels"):
            read_radiograph(path)

    def test_huge_tiff_by_its_header(self, tmp_path: Path, refuses) -> None:
        tifffile.imwrite(tmp_path / "a.tif", np.eye(80, dtype=np.uint8), extratags=[])
        content = bytearray((tmp_path / "a.tif").read_bytes())
        for tag in (256, 257):
            place = content.index(struct.pack("<H", tag), 8)
            content[place + 2 : place + 12] = struct.pack("<HII", 4, 1, 30000)
        (tmp_path / "a.tif").write_bytes(content)
        with refuses(UnsuitableRadiograph, "too_many_pixels"):
            read_radiograph(tmp_path / "a.tif")

    @pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
    @pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
    def test_cut_off(self, tmp_path: Path, name: str, kept: float) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (80, 80), dtype=np.uint8)
        path = saved(tmp_path / name, noise)
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.raises(UnreadableRadiograph) as raised:
            read_radiograph(path)
        assert raised.value.file == str(path)
        assert raised.value.reason
        assert raised.value.remedy


def test_kinds_by_their_first_bytes() -> None:
    assert picture_kind(b"\x89PNG\r\n\x1a\n....") == "PNG"
    assert picture_kind(b"MM\0*") == "TIFF"
    assert picture_kind(b"RIFF1234WEBP") == "WEBP"
    assert picture_kind(b"RIFF1234WAVE") is None
    assert picture_kind(b"") is None


@pytest.mark.parametrize(
    ("software", "phantom"), [(PHANTOM_MARK, True), ("another phantom", False), ("", False)], ids=str
)
def test_a_marked_png_is_a_phantom(tmp_path: Path, drawn: Gray, software: str, phantom: bool) -> None:
    mark = PngInfo()
    mark.add_text("Software", software)
    path = saved(tmp_path / "a.png", drawn, pnginfo=mark)
    assert is_phantom(path) is phantom
    assert read_radiograph(path).phantom is phantom


def test_other_files_are_not_phantoms(tmp_path: Path, drawn: Gray) -> None:
    assert not is_phantom(tmp_path / "nobody.png")
    (tmp_path / "letter.png").write_text(PHANTOM_MARK)
    assert not is_phantom(tmp_path / "letter.png")
    path = saved(tmp_path / "a.jpg", drawn, comment=PHANTOM_MARK)
    assert not is_phantom(path)
    assert not read_radiograph(path).phantom
