from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lepton_ai import datasets, export
from lepton_ai.core import ConfigError
from lepton_ai.layers import Rescaling
from lepton_ai.models import Model, Sequential, count_parameters, inception_v3, load, mobilenet_v2, resnet, unet
from lepton_ai.runtime import open_model
from lepton_ai.training import Adam


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        # He et al. count 0.27 million for 20 layers; the others are those of torchvision, without auxiliary heads.
        (lambda: resnet(depth=20), 272_474),
        (lambda: resnet((224, 224, 3), 1000, depth=18), 11_689_512),
        (lambda: resnet((224, 224, 3), 1000, depth=50), 25_557_032),
        (lambda: mobilenet_v2((224, 224, 3), 1000), 3_504_872),
        (lambda: inception_v3((299, 299, 3), 1000), 23_834_568),
    ],
    ids=["resnet20", "resnet18", "resnet50", "mobilenet_v2", "inception_v3"],
)
def test_as_many_parameters_as_published(make: Any, parameters: int) -> None:
    assert count_parameters(make()) == (parameters, parameters)


@pytest.mark.parametrize(
    ("make", "small", "large"),
    [
        (lambda shape: resnet(shape, 3, depth=8, width=4), 8, 21),
        (lambda shape: resnet(shape, 3, depth=50, width=4), 33, 96),
        (lambda shape: mobilenet_v2(shape, 3, alpha=0.1), 32, 97),
        (lambda shape: inception_v3(shape, 3, alpha=0.03), 75, 80),
    ],
    ids=["resnet8", "resnet50", "mobilenet_v2", "inception_v3"],
)
def test_the_size_of_images_may_stay_free(make: Any, small: int, large: int) -> None:
    model = make((None, None, 3))
    for side in (small, large):
        answer = model(torch.zeros(2, side, side + 1, 3))
        assert answer.shape == (2, 3) and torch.allclose(answer.sum(1), torch.ones(2))
        assert make((side, side, 3)).compute_output_shape((None, side, side, 3)) == (None, 3)
    features = {"resnet8": (None, 16)}
    assert resnet((16, 16, 3), None, depth=8, width=4).compute_output_shape((None, 16, 16, 3)) == features["resnet8"]


def test_a_residual_network_learns_digits_and_comes_back() -> None:
    (x_train, y_train), (x_test, y_test) = datasets.digits.load_data()
    model = Sequential([Rescaling(1 / 16), resnet((8, 8, 1), 10, depth=8, width=8)])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train[..., None], y_train, batch_size=32, epochs=6, verbose=0, seed=0)
    assert model.evaluate(x_test[..., None], y_test, verbose=0)[1] > 0.9


def test_unet_finds_bright_pixels_and_exports_with_free_sizes(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.uniform(size=(64, 16, 16, 1)).astype("float32")
    y = (x[..., 0] > 0.5).astype("int64")
    model = unet((None, None, 1), 2, width=8, depth=2)
    model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=8, epochs=15, verbose=0, seed=0)
    assert model.evaluate(x, y, verbose=0)[1] > 0.9
    export(model, tmp_path / "bright.lepton", samples=x[:4])
    with closing(open_model(tmp_path / "bright.lepton")) as served:
        for side in (8, 20):
            image = generator.uniform(size=(3, side, 16, 1)).astype("float32")
            (answer,) = served.run({"image": image}).values()
            assert answer.shape == (3, side, 16, 2)
            assert np.allclose(answer, model.predict(image), atol=1e-5)
    model.save(tmp_path / "bright-2.lepton")
    again = load(tmp_path / "bright-2.lepton")
    assert isinstance(again, Model) and np.array_equal(again.predict(x[:2]), model.predict(x[:2]))


def test_what_no_such_network_has_is_refused() -> None:
    cases: list[tuple[Any, str]] = [
        (
            lambda: resnet(depth=19),
            "resnet.depth: got 19, expected a depth of the family. Take one of [18, 34, 50, 101, "
            "152], or 6n + 2, such as 20, 32 or 56.",
        ),
        (lambda: resnet((32, 32)), "resnet.input_shape: got (32, 32), expected (height, width, channels)"),
        (lambda: resnet(classes=0), "resnet.classes: got 0, expected a positive int"),
        (lambda: mobilenet_v2((8, 8, 3)), "mobilenet_v2.input_shape: got (8, 8, 3), expected sides of 16 or more"),
        (lambda: mobilenet_v2(alpha=0), "mobilenet_v2.alpha: got 0, expected a positive number"),
        (lambda: inception_v3((74, 75, 3)), "inception_v3.input_shape: got (74, 75, 3), expected sides of 75 or more"),
        (lambda: inception_v3(alpha=-1), "inception_v3.alpha: got -1, expected a positive number"),
        (
            lambda: unet((100, 128, 1)),
            "unet.input_shape: got (100, 128, 1), expected sides that are multiples of 16. "
            "Resize or pad the images, or lower depth.",
        ),
    ]
    for make, text in cases:
        with pytest.raises(ConfigError) as caught:
            make()
        assert str(caught.value) == text
