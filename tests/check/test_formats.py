"""What programs are told of judgements: JSON, JUnit XML, SARIF and GitHub's annotations."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
import sarif_pydantic

from normgraph.check import Contract, Judgement, examine, judge
from normgraph.check.contract import Culprit, Finding, added, broken, parse_expectations
from normgraph.check.formats import FORMATS
from normgraph.check.quantities import QUANTITIES
from normgraph.cli.files import written_report
from normgraph.cli.options import check as options
from tests.check import sarif
from tests.commands import BERT, NEAR_MISSES
from tests.samples import FOLDER

OWN = FOLDER.parent / "normgraph" / "check.schema.json"
ODD = "odd, 100%: name\x07.onnx"


@pytest.fixture(scope="module")
def judgements() -> list[Judgement]:
    """One that passes, one that fails in two ways, one that is worth a note, and one that is broken."""
    contract = Contract(parse_expectations("near_misses=0, decomposed=0", ""), ("near-miss",))
    fine = judge(examine(BERT), Contract(parse_expectations("decomposed=5", "")))
    many = tuple(Culprit(f"layer.{number}", "a reason") for number in range(20))
    return [
        fine,
        added(judge(examine(NEAR_MISSES), contract), Finding("baseline", "as good as before", "worse\nnow", many)),
        added(fine, Finding("baseline", "as good as before", note="better")),
        broken(ODD, "the file is truncated: 50% of it"),
    ]


#: File names, and names and messages within models, that a form may trip over.
ODD_TEXTS = [
    pytest.param("a,b%3A:c\nd.onnx", id="what GitHub escapes"),
    pytest.param("::error::x\r\n::warning::y", id="a command of GitHub's"),
    pytest.param("\x00\x1b[31m\ufffe", id="what XML can't hold"),
    pytest.param("]]>&<\"'</failure>", id="what XML escapes"),
    pytest.param("\udcff.onnx", id="bytes that are no UTF-8"),
    pytest.param("\ud83d", id="half a character"),
    pytest.param("a\u2028b\u2029c\x85d", id="other ends of lines"),
    pytest.param("{0} [x](1) {a}", id="what SARIF takes for a placeholder"),
    pytest.param("dir//../a b#?.onnx", id="what URIs escape"),
    pytest.param("C:\\x\\y.onnx", id="a drive"),
    pytest.param("/absolute/ü.onnx", id="an absolute path"),
    pytest.param("s3://bucket/a b%20#x,y.onnx", id="a URL"),
    pytest.param("ünï/日本.onnx", id="letters of the world"),
    pytest.param("./a.onnx", id="a path that is also another's"),
    pytest.param("", id="nothing"),
]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_no_name_or_message_breaks_a_form(text: str, tmp_path: Path) -> None:
    findings = (
        Finding("readable", "the model can be read"),
        Finding("expect", f"n = 1 {text}", f"found {text}", (Culprit(text, text), Culprit("x", text))),
        Finding("baseline", f"as in {text}", note=f"better\n{text}"),
    )
    judged = [Judgement(text, findings), broken(text, text), broken("a.onnx", text)]
    told = {}
    for name, form in FORMATS.items():
        with written_report(tmp_path / name) as texts:  # as the command writes it
            texts.append(form(judged))
        told[name] = (tmp_path / name).read_bytes().decode("utf-8")
    document = json.loads(told["json"])
    jsonschema.validate(document, json.loads(OWN.read_text("utf-8")))
    assert document["models"][0]["model"] == text
    assert document["models"][0]["findings"][1]["failure"] == f"found {text}"
    log = json.loads(told["sarif"])
    jsonschema.validate(log, sarif.LOG)
    message = log["runs"][0]["results"][0]["message"]["text"]
    assert message.startswith(f"n = 1 {text}: found {text}\n".replace("{", "{{").replace("}", "}}"))
    root = ElementTree.fromstring(told["junit"])
    assert len(list(root.iter("testcase"))) == 5
    lines = re.split(r"\r|\n", told["github"].removesuffix("\n"))  # as a runner reads them
    assert len(lines) == 4
    for line in lines:
        assert re.fullmatch(r"::(error|notice) file=[^:,]*,title=[^:,]*::.*", line, re.DOTALL)
    found = re.fullmatch(r"::error file=(.*),title=(.*)::(.*)", lines[0], re.DOTALL)
    assert found is not None
    if "\\" not in text and text.isprintable():
        decoded = [re.sub("%([0-9A-F]{2})", lambda code: chr(int(code[1], 16)), part) for part in found.groups()]
        assert decoded == [text, f"normgraph: n = 1 {text}", f"found {text}\n{text}: {text}\nx: {text}"]


def test_the_command_line_knows_every_form() -> None:
    assert ("text", *FORMATS) == options.FORMATS


def test_json_is_as_its_schema_says(judgements: list[Judgement]) -> None:
    told = json.loads(FORMATS["json"](judgements))
    schema = json.loads(OWN.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(told, schema)
    assert [model["status"] for model in told["models"]] == ["passed", "failed", "passed", "broken"]
    assert not told["passed"]
    assert told["models"][0]["quantities"]["decomposed"] == 5
    assert set(told["models"][0]["quantities"]) == set(QUANTITIES)


def test_sarif_is_as_the_standard_says(judgements: list[Judgement]) -> None:
    told = json.loads(FORMATS["sarif"](judgements))
    jsonschema.Draft202012Validator.check_schema(sarif.LOG)
    jsonschema.validate(told, sarif.LOG)
    assert sarif_pydantic.Sarif.model_validate(told).runs[0].tool.driver.name == "normgraph"
    (run,) = told["runs"]
    ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert all(ids[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    assert [result["ruleId"].partition("/")[2] for result in run["results"]] == [
        "expect",
        "expect",
        "forbid",
        "baseline",
        "readable",
    ]
    uris = [result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"]]
    assert uris[0] == NEAR_MISSES.as_uri()
    assert uris[-1] == "odd%2C%20100%25%3A%20name%07.onnx"
    assert len({result["partialFingerprints"]["condition/v1"] for result in run["results"]}) == 5


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        pytest.param(("levl",), "error", "levl", id="misspelt"),
        pytest.param(("level",), "fatal", "fatal", id="unknown-level"),
        pytest.param(("message",), {}, "text", id="no-message"),
        pytest.param(("ruleIndex",), "0", "integer", id="index-as-text"),
        pytest.param(("locations", 0, "physicalLocation", "artifactLocation", "uri"), "a b.onnx", "a b", id="uri"),
        pytest.param(("locations", 0, "physicalLocation", "region", "startLine"), 0, "minimum", id="line-zero"),
    ],
)
def test_what_isnt_sarif_is_noticed(place: tuple[str | int, ...], value: object, complaint: str) -> None:
    told = json.loads(FORMATS["sarif"]([broken("a.onnx", "why")]))
    found = told["runs"][0]["results"][0]
    for step in place[:-1]:
        found = found[step]
    found[place[-1]] = value
    with pytest.raises(jsonschema.ValidationError, match=complaint):
        jsonschema.validate(told, sarif.LOG)


def test_junit_has_a_case_for_each_condition(judgements: list[Judgement]) -> None:
    root = ElementTree.fromstring(FORMATS["junit"](judgements))
    assert root.tag == "testsuites"
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("11", "4", "1")
    suites = root.findall("testsuite")
    assert [suite.get("failures") for suite in suites] == ["0", "4", "0", "0"]
    assert [len(suite.findall("testcase")) for suite in suites] == [2, 5, 3, 1]
    error = suites[-1].find("testcase/error")
    assert error is not None
    assert error.get("message") == "the file is truncated: 50% of it"
    assert suites[-1].get("name") == ODD.replace("\x07", "\ufffd")
    failure = suites[1].findall("testcase/failure")[-1]
    assert (failure.text or "").splitlines()[0] == "layer.0: a reason"


def test_github_is_told_in_one_line_each(judgements: list[Judgement]) -> None:
    lines = FORMATS["github"](judgements).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error"] * 4 + ["::notice", "::error"]
    assert lines[3].endswith("worse%0Anow" + "".join(f"%0Alayer.{n}: a reason" for n in range(12)) + "%0Aand 8 more")
    assert "file=odd%2C 100%25%3A name\x07.onnx,title=normgraph%3A the model can be read::the file is" in lines[-1]
    assert lines[-1].endswith("50%25 of it")
    assert FORMATS["github"](judgements[:1]) == ""
