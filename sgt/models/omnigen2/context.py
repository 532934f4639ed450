"""A batch of key-value caches of the language model, which texts can be appended to."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sgt.errors import SgtError
from sgt.models.attention import grid
from sgt.models.omnigen2.language import embed, empty_cache, run, select_cache
from sgt.models.omnigen2.network import OmniGen2Network
from sgt.models.omnigen2.rows import Chat, collate
from sgt.models.vision_reads import ANSWER, EMPTY, TEXT, VISION


class Context:
    """B rows of cached tokens. Rows may differ in length.

    Args:
        network: runs.
        chats: the beginning, one per row; without supervision.

    Attributes:
        kinds: uint8 (B, C), what each place of the cache holds; see :mod:`sgt.models.vision_reads`.
        position: int64 (B,), the position of the next token of each row.
    """

    def __init__(self, network: OmniGen2Network, chats: Sequence[Chat] = ()) -> None:
        self.network, self.device = network, network.device
        self.cache = empty_cache()
        if chats:
            rows = collate(chats).to(self.device)
            kinds = torch.where(rows.ids == network.mllm.config.image_token_id, VISION, TEXT)
            self.kinds = kinds.masked_fill(~rows.filled, EMPTY).to(torch.uint8)
            run(network.mllm, embed(network.mllm, rows), rows.positions, rows.mask, self.cache, self.kinds)
            self.position = torch.tensor([chat.position for chat in chats], device=self.device)

    @property
    def valid(self) -> Tensor:
        """Bool (B, C): which places of the cache are filled."""
        return self.kinds > EMPTY

    @property
    def rows(self) -> int:
        """B."""
        return len(self.position)

    @property
    def limit(self) -> int:
        """Positions the language model has."""
        return self.network.config.mllm["max_position_embeddings"]

    def select(self, rows: Sequence[int]) -> "Context":
        """A new context of these rows, which may repeat: questions that share an image's prefix."""
        chosen, index = Context(self.network), torch.tensor(rows, device=self.device)
        chosen.cache = select_cache(self.cache, index)
        chosen.kinds, chosen.position = self.kinds[index], self.position[index]
        return chosen

    def read(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """Append token ids of an answer, one sequence per row; returns (tokens, vocabulary) logits, row by row."""
        return self.network.mllm.lm_head(self.append(ids, ANSWER))

    def append(self, ids: Sequence[Sequence[int]], kind: int = TEXT) -> Tensor:
        """Append token ids, one sequence per row; returns final hidden states (tokens, width), row by row.

        Raises:
            SgtError: a row becomes longer than the language model's context.
        """
        lengths = torch.tensor([len(row) for row in ids], device=self.device)
        if (longest := int((self.position + lengths).max())) > self.limit:
            problem = f"{longest} positions exceed the context of {self.limit}"
            raise SgtError("prompt", problem, "use a shorter text or fewer images")
        width = int(lengths.max())
        tokens = torch.zeros(len(ids), width, dtype=torch.int64)
        row, column = grid([len(part) for part in ids])
        tokens[row, column] = torch.tensor([token for part in ids for token in part], dtype=torch.int64)
        filled = torch.arange(width, device=self.device) < lengths[:, None]
        causal = torch.ones(width, width, dtype=torch.bool, device=self.device).tril()
        mask = torch.cat(
            [self.valid[:, None].expand(-1, width, -1), filled[:, None] & causal],
            dim=2,
        )
        embedded = self.network.mllm.model.language_model.embed_tokens(tokens.to(self.device))
        positions = (self.position[:, None] + torch.arange(width, device=self.device)).expand(3, -1, -1)
        self.kinds = torch.cat([self.kinds, filled.to(torch.uint8) * kind], dim=1)
        hidden = run(self.network.mllm, embedded, positions, mask, self.cache, self.kinds)
        self.position = self.position + lengths
        return hidden[filled]
