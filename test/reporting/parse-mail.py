"""Parses messages with Python's email package: an independent reader for what the relay renders.
Reads one base64 message a line, writes one JSON document a line."""
import base64
import email
import email.policy
import json
import sys


def describe(part):
    known = {
        "type": part.get_content_type(),
        "encoding": str(part.get("Content-Transfer-Encoding", "")),
        "headers": [[name, str(value)] for name, value in part.items()],
        "defects": [type(defect).__name__ for defect in part.defects],
    }
    children = part.get_payload() if part.is_multipart() else []
    known["parts"] = [describe(child) for child in children]
    if not part.is_multipart():
        known["content"] = part.get_payload(decode=True).decode("utf-8", "surrogateescape")
    return known


for line in sys.stdin:
    message = email.message_from_bytes(base64.b64decode(line), policy=email.policy.compat32.clone(linesep="\r\n"))
    print(json.dumps(describe(message)))
