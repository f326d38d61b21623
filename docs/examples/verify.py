#!/usr/bin/env python3
"""Tells whether a webhook of TinyDevCRM is genuine. It reads the request, headers, an empty line and the body, and ends with 0,
or with 1 and the reason. In a server, verify is all that is needed.

    WEBHOOK_SECRET=whsec_… python3 docs/examples/verify.py <request
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import sys
import time


class Untrusted(Exception):
    """Why a request is not to be trusted."""


def verify(secret: str, headers: dict[str, str], body: bytes) -> None:
    """Raises Untrusted. headers have lower-case names; body is what came, byte for byte, not what a parser made of it."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if len(key) < 24:
        raise Untrusted("the secret is none")
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not re.fullmatch("[0-9]{1,12}", timestamp) or abs(time.time() - int(timestamp)) > 300:
        raise Untrusted("the timestamp is missing, or more than five minutes away")
    mac = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    want = b"v1," + base64.b64encode(mac.digest())
    if not any(hmac.compare_digest(signature.encode(), want) for signature in headers.get("webhook-signature", "").split()):
        raise Untrusted("no signature is by this secret")


def main() -> None:
    headers = {}
    while line := sys.stdin.buffer.readline().rstrip(b"\r\n"):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    try:
        verify(os.environ.get("WEBHOOK_SECRET", ""), headers, sys.stdin.buffer.read())
    except Untrusted as reason:
        sys.exit(str(reason))


if __name__ == "__main__":
    main()
