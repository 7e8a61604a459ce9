"""Judgements as JUnit XML: a suite for each model, a case for each condition.

The form has no standard; this is the subset that Jenkins, GitLab and GitHub's reporters read alike: ``testsuites``,
``testsuite``, ``testcase`` with ``failure`` or ``error``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from normgraph.check.contract import Finding, Judgement

#: What XML 1.0 can't hold, not even escaped.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def written(judgements: Sequence[Judgement]) -> str:
    """Judgements as an XML document."""
    root = ElementTree.Element("testsuites", _counts(judgements), name="normgraph check")
    for judgement in judgements:
        suite = ElementTree.SubElement(root, "testsuite", _counts([judgement]), name=_text(judgement.model))
        for finding in judgement.findings:
            _case(suite, judgement, finding)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _case(suite: ElementTree.Element, judgement: Judgement, finding: Finding) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=_text(judgement.model),
        name=_text(finding.condition),
        file=_text(judgement.model),
    )
    if finding.failure is None:
        return
    kind = "failure" if finding.judged else "error"
    told = ElementTree.SubElement(case, kind, type=finding.rule, message=_text(finding.failure))
    told.text = _text("\n".join(f"{culprit.site}: {culprit.reason}" for culprit in finding.culprits))


def _counts(judgements: Sequence[Judgement]) -> dict[str, str]:
    judged = [
        finding.judged for judgement in judgements for finding in judgement.findings if finding.failure is not None
    ]
    tests = sum(len(judgement.findings) for judgement in judgements)
    return {"tests": str(tests), "failures": str(sum(judged)), "errors": str(len(judged) - sum(judged))}


def _text(text: str) -> str:
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)
