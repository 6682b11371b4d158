"""The architectures in torch, as its users write them; for the loops by hand, Lightning and the floor."""

import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.training.workloads import FEATURES, TOKENS, WORKLOADS

WIDTH = 128


def build(name: str) -> nn.Module:
    """The model of a workload; images are (B, C, H, W)."""
    if name == "a":
        return nn.Sequential(
            *(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(32 * 15 * 15, 64), nn.ReLU(), nn.Linear(64, 2)),
        )
    if name in ("b", "g"):
        return nn.Sequential(
            *(nn.Conv2d(WORKLOADS[name].shape[-1], 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(64 * 14 * 14, 64), nn.ReLU(), nn.Linear(64, 2)),
        )
    if name == "c":
        return nn.Sequential(
            *(nn.Linear(30, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()),
            nn.Linear(256, 2),
        )
    return {"d": Texts, "e": ResNet18, "f": Transformer}[name]()


def loss(name: str, output: Tensor, target: Tensor) -> Tensor:
    """The mean loss of logits."""
    if WORKLOADS[name].binary:
        return F.binary_cross_entropy_with_logits(output, target)
    return F.cross_entropy(output, target)


def trained(model: nn.Module) -> int:
    """How many numbers the optimiser changes."""
    return sum(each.numel() for each in model.parameters() if each.requires_grad)


class Texts(nn.Module):
    """Embedding, LSTM, one logit."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, 64)
        self.lstm = nn.LSTM(64, 64, batch_first=True)
        # torch has two biases that are added to each other; Keras and Lepton have one.
        self.lstm.get_parameter("bias_hh_l0").detach().zero_()
        self.lstm.get_parameter("bias_hh_l0").requires_grad_(False)
        self.head = nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(self.embedding(x))
        output: Tensor = self.head(hidden[-1])
        return output


class Block(nn.Module):
    """Two convolutions around which the input passes."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)
        self.around: nn.Module = nn.Identity()
        if stride > 1 or width_in != width:
            self.around = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(y)) + self.around(x))


class ResNet18(nn.Sequential):
    """He et al. 2016, with a stem of one 3 by 3 convolution."""

    def __init__(self) -> None:
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        width_in = 64
        for stage in range(4):
            for block in range(2):
                width = 64 * 2**stage
                layers.append(Block(width_in, width, 2 if stage and not block else 1))
                width_in = width
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width_in, 10))


class Transformer(nn.Module):
    """Floats projected to the width, four encoder layers, the mean over steps, two logits."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(FEATURES, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 8, 4 * WIDTH, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 4)
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(self.project(x))
        output: Tensor = self.head(y.mean(1))
        return output
