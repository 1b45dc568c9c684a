"""Object Detection: boxes, loss, precision, network and annotations as plain functions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from algorithms.object_detection import augmentation, boxes, data
from algorithms.object_detection.loss import hardest, multibox, targets
from algorithms.object_detection.network import Detector, layer
from algorithms.object_detection.precision import mean_average_precision
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.images import pixels, weights
from algorithms.toolkit.job import Channel

LIMITS = data.Limits(num_classes=3, label_width=350)
DEFAULTS = torch.tensor(
    [[0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 1.0, 0.5], [0.0, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0, 1.0]]
)


def rows(*found: Any, width: int = 5) -> Any:
    return np.array(found, dtype=np.float64).reshape(-1, width)


def test_every_map_has_default_boxes_of_its_sizes_and_shapes() -> None:
    found = boxes.anchors(300, [2, 1, 1, 1, 1, 1])
    assert len(found) == 4 * 4 + 6 + 6 + 6 + 4 + 4
    # The first place of the finest map: two squares, a broad and a high one, round its middle.
    assert torch.allclose((found[:4, :2] + found[:4, 2:]) / 2, torch.tensor([0.25, 0.25]))
    widths, heights = (found[:4, 2:] - found[:4, :2]).T
    assert torch.allclose(widths, torch.tensor([0.1, 0.141, 0.1 * 2**0.5, 0.1 / 2**0.5]))
    assert torch.allclose(heights, torch.tensor([0.1, 0.141, 0.1 / 2**0.5, 0.1 * 2**0.5]))
    assert len(boxes.sizes(512)) == 7


def test_a_box_reads_back_from_what_the_network_is_to_answer() -> None:
    truth = torch.tensor([[0.1, 0.2, 0.4, 0.35], [0.5, 0.1, 0.9, 0.6]])
    assert torch.allclose(
        boxes.decoded(boxes.encoded(truth, DEFAULTS[:2]), DEFAULTS[:2]), truth, atol=1e-6
    )
    assert torch.equal(boxes.encoded(DEFAULTS, DEFAULTS), torch.zeros(4, 4))


def test_every_object_gets_its_best_default_box_and_what_overlaps_by_more_than_half() -> None:
    small = [0.5, 0.5, 0.6, 0.6]
    near = [0.0, 0.0, 0.5, 0.45]
    found = boxes.matched(torch.tensor([small, near]), DEFAULTS)
    assert found.tolist() == [1, -1, -1, 0]
    # Two with the same best box: the worse one takes what is left.
    left, lower = [0.0, 0.0, 0.5, 0.5], [0.0, 0.1, 0.5, 0.6]
    assert boxes.matched(torch.tensor([lower, left]), DEFAULTS).tolist() == [1, -1, 0, -1]
    assert boxes.matched(torch.empty(0, 4), DEFAULTS).tolist() == [-1, -1, -1, -1]


def test_the_weaker_of_two_boxes_of_a_class_is_dropped_from_the_threshold_on() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.0], [0.2, 0.8, 0.0], [0.3, 0.0, 0.7], [0.995, 0.005, 0.0]])
    found = torch.tensor(
        [[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.5, 0.4], [0.0, 0.0, 0.5, 0.5], [-0.5, 0.5, 1.5, 1.0]]
    )
    kinds = boxes.detections(scores, found, 0.45)[:, :2]
    assert torch.allclose(kinds, torch.tensor([[0.0, 0.9], [1.0, 0.7]]))
    assert len(boxes.detections(scores, found, 0.85)) == 3


def test_boxes_are_told_within_the_image() -> None:
    found = boxes.detections(torch.tensor([[0.1, 0.9]]), torch.tensor([[-0.5, 0.5, 1.5, 1.0]]), 0.5)
    assert found[:, 2:].tolist() == [[0.0, 0.5, 1.0, 1.0]]


def test_three_of_the_hardest_backgrounds_are_learnt_for_each_object() -> None:
    losses = torch.tensor([[5.0, 1, 2, 3, 4, 0.5], [5.0, 1, 2, 3, 4, 0.5]])
    positive = torch.tensor([[True, False, False, False, False, False], [False] * 6])
    assert hardest(losses, positive).tolist() == [
        [False, False, True, True, True, False],
        [True, False, False, True, True, False],
    ]


def test_the_loss_is_cross_entropy_of_chosen_boxes_and_smooth_l1_of_those_with_an_object() -> None:
    truth = torch.tensor([[1.0, 0.0, 0.0, 0.5, 0.5]])
    classes, offsets = targets([truth], DEFAULTS)
    assert classes.tolist() == [[2, 0, 0, 0]]
    assert torch.count_nonzero(offsets) == 0
    answers = torch.zeros(1, 4, 4)
    answers[0, 0, 0] = 3.0
    found = multibox(torch.zeros(1, 4, 3), answers, [truth], DEFAULTS)
    # Three backgrounds and an object, all classes as likely; and 3 off, of which a half is free.
    assert found.cross_entropy == pytest.approx(np.log(3))
    assert found.smooth_l1 == pytest.approx(2.5)
    assert found.positives == 1
    assert float(found.total) == pytest.approx(4 * np.log(3) + 2.5)
    # What is said where there is no object does not count.
    answers[0, 1:] = 99.0
    assert multibox(torch.zeros(1, 4, 3), answers, [truth], DEFAULTS).smooth_l1 == 2.5


BOX = [0.0, 0.0, 0.5, 0.5]
SHIFTED = [0.1, 0.0, 0.6, 0.5]
ELSEWHERE = [0.6, 0.6, 0.9, 0.9]


@pytest.mark.parametrize(
    ("found", "truth", "threshold", "score"),
    [
        ([[0, 0.9, *BOX]], [[0, *BOX]], 0.5, 1.0),
        ([[1, 0.9, *BOX]], [[0, *BOX]], 0.5, 0.0),
        # An overlap of two thirds.
        ([[0, 0.9, *SHIFTED]], [[0, *BOX]], 0.66, 1.0),
        ([[0, 0.9, *SHIFTED]], [[0, *BOX]], 0.67, 0.0),
        # A second detection of what was found is wrong; it comes after, or before.
        ([[0, 0.9, *BOX], [0, 0.8, *SHIFTED]], [[0, *BOX]], 0.5, 1.0),
        ([[0, 0.7, *BOX], [0, 0.8, *ELSEWHERE]], [[0, *BOX]], 0.5, 0.5),
        # One of two objects; with a mistake between, 1/2 * 1 + 1/2 * 2/3.
        ([[0, 0.9, *BOX]], [[0, *BOX], [0, *ELSEWHERE]], 0.5, 0.5),
        (
            [[0, 0.9, *BOX], [0, 0.8, *BOX], [0, 0.7, *ELSEWHERE]],
            [[0, *BOX], [0, *ELSEWHERE]],
            0.5,
            5 / 6,
        ),
        # The mean over the classes that are there.
        ([[0, 0.9, *BOX], [2, 0.9, *BOX]], [[0, *BOX], [1, *BOX]], 0.5, 0.5),
        ([], [[0, *BOX]], 0.5, 0.0),
        ([[0, 0.9, *BOX]], [], 0.5, 0.0),
    ],
    ids=[
        "found",
        "other-class",
        "near-enough",
        "too-far",
        "twice",
        "mistake-first",
        "half",
        "mistake-between",
        "classes",
        "nothing-found",
        "nothing-there",
    ],
)
def test_mean_average_precision_is_that_of_pascal_voc(
    found: list[Any], truth: list[Any], threshold: float, score: float
) -> None:
    result = mean_average_precision([rows(*found, width=6)], [rows(*truth)], threshold)
    assert result == pytest.approx(score)


def test_detections_of_all_images_compete_by_their_scores() -> None:
    found = [rows([0, 0.6, *BOX], width=6), rows([0, 0.9, *BOX], width=6)]
    assert mean_average_precision(found, [rows([0, *BOX]), rows()], 0.5) == 0.5
    assert mean_average_precision(found, [rows(), rows([0, *BOX])], 0.5) == 1.0


@pytest.mark.parametrize("base", ["vgg-16", "resnet-50"])
def test_a_network_answers_for_each_default_box_and_freezes_by_the_names_of_layers(
    base: str,
) -> None:
    torch.manual_seed(0)
    module = Detector(base, 3, 64)
    scores, offsets = module.train()(torch.zeros(2, 3, 64, 64))
    assert scores.shape == (2, len(module.anchors), 4)
    assert offsets.shape == (2, len(module.anchors), 4)
    assert module.freeze(None) == []
    first = {"vgg-16": "^(conv1_|conv2_).*", "resnet-50": "^(conv0|bn0|stage1_)"}[base]
    frozen = module.freeze(first)
    assert frozen
    assert set(frozen) < set(module.layers())
    learnt = [layer(name) for name, each in module.named_parameters() if each.requires_grad]
    assert set(learnt) == set(module.layers()) - set(frozen)


def test_layers_have_the_names_that_mxnet_gives_them() -> None:
    assert [
        layer(name)
        for name in (
            "base.conv1_1.weight",
            "base.bn0.weight",
            "base.stage2.unit1.downsample.0.weight",
            "base.stage4.unit3.bn2.bias",
            "extras.0.conv_1x1_conv.bias",
            "kinds.5.weight",
        )
    ] == [
        "conv1_1_weight",
        "bn0_gamma",
        "stage2_unit1_sc_weight",
        "stage4_unit3_bn2_beta",
        "multi_feat_2_conv_1x1_conv_bias",
        "map5_cls_pred_conv_weight",
    ]


@pytest.mark.parametrize("base", ["vgg-16", "resnet-50"])
def test_a_network_begins_with_the_weights_that_the_image_was_built_with(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_PRETRAINED_DIR", str(tmp_path))
    with pytest.raises(CustomerError, match=f"weights of {base}, which this image does not have"):
        weights.pretrained(base, off=0)
    with torch.device("meta"):
        whole: Any = getattr(torchvision.models, base.replace("-", ""))()
    # Without memory of their own, and each tensor of one value of its own.
    known = {
        name: torch.full(each.shape, 1 + number / 1000)
        for number, (name, each) in enumerate(whole.state_dict().items())
        if "classifier.6" not in name
    }
    save_file(known, str(tmp_path / f"{base}.safetensors"))
    module = Detector(base, 3, 64)
    module.base.begin_with(weights.pretrained(base, off=0))
    found = module.base.state_dict()
    if base == "vgg-16":
        assert float(found["conv3_2.weight"].mean()) == pytest.approx(
            float(known["features.12.weight"].mean())
        )
        assert float(found["fc7.bias"][0]) == pytest.approx(float(known["classifier.3.bias"][0]))
    else:
        assert torch.equal(found["stage3.unit6.conv2.weight"], known["layer3.5.conv2.weight"])
        assert torch.equal(found["bn0.running_var"], known["bn1.running_var"])
    (tmp_path / f"{base}.safetensors").write_bytes(b"something else")
    with pytest.raises(CustomerError, match="is not a safetensors file"):
        weights.pretrained(base, off=0)


def test_labels_of_im2rec_are_read_without_what_fills_them_up() -> None:
    label = [3, 6, 9, 1, 0.1, 0.2, 0.3, 0.4, 7, 0, 0, 0, 1, 1, 7, -1, -1, -1, -1, -1, -1]
    found = data.of_numbers(np.array(label, dtype=np.float32), "here", LIMITS)
    assert found.tolist() == [pytest.approx([1, 0.1, 0.2, 0.3, 0.4]), [0, 0, 0, 1, 1]]
    assert len(data.of_numbers(np.array([2, 5], dtype=np.float32), "here", LIMITS)) == 0


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        ([7], "here: a label begins with the numbers of its header .2. and of an object .5., and"),
        ([5, 2, 0], "and not with 5, 2; pack it with im2rec --pack-label"),
        ([2, 5, 0, 0, 0], "here: 3 numbers of objects, which is no multiple of 5"),
        ([2, 5, 3, 0, 0, 1, 1], "here, object 1: the class is 3; with num_classes 3 it is a whole"),
        ([2, 5, 0.5, 0, 0, 1, 1], "here, object 1: the class is 0.5"),
        ([2, 5, 0, 0.5, 0, 0.5, 1], "here, object 1: the box from .0.5, 0. to .0.5, 1.*is empty"),
        ([2, 5, 0, 0, 0, 300, 300], "object 1: the box from .* or outside of the image"),
        ([2, 5, 0, 0, 0, float("nan"), 1], "object 1: the box from .* to .nan, 1."),
        ([2, 5] + [0] * 349, "has 351 numbers, and label_width is 350; set label_width to 351"),
    ],
    ids=["class-only", "header", "cut", "class", "half-class", "empty", "pixels", "nan", "wide"],
)
def test_a_label_that_cannot_be_is_told_with_its_object(label: list[float], sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        data.of_numbers(np.array(label, dtype=np.float32), "here", LIMITS)


EXAMPLE: dict[str, Any] = {
    "file": "a.jpg",
    "image_size": [{"width": 500, "height": 400, "depth": 3}],
    "annotations": [{"class_id": 0, "left": 111, "top": 134, "width": 61, "height": 128}],
    "categories": [{"class_id": 0, "name": "dog"}],
}


def test_a_json_annotation_becomes_shares_of_the_image() -> None:
    found = data.of_json(json.dumps(EXAMPLE).encode(), "here", LIMITS)
    assert found.tolist() == [pytest.approx([0, 111 / 500, 134 / 400, 172 / 500, 262 / 400])]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"image_size": []}, "here: IndexError.*it must have image_size"),
        ({"annotations": [{"class_id": 0}]}, "here: KeyError: 'left'; it must have"),
        ({"image_size": [{"width": 500, "height": 400, "depth": 1}]}, "depth is 1; images have 3"),
        ({"annotations": EXAMPLE["annotations"] * 70}, "70 objects need a label_width of 352 or"),
        ({"image_size": [{"width": 50, "height": 400}]}, "object 1: the box .* outside of the im"),
    ],
    ids=["size", "box", "depth", "many", "outside"],
)
def test_a_json_annotation_that_cannot_be_is_told(changes: Any, sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        data.of_json(json.dumps({**EXAMPLE, **changes}).encode(), "here", LIMITS)
    with pytest.raises(FormatError, match="here: not JSON"):
        data.of_json(b"{", "here", LIMITS)


def folder(tmp_path: Path, name: str, *files: tuple[str, bytes]) -> Channel:
    for file, body in files:
        path = tmp_path / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return Channel(name, tmp_path / name, None, "File")


def test_an_annotation_without_image_and_an_image_without_annotation_are_told(
    tmp_path: Path,
) -> None:
    def note(file: str) -> bytes:
        return json.dumps({**EXAMPLE, "file": file}).encode()

    x, y = (pixels.encoded(np.full((400, 500, 3), shade, np.uint8)) for shade in (0, 255))
    images = folder(tmp_path, "train", ("some/a.jpg", x), ("b.png", y), ("c.txt", b"z"))
    notes = folder(tmp_path, "train_annotation", ("a.json", note("some/a.jpg")))
    with pytest.raises(FormatError, match=r"train/b\.png: no JSON file of channel train_annota"):
        data.annotated(images, notes, LIMITS)
    notes = folder(tmp_path, "train_annotation", ("b.json", note("b.png")))
    found = [entry() for entry in data.annotated(images, notes, LIMITS)]
    assert [(each.image, each.place) for each in found] == [
        (y, "train/b.png"),
        (x, "train/some/a.jpg"),
    ]
    notes = folder(tmp_path, "train_annotation", ("c.json", note("d.jpg")))
    with pytest.raises(FormatError, match=r"train_annotation/c\.json: 'file' is 'd\.jpg', and ch"):
        data.annotated(images, notes, LIMITS)


def test_windows_and_flips_take_the_boxes_along() -> None:
    found = np.array([[2, 0.5, 0.5, 0.75, 0.75], [1, 0.0, 0.0, 0.2, 0.2]], dtype=np.float32)
    assert augmentation.seen(found, (0.5, 0.5, 1.0, 1.0)).tolist() == [[2, 0, 0, 0.5, 0.5]]
    assert augmentation.seen(found, (-1.0, -1.0, 1.0, 1.0))[0].tolist() == [
        2, 0.75, 0.75, 0.875, 0.875,
    ]  # fmt: skip
    assert augmentation.flipped(found)[0].tolist() == [2, 0.25, 0.5, 0.5, 0.75]


def test_an_image_is_varied_and_its_object_stays_where_its_box_is() -> None:
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[20:40, 30:60] = 255
    image = pixels.loaded(pixels.encoded(picture), "here")
    box = np.array([[0, 0.25, 0.25, 0.5, 0.5]], dtype=np.float32)
    plain = augmentation.plain(image, 64)
    assert plain[20:28, 20:28].min() == 255
    assert plain[40:].max() == 0
    versions = []
    for seed in range(20):
        varied, found = augmentation.varied(image, box, 64, np.random.default_rng(seed))
        versions.append(varied.tobytes())
        for left, top, right, bottom in (found[:, 1:] * 64).round().astype(int).tolist():
            inside = varied[top + 2 : bottom - 2, left + 2 : right - 2]
            assert inside.size == 0 or inside.min() > 150
    assert len(set(versions)) > 15
