"""What to report of a translator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_apps.errors import UserError

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU

LONGEST_OF_BUCKETS = (5, 10, 15, 20, 30, 40, 60)
"""Words of the longest source sentence in each row of the table by length; one more row holds what is longer."""


def translation_report(hypotheses: Sequence[str], references: Sequence[str], sources: Sequence[str]) -> dict[str, Any]:
    """BLEU and chrF of raw text, exact matches, and a table by the length of the source.

    BLEU (Papineni 2002) is case-sensitive and tokenised by `13a`, so that it can be compared with what others report
    (Post 2018, https://arxiv.org/abs/1804.08771); chrF as in Popovic 2015, https://aclanthology.org/W15-3049.

    Args:
        hypotheses: the translations, as raw text.
        references: one of each, as raw text.
        sources: what was translated.

    Returns:
        Plain values: BLEU and chrF of 0 to 100 with sacreBLEU's signatures, the share of exact matches (white space
        aside), the length of the translations over that of the references, and for each range of source words that
        occurs the number of examples, their BLEU and their exact matches.

    Raises:
        UserError: where there is nothing to measure.
    """
    from sacrebleu.metrics import BLEU, CHRF

    if not hypotheses:
        raise UserError("there are no translations to measure; the data set is empty")
    # force: that a text looks tokenised is no reason for a warning, since it is the data that decides it.
    bleu, chrf = BLEU(force=True), CHRF()
    # strict: sacreBLEU itself drops what is left over of the longer side.
    rows = list(zip(hypotheses, references, sources, strict=True))
    bleu_score = bleu.corpus_score(hypotheses, [references])
    chrf_score = chrf.corpus_score(hypotheses, [references])
    return {
        "examples": len(rows),
        "bleu": bleu_score.score,
        "chrf": chrf_score.score,
        "exact_match": _exact_match(rows),
        "length_ratio": float(bleu_score.ratio),
        "bleu_signature": str(bleu.get_signature()),
        "chrf_signature": str(chrf.get_signature()),
        "by_length": _by_length(rows, bleu),
    }


def _by_length(rows: list[tuple[str, str, str]], bleu: BLEU) -> list[dict[str, Any]]:
    table = []
    shortest = 0
    for longest in (*LONGEST_OF_BUCKETS, None):
        some = [row for row in rows if shortest <= len(row[2].split()) <= (longest or float("inf"))]
        if some:
            score = bleu.corpus_score([row[0] for row in some], [[row[1] for row in some]]).score
            bucket = {"shortest": shortest, "longest": longest, "examples": len(some)}
            table.append(bucket | {"bleu": score, "exact_match": _exact_match(some)})
        shortest = (longest or 0) + 1
    return table


def _exact_match(rows: list[tuple[str, str, str]]) -> float:
    return sum(row[0].split() == row[1].split() for row in rows) / len(rows)


def report_lines(report: dict[str, Any]) -> list[str]:
    """The report as a table for the terminal."""
    lines = [
        f"{'data':<26} {report['data']} ({report['split']}, {report['examples']} examples)",
        f"{'BLEU':<26} {report['bleu']:.2f}   {report['bleu_signature']}",
        f"{'chrF':<26} {report['chrf']:.2f}   {report['chrf_signature']}",
        f"{'exact match':<26} {report['exact_match']:.4f}",
        f"{'length ratio':<26} {report['length_ratio']:.4f}",
        f"{'words of the source':<26} {'examples':>10}{'BLEU':>10}{'exact match':>14}",
    ]
    for row in report["by_length"]:
        words = f"{row['shortest']} to {row['longest']}" if row["longest"] else f"{row['shortest']} and more"
        lines.append(f"{words:<26} {row['examples']:>10}{row['bleu']:>10.2f}{row['exact_match']:>14.4f}")
    return lines
