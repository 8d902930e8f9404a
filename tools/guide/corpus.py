"""What the Guide is taught: every fact in every wording, and honest refusals for the rest.

A network this small knows no English beyond what it meets here. It can only answer well if every likely
wording was met in some form, so each fact of facts.txt carries patterns that unfold into hundreds of
wordings, and each wording is then bent the way people type: capitals, missing punctuation, slips of the
finger. The words around the facts are in phrases.txt. Held-out questions (heldout.txt) are never drawn, so
the score of evaluate.py is about wordings the network has not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import TypeAlias

HERE = Path(__file__).resolve().parent
Turn = tuple[str, str]
"""A role (system, user or assistant) and what it says."""
Tree: TypeAlias = "tuple[str | tuple[Tree, ...], ...]"
"""A parsed pattern: a sequence of fixed texts and of choices between patterns."""

NO_MORE = (
    "That is all I know about it. Have a look at the page itself, or ask me something else "
    "about GenAI Desktop."
)
MORE_ALONE = "Gladly: ask me about models, chatting, images, engines or the command line of GenAI Desktop."


@dataclass
class Section:
    """One section of phrases.txt."""

    lines: list[str] = field(default_factory=list)
    weight: int = 1
    answer: str = ""

    def pattern(self) -> str:
        """All lines as one choice."""
        return "(" + "|".join(self.lines) + ")"

    def words(self) -> list[str]:
        """The choices of a section that holds plain words only."""
        return "|".join(self.lines).split("|")


@dataclass
class Intent:
    """One fact: the ways to ask for it, its answer, and what to say when asked for more."""

    name: str
    weight: int = 1
    questions: list[str] = field(default_factory=list)
    answer: str = ""
    more: str = ""


@cache
def sections() -> dict[str, Section]:
    """Read phrases.txt."""
    found: dict[str, Section] = {}
    current = Section()
    for line in (HERE / "phrases.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("@"):
            name, _, weight = line[2:].partition(" ")
            current = found[name] = Section(weight=int(weight or 1))
        elif line.startswith("!"):
            current.answer = line[2:]
        elif line and not line.startswith("#"):
            current.lines.append(line)
    found["nonce"] = Section(invented(found["head"].words(), found["tail"].words()))
    return found


def invented(heads: list[str], tails: list[str], count: int = 600) -> list[str]:
    """Words that do not exist.

    They stand for all the names the Guide never met, which it must not take for something it knows.
    """
    rng = Random(7)
    sizes = [2, 3]
    return [
        "".join(rng.choice(heads) + rng.choice(tails) for _ in range(rng.choice(sizes))) for _ in range(count)
    ]


@cache
def unknown() -> tuple[Section, ...]:
    """The kinds of question the Guide cannot answer, each with its refusal."""
    return tuple(s for name, s in sections().items() if name.startswith("ask."))


@cache
def intents() -> tuple[Intent, ...]:
    """Read facts.txt; a block without a question or an answer is a mistake and is refused."""
    found: list[Intent] = []
    for line in (HERE / "facts.txt").read_text(encoding="utf-8").splitlines():
        mark, _, text = line.strip().partition(" ")
        if mark == "=":
            name, _, weight = text.partition(" ")
            found.append(Intent(name, int(weight or 1)))
        elif mark == "?":
            found[-1].questions.append(text)
        elif mark == "!":
            found[-1].answer = text
        elif mark == "+":
            found[-1].more = text
    for intent in found:
        if not intent.questions or not intent.answer:
            raise ValueError(f"facts.txt: {intent.name} lacks a question or an answer")
    return tuple(found)


def answers() -> dict[str, str]:
    """Every answer by its name, the refusals included: what evaluate.py compares with."""
    table = {i.name: i.answer for i in intents()}
    table |= {f"{i.name}+": i.more for i in intents() if i.more}
    table |= {name[4:]: s.answer for name, s in sections().items() if name.startswith("ask.")}
    return table | {"nomore": NO_MORE, "more": MORE_ALONE}


@cache
def held_out() -> tuple[tuple[tuple[str, ...], str], ...]:
    """Accepted intents and question of every line of heldout.txt that training must not see."""
    return tuple((names, question) for names, question, seen in asked() if not seen)


@cache
def asked() -> tuple[tuple[tuple[str, ...], str, bool], ...]:
    """Every line of heldout.txt: accepted intents, question, and whether training may see it (``*``)."""
    rows = []
    for line in (HERE / "heldout.txt").read_text(encoding="utf-8").splitlines():
        names, bar, question = line.partition("|")
        if bar and not line.startswith("#"):
            seen = names.startswith("*")
            rows.append((tuple(n.strip() for n in names.lstrip("*").split(",")), question.strip(), seen))
    return tuple(rows)


def plain(text: str) -> str:
    """Lower-case words only, to tell whether two questions are the same one."""
    return " ".join(re.findall(r"[a-z0-9_.+*/=-]+", text.lower()))


@cache
def forbidden() -> frozenset[str]:
    """The held-out questions in their plain form; of a dialogue only the last turn is asked for a score."""
    return frozenset(plain(question.split(" || ")[-1]) for _, question in held_out())


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def sequence(self, stops: str) -> Tree:
        """Read up to one of the characters in ``stops``."""
        items: list[str | tuple[Tree, ...]] = []
        fixed = ""
        while self.at < len(self.text) and self.text[self.at] not in stops:
            c = self.text[self.at]
            self.at += 1
            if c in "([":
                items += [fixed, self.choice(")" if c == "(" else "]")]
                fixed = ""
            elif c == "{":
                end = self.text.index("}", self.at)
                items += [fixed, (parse(sections()[self.text[self.at : end]].pattern()),)]
                fixed, self.at = "", end + 1
            elif c == "\\":
                fixed += self.text[self.at]
                self.at += 1
            else:
                fixed += c
        return (*items, fixed)

    def choice(self, close: str) -> tuple[Tree, ...]:
        """Read alternatives up to ``close``; square brackets leave them out half of the time."""
        options = [self.sequence("|" + close)]
        while self.text[self.at : self.at + 1] == "|":
            self.at += 1
            options.append(self.sequence("|" + close))
        if self.text[self.at : self.at + 1] != close:
            raise ValueError(f"a bracket is open in {self.text!r}")
        self.at += 1
        empty: list[Tree] = [()] * len(options) if close == "]" else []
        return tuple(options + empty)


@cache
def parse(pattern: str) -> Tree:
    """A pattern as nested tuples."""
    return _Parser(pattern).sequence("")


def unfold(rng: Random, tree: Tree) -> str:
    """One random wording of a parsed pattern."""
    return "".join(item if isinstance(item, str) else unfold(rng, rng.choice(item)) for item in tree)


def wording(rng: Random, pattern: str) -> str:
    """One random wording of a pattern, never a held-out one."""
    for _ in range(100):
        text = " ".join(unfold(rng, parse(pattern)).split())
        if text and plain(text) not in forbidden():
            return text
    raise ValueError(f"every wording of {pattern!r} is held out")


def slip(rng: Random, text: str) -> str:
    """One slip of the finger in one of the longer words."""
    words = text.split(" ")
    long = [i for i, w in enumerate(words) if len(w) > 3 and w.isalpha()]
    if not long:
        return text
    i = rng.choice(long)
    w = words[i]
    at = rng.randrange(1, len(w) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        w = w[:at] + w[at + 1 :]
    elif kind == 1:
        w = w[:at] + w[at] + w[at:]
    elif kind == 2:
        w = w[:at] + w[at + 1] + w[at] + w[at + 2 :]
    else:
        w = w[:at] + rng.choice("aeioustrnl") + w[at + 1 :]
    words[i] = w
    return " ".join(words)


@cache
def spelling() -> dict[str, str]:
    """How words with a capital are written by those who care."""
    return {word.lower(): word for word in sections()["spelling"].words()}


def typed(rng: Random, text: str) -> str:
    """The wording as a person might type it."""
    if rng.random() < 0.16:
        text = f"{rng.choice(sections()['opener'].words())} {text}"
    if len(text) > 12 and rng.random() < 0.1:
        closer = rng.choice(sections()["closer"].words())
        text += closer if closer.startswith(",") else f" {closer}"
    for _ in range(rng.choice((0, 0, 0, 0, 0, 0, 0, 1, 1, 2))):
        text = slip(rng, text)
    case = rng.random()
    if case < 0.07:
        text = text.upper()
    elif case < 0.65:
        if rng.random() < 0.8:
            text = " ".join(spelling().get(w, w) for w in text.split(" "))
        text = text[:1].upper() + text[1:]
        if rng.random() < 0.05:
            text = text.title()
    if text[-1].isalnum() or text[-1] in ")]":
        text += rng.choice(("?", "?", "?", "?", "?", "", "", "", "", "", ".", "!", "??", " ?", "...", "?!"))
    return text


@cache
def weighted() -> tuple[tuple[Intent, ...], tuple[float, ...]]:
    """Intents and how often each is drawn: its weight, and a little more when it has many patterns."""
    known = intents()
    return known, tuple(i.weight + 0.3 * len(i.questions) for i in known)


def exchange(rng: Random) -> tuple[str, str, str]:
    """A question, its answer and the follow-up answer."""
    if rng.random() < 0.2:
        section = rng.choices(unknown(), [s.weight for s in unknown()])[0]
        return wording(rng, section.pattern()), section.answer, ""
    known, weights = weighted()
    intent = rng.choices(known, weights)[0]
    # Every pattern line counts by the number of wordings it spells out, so a long list is not starved.
    sizes = [1 + q.count("|") ** 0.7 for q in intent.questions]
    pattern = rng.choices(intent.questions, sizes)[0]
    if pattern.startswith("{what} ") and rng.random() < 0.25:
        pattern = rng.choice(sections()["about"].words()).replace("#", pattern.removeprefix("{what} "))
    return wording(rng, pattern), intent.answer, intent.more


def more_question(rng: Random) -> str:
    """A question that only makes sense after an answer."""
    return wording(rng, sections()["more"].pattern())


def dialogue(rng: Random) -> list[Turn]:
    """A conversation of one to eight exchanges, with or without a system prompt."""
    turns: list[Turn] = []
    if rng.random() < 0.4:
        count = 1 if rng.random() < 0.8 else 2
        turns.append(("system", " ".join(rng.sample(sections()["system"].lines, count))))
    if rng.random() < 0.01:
        turns += [("user", typed(rng, more_question(rng))), ("assistant", MORE_ALONE)]
    for _ in range(rng.choice((1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 8))):
        question, answer, more = exchange(rng)
        turns += [("user", typed(rng, question)), ("assistant", answer)]
        if rng.random() < (0.25 if more else 0.04):
            turns += [("user", typed(rng, more_question(rng))), ("assistant", more or NO_MORE)]
            if rng.random() < 0.12:
                turns += [("user", typed(rng, more_question(rng))), ("assistant", NO_MORE)]
    return turns


def dialogues(seed: int) -> Iterator[list[Turn]]:
    """Conversations without end, the same ones for the same seed."""
    rng = Random(seed)
    while True:
        yield dialogue(rng)


if __name__ == "__main__":
    for _, turns in zip(range(12), dialogues(1), strict=False):
        print("\n".join(f"{role:>9}: {text}" for role, text in turns), end="\n\n")
