"""Reads a delivery status notification from standard input with Python's email package.

Prints one `name: value` line for each fact the tests ask for, and a `defect:` line for each
thing the parser had to forgive, in any part.
"""

import email
import email.policy
import sys


def print_fields(block):
    for name, value in block.items():
        print(f"{name.lower()}: {' '.join(str(value).split())}")


def main():
    message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
    for part in message.walk():
        for defect in part.defects:
            print(f"defect: {part.get_content_type()}: {defect!r}")
        for name, value in part.items():
            for defect in getattr(value, "defects", ()):
                print(f"defect: header {name}: {defect!r}")
    print(f"report-type: {message.get_param('report-type')}")
    print(f"auto-submitted: {message['auto-submitted']}")
    print(f"from: {message['from']}")
    print(f"to: {message['to']}")
    for part in message.iter_parts():
        print(f"part: {part.get_content_type()}")
        if part.get_content_type() == "message/delivery-status":
            for block in part.get_payload():
                print_fields(block)
        if part.get_content_type() in ("text/rfc822-headers", "message/rfc822"):
            original = part.get_payload()
            text = original if isinstance(original, str) else original[0].as_string()
            for line in text.splitlines():
                print(f"original: {line}")


main()
