from lepton_ai import layers
from tests.contracts.layer import Inputs, LayerContract, noise


class TestIdentity(LayerContract):
    any_rank = True

    def make(self) -> layers.Layer:
        return layers.Identity()

    def example(self) -> Inputs:
        return (noise(7, 5),)
