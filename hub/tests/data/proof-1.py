"""Writes proof-1.json by the tables in hub/src/proof/mod.rs, domain/src/journal/mod.rs and sync/src/frame.rs, and by nothing of Weir's
own code: python3 proof-1.py > proof-1.json. Needs the package `cryptography`."""

import base64
import hashlib
import json
import uuid

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

BOX = uuid.UUID("01920000-0000-7000-8000-000000000007")
SUBMISSION = uuid.UUID("01930000-0000-7000-8000-00000000002a")
EPOCH, AT = 0xFEDCBA9876543210, 1_700_000_000_000
DEVICE, HUB = (Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32) for seed in (1, 2))


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out + bytes([n]))


def zigzag(n):
    return varint(n << 1)  # of numbers that are not negative


def text(word):
    return varint(len(word)) + word.encode()


def record(seq, kind, actor, subject, side, body):
    place = varint(1) + BOX.bytes + varint(EPOCH) + bytes([1]) + varint(seq) + zigzag(AT + seq)
    side = b"\0" if side is None else b"\1" + side
    return place + varint(kind) + bytes([actor]) + subject + side + varint(len(body)) + body


def link(previous, entry):
    return hashlib.sha256(b"\0" + previous + entry).digest()


def public(key):
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


of_submission = b"\1" + varint(16) + SUBMISSION.bytes
# tenant, number 1 in place of 0, Rejected, complete, High, Reject; reasons; categories: Sexual, High, 970; policy; models; no change of standing.
decided = text("shop") + b"\1" + b"\1\0" + b"\1\1\3\3" + b"\1" + text("nsfw") + b"\1" + b"\1\3" + varint(970)
decided += text("starter@1") + b"\1" + text("nsfw@2") + b"\0"
side = hashlib.sha256(bytes(32) + b"a caption").digest()
before = hashlib.sha256(b"what was before").digest()
entry = record(40, 4, 1, of_submission, side, decided)
# A flag was set; the subject is the box.
following = [record(seq, 10, 0, b"\0", None, text("movies") + b"\1") for seq in (41, 42)]
chain = link(before, entry)
for one in following:
    chain = link(chain, one)
heads = b"\2" + b"\0\0" + bytes(32) + b"\1" + varint(42) + chain
checkpoint = varint(16) + BOX.bytes + varint(EPOCH) + zigzag(AT + 100) + heads
receipt_at = AT + 2_000
receipt = b"weir checkpoint receipt 1\0" + hashlib.sha256(checkpoint).digest() + receipt_at.to_bytes(8, "little")
b64 = lambda data: base64.b64encode(data).decode()
print(json.dumps({
    "format": "weir-proof/1",
    "box": str(BOX),
    "epoch": f"{EPOCH:016x}",
    "lane": "bulk",
    "seq": 40,
    "previous": before.hex(),
    "record": b64(entry),
    "following": [b64(one) for one in following],
    "checkpoint": {"bytes": b64(checkpoint), "signature": b64(DEVICE.sign(b"weir journal checkpoint 1\0" + checkpoint))},
    "device_key": public(DEVICE).hex(),
    "receipt": {"at_ms": receipt_at, "signature": b64(HUB.sign(receipt))},
    "hub_key": public(HUB).hex(),
}, indent=2))
