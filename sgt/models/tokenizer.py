"""Text ↔ token ids, from a checkpoint's ``tokenizer.json``."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from sgt.atomic import naming, system_errors, write_json, write_text
from sgt.errors import SgtError

# Tokens of the tokenizer that is trained for a model pretrained here.
VOCABULARY = 512


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read ``tokenizer.json``.

    Raises:
        SgtError: it is absent or damaged.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise SgtError(path, "no such file", "point at a folder in the official layout, with its tokenizer files")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise SgtError(path, f"not a tokenizer ({error})", "fetch the file again") from None


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a token.

    Raises:
        SgtError: the tokenizer lacks it.
    """
    found = tokenizer.token_to_id(token)
    if found is None:
        raise SgtError("tokenizer", f"has no token {token}", "use the tokenizer of the model's own checkpoint")
    return found


def with_special(tokenizer: Tokenizer, tokens: Sequence[str]) -> Tokenizer:
    """The tokenizer, with the special tokens that it lacked added at its end."""
    missing = [token for token in tokens if tokenizer.token_to_id(token) is None]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in missing])
    return tokenizer


def train_tokenizer(texts: Iterable[str], special: Sequence[str], size: int) -> Tokenizer:
    """A byte-level BPE like Qwen2's, trained on ``texts``; special tokens come last.

    Args:
        texts: what it will read.
        special: tokens that are never split.
        size: vocabulary size, at most; 256 bytes are always in it.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=size - len(special), initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def without_special(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer to whom nothing is special: a marker in a text is characters like any other."""
    about = json.loads(tokenizer.to_str())
    return Tokenizer.from_str(json.dumps({**about, "added_tokens": [], "post_processor": None}))


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write ``tokenizer.json``."""
    write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True))


def save_tokenizer(tokenizer: Tokenizer, folder: Path, special: Sequence[str]) -> None:
    """Write the files of a Qwen2 tokenizer: ``tokenizer.json``, ``vocab.json``, ``merges.txt``, its config."""
    write_tokenizer(tokenizer, folder)
    with naming(folder / "vocab.json"), system_errors():
        tokenizer.model.save(str(folder))
    config = {"tokenizer_class": "Qwen2Tokenizer", "additional_special_tokens": list(special), "model_max_length": 1024}
    write_json(folder / "tokenizer_config.json", config)
