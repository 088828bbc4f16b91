"""Valid input made invalid by chance, the same for the same seed."""

import random

PIECES = (
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xed\xa0\x80",  # half of a surrogate pair
    "ı\u202e\U0001f4a5é́".encode(),
    b'"',
    b"'",
    b"\r",
    b"\n",
    b"\t",
    b",",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"true",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-1",
    b"9" * 5000,
    b"[" * 3000,
    b'{"a":' * 3000,
    b"{}",
    b"[]",
    b"../../",
)
VALUES = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        2**31,
        2**63,
        10**400,
        float("nan"),
        float("inf"),
        "",
        "x",
        "\ud800",
        "\0",
        "é" * 500,
    ),
    *([], [[]], [None], ["x"], {}, {"b64": "A"}, {"x": {"x": {}}}, [[1, 2], [3]]),
)


def mutated(content: bytes, generator: random.Random, pieces: tuple[bytes, ...] = PIECES) -> bytes:
    """Bytes with a few bits flipped, parts lost, doubled or put elsewhere, or odd pieces set in."""
    body = bytearray(content)
    for _ in range(generator.choice([1, 1, 2, 5])):
        begin = generator.randrange(len(body) + 1)
        end = min(len(body), begin + generator.choice([0, 1, 1, 4, 40, len(body)]))
        kind = generator.randrange(6)
        if kind < 2 and begin < len(body):
            body[begin] ^= 1 << generator.randrange(8)
        elif kind == 2:
            body[begin:end] = generator.choice(pieces)
        elif kind == 3:
            body[begin:end] = generator.randbytes(end - begin if end - begin < 100 else 3)
        elif kind == 4:
            body[begin:begin] = body[begin:end][:2000]
        else:
            del body[begin:end]
    return bytes(body)


def changed(document, generator: random.Random, values=VALUES):
    """A JSON document with one value, at any depth, made another, taken away, or wrapped."""
    if isinstance(document, dict | list) and document and generator.random() < 0.85:
        items = dict(document) if isinstance(document, dict) else dict(enumerate(document))
        key = generator.choice(list(items))
        if generator.random() < 0.15:
            del items[key]
        elif generator.random() < 0.1:
            items[key if isinstance(document, list) else "surprise"] = generator.choice(values)
        else:
            items[key] = changed(items[key], generator, values)
        return items if isinstance(document, dict) else list(items.values())
    return generator.choice([*values, [document], {"x": document}, str(document)[:100]])
