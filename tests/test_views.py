"""What is cut from a image, worked out by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from boneage.regions import Box
from boneage.views import Frame, GeometricAugmentation, cut, erase, points_in_view, whole

Film = npt.NDArray[np.uint8]


def rows_of(row: list[int], height: int) -> Film:
    """A image whose rows are all the same."""
    return np.tile(np.array(row, dtype=np.uint8), (height, 1))


FOUR: Film = np.array([[0, 80], [160, 240]], dtype=np.uint8)
LINE = rows_of([0, 0, 0, 240, 0, 0, 0, 0], 8)
STEP = rows_of([0] * 8 + [240] * 8, 16)
EDGE = rows_of([0, 0, 0, 0, 120, 120, 120, 120], 8)


class TestCut:
    def test_the_whole_image_at_its_own_size_is_the_image(self) -> None:
        image = np.random.default_rng(0).integers(0, 256, (9, 9), dtype=np.uint8)
        view = cut(image, whole(image), 9)
        assert view.dtype == np.uint8
        np.testing.assert_array_equal(view, image)

    def test_whole_pixels_are_cut_as_they_are(self) -> None:
        image = np.arange(64, dtype=np.uint8).reshape(8, 8)
        np.testing.assert_array_equal(cut(image, Box(2, 3, 6, 7), 4), image[3:7, 2:6])

    def test_enlarging_is_bilinear_between_pixel_centres(self) -> None:
        # The centres of the view's four columns lie at .25, .75, 1.25 and 1.75 of the image, whose pixels have theirs
        # at .5 and 1.5: before the first centre its value holds, then it is a quarter and three quarters of the way.
        # Along the first row 0, 80/4, 80 * 3/4, 80; every row adds 0, 160/4, 160 * 3/4, 160.
        expected = np.add.outer([0, 40, 120, 160], [0, 20, 60, 80])
        np.testing.assert_array_equal(cut(FOUR, whole(FOUR), 4), expected)

    def test_enlarging_does_not_overshoot_an_edge(self) -> None:
        # Columns of half a pixel, from 2 to 6: the edge at 4 lies between the pixel centres 3.5 (0) and 4.5 (120);
        # the view's centres 3.75 and 4.25 are a quarter and three quarters of the way. A cubic would leave 0..120.
        np.testing.assert_array_equal(cut(EDGE, Box(2, 2, 6, 6), 8), rows_of([0, 0, 0, 30, 90, 120, 120, 120], 8))

    def test_shrinking_by_two_averages_with_a_triangle(self) -> None:
        # A triangle reaches 2 image pixels to either side of the view's centres 1, 3, 5 and 7. For the one at 3 the
        # pixels at 1.5, 2.5, 3.5 and 4.5 weigh 1/4, 3/4, 3/4, 1/4 of 2: the line at 3.5 has 3/8 of 240, 90. For the
        # one at 5 the same pixel is 1.5 away: 1/8 of 240, 30. For those at 1 and 7 it is out of reach.
        np.testing.assert_array_equal(cut(LINE, whole(LINE), 4), rows_of([0, 90, 30, 0], 4))

    def test_shrinking_by_four_does_not_overshoot_an_edge(self) -> None:
        # The triangle reaches 4. For the centre 6 the pixels at distances .5, 1.5, 2.5, 3.5 weigh 7/8, 5/8, 3/8, 1/8 on
        # either side, 4 together; beyond the edge at 8 lie those at +2.5 and +3.5: 1/2 of 4, an eighth of 240.
        np.testing.assert_array_equal(cut(STEP, whole(STEP), 4), rows_of([0, 30, 210, 240], 4))

    def test_no_line_is_lost_when_shrinking(self) -> None:
        # Every second column bright: single samples would see all of them or none, an average half.
        image = rows_of([0, 240] * 32, 64)
        inner = cut(image, whole(image), 8)[1:-1, 1:-1]
        assert inner.min() >= 115
        assert inner.max() <= 125

    def test_a_wide_box_is_letterboxed_about_its_centre(self) -> None:
        # 4 x 2 pixels in a square of 4: one black row above and one below.
        image = rows_of([10, 20, 30, 40], 2)
        black = [[0, 0, 0, 0]]
        np.testing.assert_array_equal(cut(image, whole(image), 4), np.concatenate([black, image, black]))

    def test_a_high_box_is_letterboxed_with_what_lies_beside_it(self) -> None:
        # Box 2 x 4 about (4, 4) becomes the square from 2 to 6.
        image = np.arange(64, dtype=np.uint8).reshape(8, 8)
        np.testing.assert_array_equal(cut(image, Box(3, 2, 5, 6), 4), image[2:6, 2:6])

    def test_squashing_stretches_the_short_side(self) -> None:
        # Two rows become four; the aspect ratio is lost and nothing is black.
        image = np.array([[0, 0, 80, 80], [160, 160, 240, 240]], dtype=np.uint8)
        np.testing.assert_array_equal(
            cut(image, whole(image), 4, squash=True), np.add.outer([0, 40, 120, 160], image[0])
        )

    def test_outside_the_image_is_black(self) -> None:
        np.testing.assert_array_equal(cut(FOUR, Box(-1, -1, 1, 1), 2), [[0, 0], [0, 0]])
        np.testing.assert_array_equal(cut(FOUR, Box(1, 1, 3, 3), 2), [[240, 0], [0, 0]])
        np.testing.assert_array_equal(cut(FOUR, Box(50, 50, 60, 60), 3), np.zeros((3, 3)))

    def test_the_image_stays_as_it_is(self) -> None:
        image = LINE.copy()
        cut(image, Box(1, 1, 7, 7), 3)
        np.testing.assert_array_equal(image, LINE)


class TestAugmentedCut:
    def test_mirror_swaps_left_and_right(self) -> None:
        image = np.arange(64, dtype=np.uint8).reshape(8, 8)
        view = cut(image, Box(2, 2, 6, 6), 4, augmentation=GeometricAugmentation(mirror=True))
        np.testing.assert_array_equal(view, image[2:6, 2:6][:, ::-1])

    def test_mirror_of_a_shrunk_view_is_the_shrunk_view_mirrored(self) -> None:
        # See `test_shrinking_by_two_averages_with_a_triangle`: 0, 90, 30, 0.
        view = cut(LINE, whole(LINE), 4, augmentation=GeometricAugmentation(mirror=True))
        np.testing.assert_array_equal(view, rows_of([0, 30, 90, 0], 4))

    def test_ninety_degrees_turn_counter_clockwise(self) -> None:
        # The right column becomes the upper row.
        view = cut(FOUR, whole(FOUR), 2, augmentation=GeometricAugmentation(degrees=90))
        np.testing.assert_array_equal(view, [[80, 240], [0, 160]])

    def test_zoom_two_shows_the_middle_half(self) -> None:
        view = cut(EDGE, whole(EDGE), 4, augmentation=GeometricAugmentation(zoom=2.0))
        np.testing.assert_array_equal(view, rows_of([0, 0, 120, 120], 4))

    def test_a_shift_of_a_quarter_moves_by_a_quarter_of_the_side(self) -> None:
        # From 2..6 to 3..7: the pixels 3, 4, 5 and 6.
        view = cut(EDGE, Box(2, 2, 6, 6), 4, augmentation=GeometricAugmentation(shift_x=0.25))
        np.testing.assert_array_equal(view, rows_of([0, 120, 120, 120], 4))


class TestPointsInView:
    def test_without_augmentation(self) -> None:
        # Box 8 x 4 about (6, 6): the square from (2, 2), two image pixels for one of the view.
        # (4, 8) is (2, 6) from its corner: (1, 3).
        np.testing.assert_allclose(points_in_view([(4, 8), (2, 2)], Box(2, 4, 10, 8), 4), [(1, 3), (0, 0)])

    def test_squashed(self) -> None:
        # Two image pixels across and one down: (4 - 2) / 2, (8 - 4) / 1.
        np.testing.assert_allclose(points_in_view([(4, 8)], Box(2, 4, 10, 8), 4, squash=True), [(1, 4)])

    def test_mirrored_and_zoomed(self) -> None:
        # The centre (6, 6) is shown at 2. (5, 7) is (-1, 1) away: (-1/2, 1/2) pixels of the view, twice that when
        # zoomed, and to the right when mirrored.
        augmentation = GeometricAugmentation(mirror=True, zoom=2.0)
        np.testing.assert_allclose(points_in_view([(5, 7)], Box(2, 4, 10, 8), 4, augmentation=augmentation), [(3, 3)])


class TestFrame:
    BOX = Box(2, 4, 10, 8)

    def test_letterboxed(self) -> None:
        # Side 8 about (6, 6), shown in 4 pixels.
        assert Frame.around(self.BOX, 4) == Frame(2.0, 2.0, 2.0, 2.0, 4)

    def test_squashed(self) -> None:
        assert Frame.around(self.BOX, 4, squash=True) == Frame(2.0, 4.0, 2.0, 1.0, 4)

    def test_a_box_of_the_view_on_the_image(self) -> None:
        # (2 + 2 * 1, 2 + 2 * 1) to (2 + 2 * 3, 2 + 2 * 2).
        assert Frame.around(self.BOX, 4).to_image(Box(1, 1, 3, 2)) == Box(4, 4, 8, 6)

    def test_a_box_of_a_finer_map_on_the_image(self) -> None:
        # A map of 8 cells: a cell is half a pixel of the view, one of the image.
        assert Frame.around(self.BOX, 4).to_image(Box(2, 2, 6, 4), 8) == Box(4, 4, 8, 6)

    def test_cells_on_padding_do_not_show_the_image(self) -> None:
        # The cells' centres lie at 3, 5, 7 and 9 of the image, across and down; it is 8 wide and 4 high.
        shown = Frame.around(self.BOX, 4).shows_image(4, 8, 4)
        np.testing.assert_array_equal(shown, [[True, True, True, False], *[[False] * 4] * 3])

    def test_the_frame_is_where_cut_looks(self) -> None:
        image = np.arange(144, dtype=np.uint8).reshape(12, 12)
        frame = Frame.around(self.BOX, 8)
        left, top = int(frame.left), int(frame.top)
        np.testing.assert_array_equal(cut(image, self.BOX, 8), image[top : top + 8, left : left + 8])


class TestErased:
    IMAGE: Film = np.zeros((6, 8), dtype=np.uint8)

    def test_only_the_box_changes(self) -> None:
        image = np.arange(48, dtype=np.uint8).reshape(6, 8)
        result = erase(image, Box(1.4, 2.6, 4.6, 4.4))
        # Edges are rounded: columns 1 to 4, row 3.
        changed = result != image
        assert changed[3, 1:5].any()
        changed[3, 1:5] = False
        assert not changed.any()
        assert image[3, 1] == 25

    def test_the_same_image_gets_the_same_values(self) -> None:
        box = Box(2, 1, 5, 3)
        first = erase(self.IMAGE, box)
        np.testing.assert_array_equal(erase(self.IMAGE.copy(), box), first)
        np.testing.assert_array_equal(erase(np.asfortranarray(self.IMAGE), box), first)
        # Taken from the first 8 bytes of the SHA-256 of 48 zero bytes; a tubular bone age depends on them.
        np.testing.assert_array_equal(first[1:3, 2:5], [[144, 112, 223], [76, 247, 107]])

    def test_another_image_gets_others(self) -> None:
        other = self.IMAGE.copy()
        other[5, 7] = 1
        assert (erase(other, Box(2, 1, 5, 3)) != erase(self.IMAGE, Box(2, 1, 5, 3))).any()

    def test_a_box_beyond_the_image_is_cut_off(self) -> None:
        result = erase(self.IMAGE, Box(-5, -5, 2, 2))
        assert result.shape == self.IMAGE.shape
        assert not result[2:].any()
        assert not result[:, 2:].any()

    def test_values_fill_the_whole_range(self) -> None:
        values = erase(np.zeros((64, 64), dtype=np.uint8), Box(0, 0, 64, 64))
        # 4,096 even draws from 0..255: mean 127.5 with a standard error of 1.2.
        assert values.min() <= 3
        assert values.max() >= 252
        assert values.mean() == pytest.approx(127.5, abs=6.0)
