"""The tree pass: the probability of every continuation of a prompt, from one forward pass.

The prompt is followed by all inner nodes of a token trie at once. A node attends to the prompt and to its
ancestors only, and its position is its depth below the prompt, so for the model each path is the only
continuation. Edges then have exact conditional probabilities, and paths exact joint ones.

`one_pass` needs an attention that accepts a mask (sdpa, eager). `cached` does not: it encodes the prompt once
and runs the branches of the trie as a batch over copies of the cached prompt, recurrent states included. `plain`
needs nothing and keeps nothing: it runs the whole prompt with each branch.

This module handles models and tensors, not photos, questions or tokenizers.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realqa_cli.domain.numerals import TokenTrie
from realqa_cli.errors import ModelError


@dataclass(frozen=True)
class PromptBatch:
    """Tokenised prompts, padded on the left.

    ids_B_T: token ids.  mask_B_T: bool, False for padding.
    positions: (B, T), or (axes, B, T) for models with several position axes (M-RoPE).
    inputs: other inputs of the forward pass, such as pixel values.
    token_types_B_T: the modality of each token (0 is text), for models that need it.
    """

    ids_B_T: Tensor
    mask_B_T: Tensor
    positions: Tensor
    inputs: Mapping[str, Any]
    token_types_B_T: Tensor | None = None

    def forward_inputs(self) -> dict[str, Any]:
        """The inputs of a forward pass over the prompts alone."""
        inputs = {
            "input_ids": self.ids_B_T,
            "attention_mask": self.mask_B_T.long(),
            "position_ids": self.positions,
            **self.inputs,
        }
        return inputs if self.token_types_B_T is None else inputs | {"mm_token_type_ids": self.token_types_B_T}


@torch.inference_mode()
def one_pass(model: Any, prompt: PromptBatch, trie: TokenTrie) -> Tensor:
    """(B, V) float64 log-probabilities of the trie's V continuations, from one forward pass.

    `model` is a causal language model of transformers whose `forward` accepts a boolean attention mask
    (B, 1, Q, K), True where a query attends, and `logits_to_keep`.
    """
    return read_on(model, prompt, trie, None, 0, keep=False)[0]


def read_on(
    model: Any, prompt: PromptBatch, trie: TokenTrie, past: Any, read: int, *, keep: bool = True
) -> tuple[Tensor, Any]:
    """As `one_pass`, continuing from a cache of the first `read` columns; also returns the new cache.

    past: the cache of those columns, which is extended in place; None if `read` is 0.
    keep: whether to return a cache, which then covers the prompt without the trie.
    """
    device = prompt.ids_B_T.device
    batch = prompt.ids_B_T.shape[0]
    inner = trie.inner
    nodes_N = torch.tensor([trie.tokens[i] for i in inner], device=device, dtype=torch.long)
    depths_N = torch.tensor([trie.depths[i] for i in inner], device=device, dtype=torch.long)
    inputs = {} if read else dict(prompt.inputs)
    if prompt.token_types_B_T is not None and not read:
        inputs["mm_token_type_ids"] = torch.nn.functional.pad(prompt.token_types_B_T, (0, len(inner)))
    out = model(
        input_ids=torch.cat([prompt.ids_B_T[:, read:], nodes_N.expand(batch, -1)], dim=1),
        attention_mask=tree_mask(prompt.mask_B_T, trie, read),
        position_ids=torch.cat([prompt.positions[..., read:], next_position(prompt) + depths_N - 1], dim=-1),
        logits_to_keep=len(inner) + 1,
        past_key_values=past,
        use_cache=keep,
        **inputs,
    )
    if keep and inner:
        out.past_key_values.crop(-len(inner))
    rows = {0: 0} | {node: row for row, node in enumerate(inner, start=1)}
    return _joint(out.logits, rows, trie), out.past_key_values


def tree_mask(mask_B_T: Tensor, trie: TokenTrie, read: int = 0) -> Tensor:
    """(B, 1, T - read + N, T + N) bool attention mask of a prompt and N inner nodes after it.

    read: the number of columns that a cache covers, which are not queries.
    Padding attends to itself, so that no row of the softmax is empty.
    """
    device, inner = mask_B_T.device, trie.inner
    (batch, length), count = mask_B_T.shape, len(inner)
    where = {node: i for i, node in enumerate(inner)}
    lineage = np.eye(count, dtype=bool)
    for node in inner:
        lineage[where[node], [where[above] for above in trie.ancestors(node)]] = True
    new = length - read
    whole = torch.zeros(batch, new + count, length + count, dtype=torch.bool, device=device)
    whole[:, :new, :length] = torch.ones(new, length, dtype=torch.bool, device=device).tril(read)
    whole[:, new:, :length] = True
    whole[:, :, :length] &= mask_B_T[:, None, :]
    whole[:, new:, length:] = torch.from_numpy(lineage).to(device)
    whole |= torch.eye(length + count, dtype=torch.bool, device=device)[read:]
    return whole[:, None]


@torch.inference_mode()
def cached(model: Any, prompt: PromptBatch, trie: TokenTrie, *, rows: int = 64) -> Tensor:
    """(B, V) as `one_pass`, for models or attention kernels that do not accept a custom mask.

    The prompt is encoded once; the branches then run over copies of its cache, `rows` at a time.
    """
    inputs = dict(prompt.inputs)
    if prompt.token_types_B_T is not None:
        inputs["mm_token_type_ids"] = prompt.token_types_B_T
    first = model(
        input_ids=prompt.ids_B_T,
        attention_mask=prompt.mask_B_T.long(),
        position_ids=prompt.positions,
        logits_to_keep=1,
        use_cache=True,
        **inputs,
    )
    branches = [[*trie.ancestors(node)[::-1], node] for node in trie.inner if _is_tip(trie, node)]
    width = max((len(branch) for branch in branches), default=0)
    logits: dict[int, Tensor] = {0: first.logits[:, -1]}
    for start in range(0, len(branches), max(1, rows // prompt.ids_B_T.shape[0])):
        part = branches[start : start + max(1, rows // prompt.ids_B_T.shape[0])]
        logits |= _run_branches(model, prompt, first.past_key_values, trie, part, width)
    order = sorted(logits)
    return _joint(
        torch.stack([logits[node] for node in order], dim=1),
        {node: row for row, node in enumerate(order)},
        trie,
    )


@torch.inference_mode()
def plain(model: Any, prompt: PromptBatch, trie: TokenTrie) -> Tensor:
    """(1, V) as `one_pass`, for a single prompt of any model: one plain forward pass over each branch.

    The model finds its positions by itself, and nothing is padded or kept between passes. Raises ModelError for
    further inputs by token, whose values for the branches are unknown.
    """
    length, device = prompt.ids_B_T.shape[1], prompt.ids_B_T.device
    for name, value in prompt.inputs.items():
        if name != "token_type_ids" and isinstance(value, Tensor) and value.ndim > 1 and value.shape[:2] == (1, length):
            raise ModelError(f"the model has the unsupported input {name}", remedy="serve it and use --server")
    branches = [[*trie.ancestors(node)[::-1], node] for node in trie.inner if _is_tip(trie, node)] or [[]]
    logits: dict[int, Tensor] = {}
    for branch in branches:
        added = torch.tensor([[trie.tokens[node] for node in branch]], device=device, dtype=torch.long)
        ids = torch.cat([prompt.ids_B_T, added], dim=1)
        inputs = dict(prompt.inputs)
        types = {"mm_token_type_ids": prompt.token_types_B_T, "token_type_ids": inputs.pop("token_type_ids", None)}
        inputs |= {
            name: torch.nn.functional.pad(value, (0, len(branch))) for name, value in types.items() if value is not None
        }
        out = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **inputs).logits
        rows = out[:, length - 1 :]
        logits |= {node: rows[:, place] for place, node in enumerate([0, *branch])}
    order = sorted(logits)
    return _joint(
        torch.stack([logits[node] for node in order], dim=1), {node: row for row, node in enumerate(order)}, trie
    )


def _is_tip(trie: TokenTrie, node: int) -> bool:
    """Whether an inner node has no inner children, so that its branch covers its ancestors."""
    return all(trie.parents[other] != node for other in trie.inner)


def _run_branches(
    model: Any, prompt: PromptBatch, past: Any, trie: TokenTrie, branches: list[list[int]], width: int
) -> dict[int, Tensor]:
    """Logits (B, vocabulary) after each node of the branches, run as B x branches rows."""
    device, batch, count = prompt.ids_B_T.device, prompt.ids_B_T.shape[0], len(branches)
    # Short branches are padded on the right with their last token: no node attends to the padding.
    filled = [branch + branch[-1:] * (width - len(branch)) for branch in branches]
    ids_R_W = torch.tensor([[trie.tokens[node] for node in branch] for branch in filled], device=device).repeat(
        batch, 1
    )
    steps_W = torch.arange(width, device=device)
    mask_R_K = torch.nn.functional.pad(prompt.mask_B_T.long(), (0, width), value=1).repeat_interleave(count, dim=0)
    cache = copy.deepcopy(past)
    cache.reorder_cache(torch.arange(batch, device=device).repeat_interleave(count))  # recurrent states, too
    out = model(
        input_ids=ids_R_W,
        attention_mask=mask_R_K,
        position_ids=next_position(prompt).repeat_interleave(count, dim=-2) + steps_W,
        past_key_values=cache,
        use_cache=True,
    ).logits.unflatten(0, (batch, count))
    return {node: out[:, b, w] for b, branch in enumerate(branches) for w, node in enumerate(branch)}


def next_position(prompt: PromptBatch) -> Tensor:
    """(B, 1) or (axes, B, 1): the position of the first token after each prompt, equal on all axes."""
    highest = prompt.positions.masked_fill(~prompt.mask_B_T, -1).amax(dim=-1, keepdim=True)
    if highest.ndim == 3:
        highest = highest.amax(dim=0, keepdim=True).expand_as(highest)
    return highest + 1


def _joint(logits_B_R_V: Tensor, rows: Mapping[int, int], trie: TokenTrie) -> Tensor:
    """Sums the conditional log-probabilities of each path; `rows` maps a node to its row of logits."""
    log_probs_B_R_V = torch.log_softmax(logits_B_R_V.float(), dim=-1)
    device, height = logits_B_R_V.device, trie.height
    parents = torch.tensor([rows[parent] for parent in trie.parents[1:]], device=device)
    tokens = torch.tensor(trie.tokens[1:], device=device)
    edges_B_N = torch.nn.functional.pad(log_probs_B_R_V[:, parents, tokens].double(), (1, 0))
    # Short paths are padded with the root, whose log-probability is 0.
    paths_V_H = torch.tensor([path + (0,) * (height - len(path)) for path in trie.paths], device=device)
    return edges_B_N[:, paths_V_H].sum(dim=-1)
