"""Models: stacks, graphs, subclasses and foreign modules, with Keras' verbs; and regressions in closed form."""

from lepton_ai.models.adapters import add_adapters, load_adapters, merge_adapters, save_adapters
from lepton_ai.models.bert import bert_encoder
from lepton_ai.models.fine_tuning import layer_wise_decay
from lepton_ai.models.front import Front
from lepton_ai.models.inception import inception_v3
from lepton_ai.models.linear import LinearRegression, LogisticRegression
from lepton_ai.models.loading import load
from lepton_ai.models.mobilenet import mobilenet_v2
from lepton_ai.models.model import Model, ModuleModel
from lepton_ai.models.parallel import distributed_train
from lepton_ai.models.recomputing import recompute
from lepton_ai.models.resnet import resnet
from lepton_ai.models.saving import environment, task_of, write_parts
from lepton_ai.models.sequential import Sequential
from lepton_ai.models.signature import as_array, named_inputs, named_outputs, sample_inputs, signature
from lepton_ai.models.summary import count_parameters, summarize
from lepton_ai.models.text_cnn import text_cnn
from lepton_ai.models.unet import unet

__all__ = [
    "Front",
    "LinearRegression",
    "LogisticRegression",
    "Model",
    "ModuleModel",
    "Sequential",
    "add_adapters",
    "as_array",
    "bert_encoder",
    "count_parameters",
    "distributed_train",
    "environment",
    "inception_v3",
    "layer_wise_decay",
    "load",
    "load_adapters",
    "merge_adapters",
    "mobilenet_v2",
    "named_inputs",
    "named_outputs",
    "recompute",
    "resnet",
    "sample_inputs",
    "save_adapters",
    "signature",
    "summarize",
    "task_of",
    "text_cnn",
    "unet",
    "write_parts",
]
