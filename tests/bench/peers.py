"""The peers that group logs: drain3 and TF-IDF with HDBSCAN, and what of a log they are given.

Owns how each is fed and its few settings; whoever compares takes the best of them, judged on the very labels, which
favours the peer. They are no part of airtriage: `make bench` installs them.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Sequence

# The masks of drain3's own example settings (examples/drain3.ini), but for those of its data sets.
_MASKS = (
    (r"((?<=[^A-Za-z0-9])|^)(([0-9a-f]{2,}:){3,}([0-9a-f]{2,}))((?=[^A-Za-z0-9])|$)", "ID"),
    (r"((?<=[^A-Za-z0-9])|^)(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})((?=[^A-Za-z0-9])|$)", "IP"),
    (r"((?<=[^A-Za-z0-9])|^)([0-9a-f]{6,} ?){3,}((?=[^A-Za-z0-9])|$)", "SEQ"),
    (r"((?<=[^A-Za-z0-9])|^)([0-9A-F]{4} ?){4,}((?=[^A-Za-z0-9])|$)", "SEQ"),
    (r"((?<=[^A-Za-z0-9])|^)(0x[a-f0-9A-F]+)((?=[^A-Za-z0-9])|$)", "HEX"),
    (r"((?<=[^A-Za-z0-9])|^)([\-\+]?\d+)((?=[^A-Za-z0-9])|$)", "NUM"),
)
SIMILARITIES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
NEIGHBOURS = (1, 2, 3)
TAIL = 15

_HEADING = "Traceback (most recent call last):"
_RAISED = re.compile(r"[A-Za-z_][\w.]*(?:: |$)")


def are_here() -> bool:
    """Whether the peers are installed."""
    return all(importlib.util.find_spec(name) for name in ("drain3", "sklearn"))


def traceback(log: bytes) -> str:
    """Return the last traceback of a raw log, with its exception; its last lines where it holds none.

    Of the records of Airflow 3 the exception and its frames, in the words of `error_detail`.
    """
    lines = log.decode("utf-8", "replace").split("\n")
    for at in range(len(lines) - 1, -1, -1):
        if _HEADING in lines[at]:
            return "\n".join(_block(lines[at:]))
        if '"error_detail"' in lines[at] and (told := _told(lines[at])):
            return told
    return "\n".join([line for line in lines if line.strip()][-TAIL:])


def _block(lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines[:200]):
        yield line
        if number and _RAISED.match(line):
            return


def _told(line: str) -> str:
    try:
        detail = json.loads(line)["error_detail"]
        return "\n".join(
            f"{one['exc_type']}: {one['exc_value']}\n"
            + "\n".join(f"{frame['filename']} in {frame['name']}" for frame in one.get("frames") or ())
            for one in detail
        )
    except (ValueError, KeyError, TypeError):
        return ""


def drain3(texts: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield a setting's name and each text's cluster: every text is one message, its line breaks made spaces."""
    from drain3 import TemplateMiner
    from drain3.masking import MaskingInstruction
    from drain3.template_miner_config import TemplateMinerConfig

    for similarity in SIMILARITIES:
        config = TemplateMinerConfig()
        config.drain_sim_th = similarity
        config.masking_instructions = [MaskingInstruction(pattern, name) for pattern, name in _MASKS]
        miner = TemplateMiner(config=config)
        made = [str(miner.add_log_message(" ".join(text.split()) or "-")["cluster_id"]) for text in texts]
        yield f"sim_th {similarity}", made


def hdbscan(texts: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield a setting's name and each text's cluster, by cosine distance; what it calls noise stands alone."""
    import numpy as np
    from sklearn.cluster import HDBSCAN
    from sklearn.feature_extraction.text import TfidfVectorizer

    for words, pattern in (("words", r"(?u)\b\w\w+\b"), ("words without digits", r"[^\W\d_]{2,}")):
        vectors = TfidfVectorizer(token_pattern=pattern, ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts)
        apart = np.clip(1 - (vectors @ vectors.T).toarray(), 0, None).astype(float)
        for method in ("eom", "leaf"):
            for neighbours in NEIGHBOURS:
                found = HDBSCAN(
                    min_cluster_size=2,
                    min_samples=neighbours,
                    metric="precomputed",
                    cluster_selection_method=method,
                    copy=True,
                ).fit_predict(apart)
                made = [str(label) if label >= 0 else f"alone {at}" for at, label in enumerate(found)]
                yield f"{words}, {method}, min_samples {neighbours}", made


PEERS = {"drain3": drain3, "TF-IDF and HDBSCAN": hdbscan}
