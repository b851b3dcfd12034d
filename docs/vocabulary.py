"""Write the small vocabulary that prompts are counted with.

    python docs/vocabulary.py autoresearch_git/community/vocabulary.tiktoken

Learnt from this repository's own text, in tiktoken's file format. A model's own vocabulary is larger, so it needs fewer
tokens for the same text: a count with this one is an upper bound, without a download.
"""

import base64
import sys
from pathlib import Path

import rustbpe

SIZE = 4096
PATTERN = r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"""

top = Path(__file__).parent.parent
files = [
    *top.glob("*.md"),
    *top.glob("*.py"),
    *top.glob("docs/**/*.md"),
    *top.glob("autoresearch_git/**/*.py"),
    *top.glob("tests/data/*.tsv"),
]
bpe = rustbpe.Tokenizer()
bpe.train_from_iterator((path.read_text() for path in sorted(files)), SIZE, pattern=PATTERN)
ranks = sorted(bpe.get_mergeable_ranks(), key=lambda pair: pair[1])
Path(sys.argv[1]).write_text("".join(f"{base64.b64encode(bytes(token)).decode()} {rank}\n" for token, rank in ranks))
