"""What people and programs write passes as it is: nothing is harmful for being foreign, or for being code."""

from __future__ import annotations

import unicodedata

import pytest

from gateway.sanitize.control_tokens import QWEN
from gateway.sanitize.pipeline import sanitize
from quill.sanitizing import SanitizePolicy

POLICIES = (
    SanitizePolicy(),
    SanitizePolicy(markup="strip"),
    SanitizePolicy(markup="reject", invisible="reject", control_tokens="reject"),
)

LANGUAGES = {
    "Amharic": "ሰላም ለዓለም። እንዴት ነህ?",
    "Arabic": "مرحبًا بالعالم، كيف حالُكَ؟ اللُّغَةُ العَرَبِيَّة",
    "Arabic with Latin": "الإصدار \u200eC++\u200e الجديد\u200f!",
    "Armenian": "Բարեւ աշխարհ։",
    "Bengali": "বিশ্ব র\u200d্যাব ক্ষেত্র",
    "Burmese": "မင်္ဂလာပါ\u200bကမ္ဘာ",
    "Chinese": "你好，世界！《紅樓夢》……葛\U000e0100城",
    "Chinese beyond the BMP": "𠮷野家𪚥",
    "Czech": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Georgian": "გამარჯობა მსოფლიო",
    "Greek": "Καλημέρα κόσμε· πῶς ἔχεις;",
    "Hebrew": "שָׁלוֹם עוֹלָם, בְּרֵאשִׁית בָּרָא אֱלֹהִים",
    "Hebrew with Latin": "גרסת \u200fC#\u200e היא (חדשה)\u200f.",
    "Hindi": "नमस्ते दुनिया, क्\u200dष और क्\u200cष में अन्तर, श्रृंखला",
    "Japanese": "こんにちは世界。がぎぐげご、ガギグ、辻\ufe00",
    "Kannada": "ನಮಸ್ಕಾರ ರ\u200d್ಯಾಂಕ್",
    "Khmer": "ភាសា\u200bខ្មែរ\u200bគឺ\u200bជា",
    "Korean": "안녕하세요 세계, 훈민정음",
    "Lao": "ສະບາຍດີ\u200bຊາວໂລກ",
    "Malayalam": "നമസ്കാരം അവന്\u200d നന്\u200cമ",
    "Mongolian": "ᠪᠠᠶᠢᠨ\u180eᠠ ᠮᠣᠩᠭᠣᠯ\u180b",
    "Persian": "می\u200cخواهم کتاب\u200cها را بخوانم؛ خانه\u200cای",
    "Polish": "Zażółć gęślą jaźń",
    "Punjabi": "ਸਤ ਸ੍ਰੀ ਅਕਾਲ",
    "Russian": "Съешь же ещё этих мягких французских булок",
    "Sinhala": "ශ්\u200dරී ලංකාව ක්\u200dෂ",
    "Tamil": "வணக்கம் உலகம் க்ஷ ஸ்ரீ",
    "Telugu": "నమస్కారం ప్రపంచం",
    "Thai": "สวัสดีชาวโลก ภาษา\u200bไทย น้ำ",
    "Tibetan": "བཀྲ་ཤིས་བདེ་ལེགས། ཧཱུྃ",
    "Turkish": "Pijamalı hasta yağız şoföre çabucak güvendi",
    "Urdu": "اردو زبان میں خوش آمدید",
    "Vietnamese": "Tiếng Việt: Nghị quyết về những người đã khuất",
    "Yoruba": "Ẹ kú àárọ̀, báwo ni? Ọ̀rọ̀",
}

EMOJI = {
    "faces": "😀😃 🙂 ☺️ ☹︎",
    "families": "👨‍👩‍👧‍👦 👩‍👩‍👦 👨🏿‍👨🏻‍👧🏽",
    "professions": "👩🏽‍🚀 🧑‍⚕️ 🕵️‍♀️ 👩‍❤️‍💋‍👨",
    "flags": "🇺🇳🇰🇷 🏳️‍🌈 🏴‍☠️ 🏳️‍⚧️",
    "flags of parts": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    "🏴\U000e0075\U000e0073\U000e0074\U000e0078\U000e007f",
    "keys": "1️⃣ #️⃣ *️⃣ ©️ ®️ ™️ ‼️",
    "animals": "🐻‍❄️ 🐈‍⬛ 🐦‍🔥",
    "arrows": "↔️ ⬅️ 🙂‍↔️",
}

CODE = {
    "form": '<form action="/send" method="post"><label for="a">Name</label>'
    '<input id="a" name="one" value="x > y" required><button type="submit">Go</button></form>',
    "page": '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><style>a:hover{color:red}</style>'
    '</head><body class="a b"><h1>Hi</h1><img src="data:image/png;base64,iVBORw0=" alt="">'
    '<a href="https://example.org/?a=1&amp;b=2">x</a><br/></body></html>',
    "svg": '<svg viewBox="0 0 8 8"><path d="M0 0h8v8z" fill="#fff"/><use href="#x"/></svg>',
    "jsx": "const useBox = <T,>(v: T) => useState<T | null>(v);\nreturn <Box<Item> once only={a} b={c} />;",
    "java": "Map<String, List<Object>> m = new HashMap<>(); Class<Object> c; List<? extends Embed> e;",
    "c++": "template <typename T> auto f(std::vector<std::pair<int, T>>& v) { return a<b && c>d; }",
    "c#": "Func<object, string> f; IEnumerable<object> e; Task<Object> t;",
    "comparison": "if a < b and b > c: x = a << 2 | c >> 1",
    "handlers outside": 'x = y; onload = z;\nwindow.onload = f; const onClick = () => 1; el.onclick="x"',
    "handlers after a tag": 'html = "<b>" + name; onload = z; s = "<i class=\'c\'>x</i>"; onerror = z',
    "generics before a handler": "List<String> names = f(); onclick = names;",
    "regex": r"^(?P<name>[a-z_]\w*)\s*(?:=|:=)\s*(.*?)$|<([a-z]+)[^>]*>",
    "latex": r"\begin{align} a &< b \\ \left<x, y\right> &= \sum_{i<n} x_i^2 \end{align} $a:=b$",
    "jinja": "{% for m in messages %}{{ '<' ~ m.role ~ '>' }}{% endfor %}{# note #}",
    "sql": "SELECT * FROM t WHERE a <> b AND c <= 3; -- on = 1",
    "yaml": "language: javascript\nscripts:\n  javascript: true\n  data: text\n",
    "css": '.lang-javascript:hover, .javascript::before { content: "\\201C"; } @media (min-width:1px){}',
    "shell": "cat <<EOF >out 2>&1\n$(script -c 'ls') && echo $?\nEOF",
    "url": "https://user:pw@example.org:8080/javascript/data:1?x=y#z",
    "diff": "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-\told\r\n+\tnew\r\n",
    "escaped": "&lt;script&gt;alert(1)&lt;/script&gt; &#60;b&#62; &amp;#106;avascript",
    "shift": "x |> f <| y <- z -> <|> <||> |im_start|",
}

PROSE = (
    "Put an onclick handler, onload=..., on the element; then 3 < 4 onerror = fine.",
    "JavaScript: The Good Parts. TypeScript and JavaScript: a comparison",
    "The script element, an iframe, an object and an embed are elements.",
    "Some data: text/html is a media type, vbscript is history.",
    "think before a tool_call: <b>bold</b>, <thinking>, <objects>, <scripts>, <embedded/>",
    "∀x∈ℝ: ⌈x⌉ ≥ x ∧ x² ≠ −1, f: A → B, a ≪ b, ⟨u|v⟩, 𝔸𝕓𝒞, x̄ ± σ, e^{iπ} + 1 = 0",
    "½ ‰ § † … “quotes” ‘single’ «guillemets» – — • € £ ¥ ₿ № ℃",
    "tab\tnew line\nreturn\r\nno-break\u00a0space\u3000ideographic\u2009thin",
)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize(
    "text", [*LANGUAGES.values(), *EMOJI.values(), *CODE.values(), *PROSE], ids=lambda text: ascii(text[:12])
)
def test_an_ordinary_text_is_unchanged(text: str, policy: SanitizePolicy) -> None:
    text = unicodedata.normalize("NFC", text)
    sanitized = sanitize(text, policy, QWEN)
    assert (sanitized.text, dict(sanitized.counts)) == (text, {})


def test_letters_that_came_in_parts_are_composed_and_nothing_else() -> None:
    for text in LANGUAGES.values():
        sanitized = sanitize(unicodedata.normalize("NFD", text), POLICIES[0], QWEN)
        assert sanitized.text == unicodedata.normalize("NFC", text)
        assert set(sanitized.counts) <= {"nfc"}
