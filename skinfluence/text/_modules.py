"""Modules and the loss of the nets that read texts."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skinfluence._core.tensors import IGNORED
from skinfluence.text._hub import _need, _pretrained

_ROWS_AT_ONCE = 8  # as many are padded to a common length


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


def _contiguous(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # A slice along the middle makes torch copy the head's weight for each row of the batch.
    return (inputs[0].contiguous(), *inputs[1:])
