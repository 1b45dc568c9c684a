"""Semantic Segmentation: masks, views, overlap and networks as plain functions."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from algorithms.semantic_segmentation import data, job, model, overlap, views
from algorithms.semantic_segmentation.network import AUXILIARY, Segmenter
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.images import pixels
from algorithms.toolkit.job import Channel

PLAIN = data.table_of(b'{"scale": "1"}', "here")


def file(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    body = io.BytesIO()
    image.save(body, kind, **options)
    return body.getvalue()


def palette(values: Any) -> bytes:
    image = Image.fromarray(np.array(values, dtype=np.uint8), "P")
    # Colours that have nothing to do with the numbers.
    image.putpalette([255 - place for place in range(256) for _ in range(3)])
    return file(image)


def test_masks_are_the_numbers_of_grey_pixels_or_places_of_a_palette() -> None:
    values = [[0, 1, 2], [255, 2, 1]]
    grey = pixels.encoded(np.array(values, dtype=np.uint8))
    for body in (grey, palette(values)):
        assert data.classes(body, "here", PLAIN, 3).tolist() == values
    black = file(Image.fromarray(np.array([[True, False]])))
    assert data.classes(black, "here", PLAIN, 2).tolist() == [[1, 0]]


def test_a_label_map_says_which_class_a_value_means() -> None:
    scaled = data.table_of(b'{"scale": "3"}', "here")
    assert scaled[[0, 2, 3, 6, 8, 255]].tolist() == [0, 0, 1, 2, 2, 255]
    mapped = data.table_of(b'{"map": {"0": 5, "1": 0, "2": 2}}', "here")
    assert mapped[[0, 5, 2, 255]].tolist() == [1, 0, 2, 255]
    body = pixels.encoded(np.array([[0, 5, 2, 255]], dtype=np.uint8))
    assert data.classes(body, "here", mapped, 3).tolist() == [[1, 0, 2, 255]]
    over = data.table_of(b'{"map": {"0": 255, "1": 0}}', "here")
    assert over[[255, 0]].tolist() == [0, 1]


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"{}", b'{"scale": "0"}', b'{"scale": 1, "map": {}}', b'{"map": {"0": 256}}'],
    ids=["no-json", "list", "empty", "zero", "both", "beyond"],
)
def test_a_label_map_that_cannot_be_is_told(body: bytes) -> None:
    with pytest.raises(FormatError, match=r"label_map/train_label_map\.json: .*must be .*scale"):
        data.table_of(body, "label_map/train_label_map.json")


@pytest.mark.parametrize(
    ("body", "table", "sentence"),
    [
        (
            pixels.encoded(np.array([[0, 1], [2, 3]], dtype=np.uint8)),
            PLAIN,
            "here: row 2, column 2 has the value 3; with num_classes 3 classes are from 0 to 2, an",
        ),
        (
            pixels.encoded(np.array([[0, 9]], dtype=np.uint8)),
            data.table_of(b'{"scale": 3}', "map"),
            "here: row 1, column 2 has the value 9, which means class 3; with num_classes 3",
        ),
        (
            pixels.encoded(np.array([[0, 9]], dtype=np.uint8)),
            data.table_of(b'{"map": {"0": 0}}', "map"),
            "here: row 1, column 2 has the value 9, for which the label map has no class; with",
        ),
        (
            pixels.encoded(np.zeros((2, 2, 3), dtype=np.uint8)),
            PLAIN,
            "here is a PNG of mode RGB; a PNG of one channel of 8 bits is allowed",
        ),
        (pixels.encoded(np.zeros((2, 2), np.uint8), "JPEG"), PLAIN, "here is a JPEG of mode L"),
        (b"text", PLAIN, "here: not a JPEG or PNG image"),
        (pixels.encoded(np.eye(99, dtype=np.uint8))[:80], PLAIN, "here: not a readable image"),
    ],
    ids=["class", "scaled", "unmapped", "colours", "jpeg", "text", "cut"],
)
def test_a_mask_that_cannot_be_is_told_with_its_pixel(
    body: bytes, table: Any, sentence: str
) -> None:
    with pytest.raises(FormatError, match=sentence):
        data.classes(body, "here", table, 3)


def test_images_and_masks_that_have_no_counterpart_are_told(tmp_path: Path) -> None:
    folders = {name: Channel(name, tmp_path / name, None, "File") for name in ("train", "masks")}
    for name in folders:
        (tmp_path / name / "some").mkdir(parents=True)
    (tmp_path / "train/some/a.jpg").write_bytes(b"x")
    (tmp_path / "masks/some/b.png").write_bytes(b"y")
    with pytest.raises(FormatError, match=r"train/some/a\.jpg: channel masks has no some/a\.png"):
        data.paired(folders["train"], folders["masks"])
    (tmp_path / "masks/some/a.png").write_bytes(b"z")
    with pytest.raises(FormatError, match=r"masks/some/b\.png: channel train has no some/b\.jpg"):
        data.paired(folders["train"], folders["masks"])
    (tmp_path / "masks/some/b.png").unlink()
    (entry,) = data.paired(folders["train"], folders["masks"])
    assert (entry().image, entry().label, entry().place) == (b"x", b"z", "train/some/a.jpg")


def picture(height: int, width: int) -> tuple[Any, Any]:
    """An image whose left half is white, and of class 1."""
    values = np.zeros((height, width), np.uint8)
    values[:, : width // 2] = 1
    return Image.fromarray(np.repeat(values[:, :, None] * 255, 3, axis=2)), Image.fromarray(values)


def test_a_random_square_shows_the_same_of_image_and_mask() -> None:
    shares = []
    for seed in range(30):
        image, mask = views.cropped(*picture(40, 60), 48, 32, np.random.default_rng(seed))
        assert image.shape == (32, 32, 3)
        assert mask.shape == (32, 32)
        assert set(np.unique(mask)) <= {0, 1, 255}
        # But for the row of pixels between them.
        assert (image[mask == 1] > 100).all()
        assert (image[mask == 0] < 160).all()
        shares.append(float((mask == 255).mean()))
    # At half its size the image is smaller than the square: what is around it does not count.
    assert min(shares) == 0
    assert 0.3 < max(shares) < 0.7


def test_a_whole_image_lies_in_a_square_of_which_the_rest_does_not_count() -> None:
    image, mask = views.whole(*picture(40, 60), 30)
    assert mask[:20, :15].min() == mask[:20, :15].max() == 1
    assert mask[:20, 15:].max() == 0
    assert mask[20:].min() == 255
    assert image[:20, :14].min() == 255
    assert views.sizes((600, 400), 300) == (300, 200)
    assert views.sizes((1, 1000), 50) == (1, 50)


def test_overlap_is_the_mean_of_the_classes_that_are_there() -> None:
    truth = np.array([[0, 0, 1, 1, 255]], dtype=np.uint8)
    told = np.array([[0, 1, 1, 1, 2]], dtype=np.uint8)
    counts = overlap.counted(truth, told, 4)
    assert counts[:2, :2].tolist() == [[1, 1], [0, 2]]
    assert counts.sum() == 4
    assert overlap.pixel_accuracy(counts) == 0.75
    assert overlap.mean_overlap(counts) == pytest.approx((1 / 2 + 2 / 3) / 2)
    # A class that is told and not there counts as missed.
    assert overlap.mean_overlap(overlap.counted(truth, told + 1, 4)) < 0.34
    assert overlap.mean_overlap(np.zeros((3, 3), dtype=np.int64)) == 0


@pytest.mark.parametrize(
    ("algorithm", "backbone"),
    [("fcn", "resnet-50"), ("psp", "resnet-50"), ("deeplab", "resnet-101")],
)
def test_a_network_scores_each_pixel_and_learns_from_one_image_too(
    algorithm: str, backbone: str
) -> None:
    torch.manual_seed(0)
    module = Segmenter(algorithm, backbone, 3)
    images = torch.rand(1, 3, 32, 24) * 255
    masks = torch.zeros(1, 32, 24, dtype=torch.long)
    masks[:, :16] = 255
    total, count = module.train().loss(images, masks)
    total.backward()
    assert count == 16 * 24
    assert all(each.grad is not None for each in module.parameters())
    module.eval()
    with torch.no_grad():
        scores, second = module(images)
        expected = sum(
            share * functional.cross_entropy(each[:, :, 16:], masks[:, 16:])
            for each, share in ((scores, 1.0), (second, AUXILIARY))
        )
        assert float(module.loss(images, masks)[0]) == pytest.approx(float(expected), rel=1e-5)
        nothing, count = module.loss(images, torch.full_like(masks, 255))
        assert (float(nothing), count) == (0, 1)
        small = module.scores(images)
        assert small.shape == (1, 3, 4, 3)
        assert torch.allclose(model.enlarged(small, (32, 24)), scores, atol=1e-4)
        told = model.likeliest(small, (50, 70))
        assert np.array_equal(told, model.enlarged(small, (50, 70)).argmax(dim=1)[0].numpy())


@pytest.mark.parametrize(
    ("changes", "rates"),
    [
        ({}, [1, (1 - 10 / 40) ** 0.9, 0]),
        ({"lr_scheduler": "cosine"}, [1, (1 + 0.5**0.5) / 2, 0]),
        (
            {"lr_scheduler": "step", "lr_scheduler_step": [1, 3], "lr_scheduler_factor": 0.5},
            [1, 0.5, 0.25],
        ),
    ],
    ids=["poly", "cosine", "step"],
)
def test_the_learning_rate_follows_its_schedule(changes: Any, rates: list[float]) -> None:
    # Four epochs of ten steps, the last of which is smaller.
    settings = {"num_training_samples": 39, "mini_batch_size": 4, "epochs": 4}
    rate = job._rate({**settings, "lr_scheduler": "poly", **changes})
    assert [rate(update) for update in (0, 10, 40)] == pytest.approx(rates)


def test_crop_size_is_rounded_up_to_a_multiple_of_eight() -> None:
    assert [job._settled({"crop_size": size})["crop_size"] for size in (17, 24, 240)] == [
        24,
        24,
        240,
    ]
