"""What SARIF 2.1.0 (OASIS Standard, 2020) allows in the objects that normgraph writes, as a JSON Schema.

Each object names the section of the standard that defines it.  Properties that normgraph does not write are left out,
and no others than those here are taken: one that is added has to be looked up first.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
#: A reference by RFC 3986, with its other characters escaped (section 3.4.3).
URI: Schema = {"type": "string", "pattern": r"^([A-Za-z][A-Za-z0-9+.-]*:)?[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*$"}
LEVEL: Schema = {"enum": ["none", "note", "warning", "error"]}
INDEX: Schema = {"type": "integer", "minimum": -1}


def closed(required: str, **properties: Schema) -> Schema:
    """An object of these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def listed(items: Schema, *, least: int = 0, unique: bool = False) -> Schema:
    return {"type": "array", "items": items, "minItems": least, "uniqueItems": unique}


MESSAGE = closed("text", text=TEXT)  # 3.11; the text or an id is required
PLACE_OF_ARTIFACT = closed("uri", uri=URI)  # 3.4
REGION = closed("startLine", startLine={"type": "integer", "minimum": 1})  # 3.30
PHYSICAL = closed("artifactLocation", artifactLocation=PLACE_OF_ARTIFACT, region=REGION)  # 3.29
LOGICAL = closed("", fullyQualifiedName=TEXT, kind=TEXT)  # 3.33
PLACE = closed("", physicalLocation=PHYSICAL, logicalLocations=listed(LOGICAL, unique=True))  # 3.28
FINGERPRINTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}  # 3.27.17
RESULT = closed(  # 3.27
    "message",
    ruleId=TEXT,
    ruleIndex=INDEX,
    level=LEVEL,
    message=MESSAGE,
    locations=listed(PLACE),
    partialFingerprints=FINGERPRINTS,
)
RULE = closed(  # 3.49
    "id",
    id=TEXT,
    name=TEXT,
    shortDescription=MESSAGE,
    defaultConfiguration=closed("", level=LEVEL),  # 3.50
)
DRIVER = closed("name", name=TEXT, semanticVersion=TEXT, rules=listed(RULE, unique=True))  # 3.19
RUN = closed(  # 3.14
    "tool",
    tool=closed("driver", driver=DRIVER),  # 3.18
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    artifacts=listed(closed("", location=PLACE_OF_ARTIFACT), unique=True),  # 3.24
    invocations=listed(closed("executionSuccessful", executionSuccessful={"type": "boolean"})),  # 3.20
    results=listed(RESULT),
)
LOG = closed(  # 3.13
    "version runs",
    **{"$schema": {"type": "string", "format": "uri"}},
    version={"const": "2.1.0"},
    runs=listed(RUN),
)
