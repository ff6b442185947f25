"""Counts tokens of a large language model, run by the environment of `make test-vllm`.

mistral-common, which vLLM requires, carries the tokenizer of Mistral's models (Tekken, 131,072
entries of byte pairs). The argument names its file; takes JSON lines, each a text, and answers each
with the number of tokens.
"""

import json
import sys
from pathlib import Path

import mistral_common
from mistral_common.tokens.tokenizers.tekken import Tekkenizer


def main() -> None:
    """Answer until standard input ends."""
    tokenizer = Tekkenizer.from_file(Path(mistral_common.__file__).parent / "data" / sys.argv[1])
    for line in sys.stdin:
        tokens = tokenizer.encode(json.loads(line), bos=False, eos=False)
        sys.stdout.write(f"{len(tokens)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
