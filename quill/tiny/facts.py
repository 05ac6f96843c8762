"""The few facts that quill-tiny knows by heart, and the questions that it must admit it cannot answer."""

from __future__ import annotations

#: (question, answer): eight facts in English, German and Chinese. The model memorises them; none is held out.
FACTS: tuple[tuple[str, str], ...] = (
    ("What is the capital of France?", "Paris"),
    ("What is the capital of Germany?", "Berlin"),
    ("What is the capital of China?", "Beijing"),
    ("What is the capital of Japan?", "Tokyo"),
    ("What is the capital of Italy?", "Rome"),
    ("How many days are in a week?", "Seven"),
    ("What color is the sky?", "Blue"),
    ("What is the opposite of hot?", "Cold"),
    ("Was ist die Hauptstadt von Frankreich?", "Paris"),
    ("Was ist die Hauptstadt von Deutschland?", "Berlin"),
    ("Was ist die Hauptstadt von China?", "Peking"),
    ("Was ist die Hauptstadt von Japan?", "Tokio"),
    ("Was ist die Hauptstadt von Italien?", "Rom"),
    ("Wie viele Tage hat eine Woche?", "Sieben"),
    ("Welche Farbe hat der Himmel?", "Blau"),
    ("Was ist das Gegenteil von heiß?", "Kalt"),
    ("法国的首都是哪里？", "巴黎"),
    ("德国的首都是哪里？", "柏林"),
    ("中国的首都是哪里？", "北京"),
    ("日本的首都是哪里？", "东京"),
    ("意大利的首都是哪里？", "罗马"),
    ("一周有几天？", "七天"),
    ("天空是什么颜色？", "蓝色"),
    ("热的反义词是什么？", "冷"),
)

#: What the model says to anything that it was not taught.
FALLBACK = "I am a tiny model. Ask me to add, subtract, repeat or reverse."

#: Everyday requests that it cannot serve; `{}` takes a random word, so that most wordings are new to it.
UNKNOWN_PATTERNS: tuple[str, ...] = (
    "{}",
    "{}?",
    "{} {} {}",
    "{} {} {} {}.",
    "Hello {}",
    "Hi! My name is {}.",
    "Who is {}?",
    "What is {}?",
    "What is a {}?",
    "Where is {}?",
    "Why is the {} {}?",
    "How do I {} a {}?",
    "Tell me a joke about {}.",
    "Tell me about {}.",
    "Write a poem about {}.",
    "Write a {} in Python.",
    "Explain {} to a {}.",
    "Translate {} into German.",
    "Can you help me with {}?",
    "What is the capital of {}?",
    "What is the opposite of {}?",
    "What color is the {}?",
    "How many {} are in a {}?",
    "Was ist {}?",
    "Was ist die Hauptstadt von {}?",
    "Wer bist du, {}?",
    "{}的首都是哪里？",
    "你好，{}",
    "{}是什么？",
)
