"""The module of the language model."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skinfluence.text._chunks import _ROWS_AT_ONCE, _in_chunks, _longest
from skinfluence.text._hub import _need, _pretrained
from skinfluence.text._layers import _Known, _not_in_parts, _places, _with_layers


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


def _contiguous(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # A slice along the middle makes torch copy the head's weight for each row of the batch.
    return (inputs[0].contiguous(), *inputs[1:])
