"""The module of `CausalLM`."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skinfluence.text._chunks import ROWS_AT_ONCE, longest_row, map_in_chunks
from skinfluence.text._hub import load, load_pretrained
from skinfluence.text._layers import (
    HiddenStateCache,
    cannot_split,
    positions_of,
    run_below,
    with_layers,
)


class LoRALanguageModel(nn.Module):
    """A pretrained causal language model with low-rank adapters; its outputs are logits.

    Parameters
    ----------
    model : str
        Directory or hub name.
    rank : int or None, default=8
        Rank of the adapters. None trains all parameters, without adapters.
    alpha : float, default=16
        The adapters' outputs are scaled by ``alpha / rank``.
    targets : str or list of str or None, default=None
        Names of the linear layers that get adapters. None means peft's choice for the model (mostly
        queries and values). "all-linear" means all linear layers.
    layers : int or None, default=None
        Number of layers that get adapters, counted from the last. None: all layers. With fewer
        layers, training and per-row gradients are cheaper, because no gradient flows through the
        layers below the first adapter.
    dropout : float, default=0.0
        Dropout rate of the adapters' inputs.
    dtype : str, default="float32"
        Data type of the frozen weights. Even with "bfloat16", the adapters stay in float32.
    attention : str, default="eager"
        Name of an attention implementation in transformers. The plain implementation, "eager",
        supports forward-mode derivatives and per-row gradients.
    cache : bool, default=False
        If True, run the layers below the first adapter only once for each row, and keep their
        outputs in memory. In a model with adapters in 4 of its 30 layers, training and scoring then
        take about half of the time. `layers` must be set. The cache takes ``4 * width`` bytes per
        token (92 kB for 40 tokens in a model of width 576). The layers below the first adapter run
        without dropout.

    Attributes
    ----------
    network : torch.nn.Module
        The pretrained model with its adapters.

    Examples
    --------
    Adapters in the last layer only, at the queries and the values:

    >>> from skinfluence.text import LoRALanguageModel, packaged_model
    >>> module = LoRALanguageModel(packaged_model("smollm2"), rank=2, layers=1)
    >>> [tuple(p.shape) for p in module.parameters() if p.requires_grad]
    [(2, 576), (576, 2), (2, 576), (192, 2)]
    """

    network: Any
    rows_at_once = ROWS_AT_ONCE

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
        network = load_pretrained("AutoModelForCausalLM", model, dtype, attention)
        n_layers = network.config.num_hidden_layers
        if rank is not None:
            settings = {"r": rank, "lora_alpha": alpha, "lora_dropout": dropout}
            network = _add_adapters(network, layers, target_modules=targets, **settings)
        network.get_output_embeddings().register_forward_pre_hook(_make_contiguous)
        self.network = network
        self._cache: HiddenStateCache | None = None
        if cache:
            if rank is None or layers is None or layers >= n_layers:
                raise ValueError(
                    f"cache=True with rank={rank} and layers={layers}: all layers are trained, so "
                    f"no layer has outputs to keep. Set a rank, and layers to less than {n_layers}."
                )
            self._cache = self._checked_cache(n_layers - layers)

    def forward(
        self, prompt: Tensor, prompt_mask: Tensor, answer: Tensor, answer_mask: Tensor
    ) -> Tensor:
        """Compute logits for the tokens of each answer, and for the end-of-text token after it.

        Prompts are padded on the left and answers on the right. The tokens to predict are therefore
        the last columns of a batch, and only these go through the head.

        Parameters
        ----------
        prompt, prompt_mask : Tensor of shape (n, length of the prompts)
            Token ids, and a mask: 1 for tokens, 0 for padding.
        answer, answer_mask : Tensor of shape (n, length of the answers)
            The same for the answers.

        Returns
        -------
        logits : Tensor of shape (n, length of the answers + 1, n_tokens)
            Logits. After the end of an answer, they are 0.
        """
        n_tokens = answer.shape[1] + 1

        def of_chunk(rows: Tensor) -> Tensor:
            before = prompt.shape[1] - longest_row(prompt_mask[rows])
            length = longest_row(answer_mask[rows], least=0)
            ids = torch.cat([prompt[rows, before:], answer[rows, :length]], 1)
            mask = torch.cat([prompt_mask[rows, before:], answer_mask[rows, :length]], 1)
            logits = self._logits(ids, mask, length + 1)
            # After the end of an answer, logits would depend on the lengths of other answers.
            ended = F.pad(1 - answer_mask[rows, :length], (1, 0)).bool()
            if len(rows) > 1:
                logits[ended] = 0  # in place: logits are by far the largest tensors here
            else:  # under vmap, a mask cannot select rows
                logits = logits.masked_fill(ended.unsqueeze(-1), 0)
            missing = n_tokens - 1 - length
            return F.pad(logits, (0, 0, 0, missing)) if missing else logits

        return map_in_chunks(of_chunk, prompt_mask.sum(1) + answer_mask.sum(1))

    def _logits(self, ids: Tensor, mask: Tensor, n_last: int) -> Tensor:
        """Return the logits at the last `n_last` columns, (n, n_last, n_tokens)."""
        if self._cache is None:
            network, inputs = self.network, {"input_ids": ids}
        else:
            depth = self._cache.depth
            network = with_layers(self._base_network, slice(depth, None))
            compute = functools.partial(run_below, self._base_network, depth)
            inputs = {"inputs_embeds": self._cache(compute, ids, mask)}
        return network(**inputs, **positions_of(mask), logits_to_keep=n_last).logits

    @property
    def _base_network(self) -> Any:
        """The network as transformers made it, with the adapters inside its layers."""
        return (
            self.network.get_base_model() if hasattr(self.network, "peft_config") else self.network
        )

    @torch.no_grad()
    def _checked_cache(self, depth: int) -> HiddenStateCache:
        """Return a cache; raise if running the model in two parts changes its logits."""
        ids = torch.arange(2, 8).unsqueeze(0)
        mask, cache = torch.ones_like(ids), HiddenStateCache(depth)
        self.eval()
        try:
            whole = self._logits(ids, mask, 3)
            self._cache = cache
            same = torch.allclose(self._logits(ids, mask, 3), whole, rtol=1e-3, atol=1e-3)
        except (AttributeError, KeyError, TypeError) as error:
            raise cannot_split(self.network) from error
        finally:
            self.train()
            self._cache = None
        if not same:
            raise cannot_split(self.network)
        return cache

    @torch.no_grad()
    def write(self, ids: Tensor, mask: Tensor, max_new_tokens: int, tokenizer: Any) -> Tensor:
        """Continue prompts with the most likely token, one at a time.

        Parameters
        ----------
        ids : Tensor of shape (n, length)
            Token ids of the prompts, padded on the left.
        mask : Tensor of shape (n, length)
            1 for tokens, 0 for padding.
        max_new_tokens : int
            Maximum number of tokens to write.
        tokenizer : transformers tokenizer
            An answer ends at its end-of-text token.

        Returns
        -------
        new : Tensor of shape (n, n_new)
            Token ids that follow the prompts.
        """
        config = load("transformers").GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
        )
        written = self.network.generate(
            input_ids=ids, attention_mask=mask, generation_config=config
        )
        return written[:, ids.shape[1] :]


def _add_adapters(network: Any, layers: int | None, **settings: Any) -> Any:
    """Add low-rank adapters to the last layers of a language model, or to all its layers."""
    peft = load("peft")
    depth = network.config.num_hidden_layers
    last = None if layers is None else [*range(depth - layers, depth)]
    config = peft.LoraConfig(layers_to_transform=last, task_type="CAUSAL_LM", **settings)
    with warnings.catch_warnings():
        # peft 0.21 reads an attribute of transformers 5.23 under its deprecated name.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "fan_in_fan_out")  # peft corrects the setting itself
        return peft.get_peft_model(network, config)


def _make_contiguous(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # With a slice along the middle axis, torch would copy the head's weight for each row.
    return (inputs[0].contiguous(), *inputs[1:])
