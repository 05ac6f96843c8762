"""How long texts of a megabyte take to clean: `python -m benchmarks.sanitize [--policy escape] [--times 5]`.

Attacks of every kind, each repeated over and over, and ordinary texts beside them; the best of so many times,
as a machine is at times slow and never fast. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time

from gateway.sanitize.control_tokens import QWEN
from gateway.sanitize.pipeline import sanitize
from quill.sanitizing import SanitizePolicy

TEXT_BYTES = 2**20
BOUND_MS = 50

ATTACKS = (
    *(
        "<",
        "</",
        "<|",
        "<a ",
        "<a b=",
        '<a b="',
        "<a b=x>",
        "<a' b=\"><a\" b='>",
        "<é ",
        "&",
        "&lt;",
        "=",
        '="',
    ),
    *("<scr", "<script>", "</script>", "<script ", "<object ", "<scr<script>ipt>", "é<script>", "😀<script>"),
    *(" onload=x", "<a onload=x>", "<svg/onload=x ", "<svg on<b onload=x>load=y>", "<a b=c> onload=x "),
    *(
        "javascript:",
        "javascript",
        "javascript :",
        "vbscript:",
        "data:",
        "data:text/html,",
        "jdv",
        "d ",
        "d\t",
    ),
    *("&#106;", "&#x6a;", "&#0", "&#1055;", "&Tab;", "j&Tab;", "javascript&colon;", "java&Tab;script:"),
    *("<a href=javascript: x>", "<é onload=javascript:>", "[x](javascript:y)", "<a href='data: text/html'>"),
    *("<|im_start|>", "<|im_end|>", "<think>", "<|im_", "</tool_call>", "< |im_start|>"),
    *(
        "\0",
        "a\0",
        "é\0",
        "\u200b",
        "a\u200b",
        "a\u200d",
        "क\u200d",
        "م\u200c",
        "👩\u200d",
        "a\u2060",
        "\ufeff",
    ),
    *("\ufe0f", "a\ufe0f", "❤\ufe0f", "葛\U000e0100", "𐀀\ufe0f", "\U000e0041", "🏴\U000e0067", "a\U000e0041"),
    *("\u202e", "a\u202e", "א\u200e\u200e", "\ufdd0", "a\ufdd0", "\U0001fffe"),
    *(
        "\u0301",
        "\u0301\u0323",
        "e\u0301",
        "e" + 9 * "\u0301",
        "a\u0334",
        "\U0001d165",
        "a" + 9 * "\U0001d165",
    ),
    *(
        "\u0958",
        "\u0958\u0301",
        "\u0344",
        "\uf900",
        "\U0002f800",
        "\U0001d160",
        "\U0001d160\u0301",
        "ᄀ\u1161",
    ),
)
ORDINARY = {
    "prose": "The day was dark, and so on and on: it rained. ",
    "page": '<p class="a">See <a href="https://example.org/?a=1&amp;b=2">this: <b>it</b></a> &#8212;</p>\n',
    "code": "for (int i = 0; i < n && a[i] >> 1; i++) { data[i] = f(i, 'x'); } // on = 1\n",
    "json": '{"date": "2026-01-01", "data": [1, 2, 3], "javascript": null},\n',
    "French": "Où est la bibliothèque ? Déjà là : « voilà ». ",
    "Russian": "Съешь же ещё этих мягких французских булок: раз. ",
    "Chinese": "你好，世界：写一首关于大海的诗。",
    "Hindi": "नमस्ते दुनिया, क्\u200dष में अन्तर, श्रृंखला। ",
    "Khmer": "ភាសា\u200bខ្មែរ\u200bគឺ\u200bជា ",
    "pictures": "👨‍👩‍👧‍👦 👩🏽‍🚀 ☺️ 🏳️‍🌈 ",
}


def least_ms(piece: str, policy: SanitizePolicy, times: int) -> float:
    text = piece * (TEXT_BYTES // len(piece.encode()))
    took_ms = []
    for _ in range(times):
        began_s = time.perf_counter()
        sanitize(text, policy, QWEN)
        took_ms.append((time.perf_counter() - began_s) * 1000)
    return min(took_ms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", choices=["escape", "strip", "reject", "keep"], default="escape")
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    policy = SanitizePolicy(markup=options.policy)
    attacks = {piece: least_ms(piece, policy, options.times) for piece in ATTACKS}
    ordinary = {name: least_ms(piece, policy, options.times) for name, piece in ORDINARY.items()}
    for piece, took_ms in sorted(attacks.items(), key=lambda item: item[1], reverse=True)[:20]:
        print(f"{took_ms:7.1f} ms  {piece!a}")
    for name, took_ms in ordinary.items():
        print(f"{took_ms:7.1f} ms  {name}")
    print(
        json.dumps(
            {
                "benchmark": "sanitize",
                "policy": options.policy,
                "attacks": len(attacks),
                "worst_ms": round(max(attacks.values()), 1),
                "over_bound_ms": {
                    ascii(piece): round(took_ms, 1)
                    for piece, took_ms in attacks.items()
                    if took_ms > BOUND_MS
                },
                "bound_ms": BOUND_MS,
                "ordinary_ms": {name: round(took_ms, 1) for name, took_ms in ordinary.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
