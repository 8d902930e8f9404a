"""The chat tab with recording facades and real events."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from genai_desktop.bridge.facade import Failure
from genai_desktop.core.chat import (
    ChatDelta,
    ChatMessage,
    ChatQueueState,
    Conversation,
    ConversationSummary,
    InferenceStats,
    SamplingParameters,
)
from genai_desktop.core.models import ModelInfo
from genai_desktop.core.servers import ServerInfo
from genai_desktop.ui.chat.blocks import CodeBlock
from genai_desktop.ui.chat.page import ChatPage
from genai_desktop.ui.theme import Theme
from tests.ui.fakes import FakeFacades

GUIDE = ModelInfo("guide", "Guide (demo)", "llm", "/models/guide.gguf", 5_000_000)
RUNNING = ServerInfo(
    "llama", "running", "ok", model_id="guide", model_name="Guide (demo)", effective={"n_ctx": 2048}
)
SUMMARY = ConversationSummary("c1", "First", time.time())


@pytest.fixture
def page(qtbot: QtBot, facades: FakeFacades, theme: Theme) -> ChatPage:
    made = ChatPage(facades, theme)
    qtbot.addWidget(made)
    made.resize(1000, 700)
    made.show()
    facades.models.models_changed.emit((GUIDE,))
    return made


def message(number: int, role: str, content: str, **more: object) -> ChatMessage:
    return replace(ChatMessage(f"m{number}", "c1", "user", content), role=role, **more)


def open_conversation(facades: FakeFacades, *messages: ChatMessage, **more: object) -> None:
    facades.chat.conversation_opened.emit(replace(Conversation(SUMMARY, tuple(messages)), **more))


def test_enter_sends_and_shift_enter_breaks(qtbot: QtBot, page: ChatPage, facades: FakeFacades) -> None:
    facades.chat.llm_changed.emit(RUNNING)
    open_conversation(facades)
    prompt = page.composer.prompt
    qtbot.keyClicks(prompt, "one")
    qtbot.keyClick(prompt, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClicks(prompt, "two")
    assert facades.asked("chat", "send") == []
    qtbot.keyClick(prompt, Qt.Key.Key_Return)
    assert facades.asked("chat", "send") == [("c1", "one\ntwo", (), SamplingParameters())]
    assert page.composer.text() == ""


def test_an_empty_prompt_is_not_sent(qtbot: QtBot, page: ChatPage, facades: FakeFacades) -> None:
    open_conversation(facades)
    assert not page.composer.send_button.isEnabled()
    qtbot.keyClicks(page.composer.prompt, "   ")
    qtbot.keyClick(page.composer.prompt, Qt.Key.Key_Return)
    assert facades.asked("chat", "send") == []


def test_the_first_message_creates_the_conversation_and_loads_the_model(
    qtbot: QtBot, page: ChatPage, facades: FakeFacades
) -> None:
    qtbot.keyClicks(page.composer.prompt, "hello")
    qtbot.mouseClick(page.composer.send_button, Qt.MouseButton.LeftButton)
    assert facades.asked("chat", "load_model") == [("guide", {})]
    assert facades.asked("chat", "create") == [()]
    assert facades.asked("chat", "send") == []
    open_conversation(facades)
    assert facades.asked("chat", "send") == [("c1", "hello", (), SamplingParameters())]


def test_a_reply_streams_and_stop_takes_the_place_of_send(
    qtbot: QtBot, page: ChatPage, facades: FakeFacades
) -> None:
    facades.chat.llm_changed.emit(RUNNING)
    open_conversation(facades, message(1, "user", "hi"))
    facades.chat.message_changed.emit(message(2, "assistant", "", state="streaming"))
    facades.chat.state_changed.emit(ChatQueueState(is_streaming=True, conversation_id="c1"))
    assert page.composer.stop_button.isVisible()
    assert not page.composer.send_button.isVisible()
    for piece in ("Use ", "the **Models** tab.\n\n```py", "thon\nprint(", "1)\n```\n", "Done."):
        facades.chat.delta_received.emit(ChatDelta("c1", "m2", content=piece))
    view = page.transcript.view("m2")
    assert view is not None
    assert view.message.content == "Use the **Models** tab.\n\n```python\nprint(1)\n```\nDone."
    codes = view.findChildren(CodeBlock)
    assert len(codes) == 1
    qtbot.mouseClick(page.composer.stop_button, Qt.MouseButton.LeftButton)
    assert facades.asked("chat", "stop") == [("c1",)]


@pytest.mark.parametrize("step", [1, 3, 7, 50])
def test_however_a_reply_is_cut_it_is_drawn_the_same(
    qtbot: QtBot, page: ChatPage, facades: FakeFacades, step: int
) -> None:
    text = (
        "# Title\n\nSome *prose* here.\n\n```c\nint x;\n```\n\n- a\n- b\n\n"
        + "Long prose. " * 300
        + "\n\n~~~\nend\n~~~"
    )
    open_conversation(facades, message(1, "assistant", text))
    whole = page.transcript.view("m1")
    assert whole is not None
    expected = [type(b).__name__ for b in (*whole._frozen, whole._open) if b is not None]
    open_conversation(facades, message(2, "assistant", "", state="streaming"))
    for start in range(0, len(text), step):
        facades.chat.delta_received.emit(ChatDelta("c1", "m2", content=text[start : start + step]))
    streamed = page.transcript.view("m2")
    assert streamed is not None
    kinds = [type(b).__name__ for b in (*streamed._frozen, streamed._open) if b is not None]
    # long prose may be frozen in more pieces while it streams; the order of prose and code is the same
    squeezed = [k for i, k in enumerate(kinds) if i == 0 or k == "CodeBlock" or kinds[i - 1] != k]
    assert squeezed == [
        k for i, k in enumerate(expected) if i == 0 or k == "CodeBlock" or expected[i - 1] != k
    ]
    shown = "".join(b.toPlainText() for b in (*streamed._frozen, streamed._open) if hasattr(b, "toPlainText"))
    assert shown.count("Long prose.") == 300


def test_deltas_of_another_conversation_do_not_show(page: ChatPage, facades: FakeFacades) -> None:
    open_conversation(facades, message(1, "assistant", "mine"))
    facades.chat.delta_received.emit(ChatDelta("other", "m1", content=" theirs"))
    assert page.transcript.text() == "mine"


def test_raw_html_and_foreign_links_are_inert(page: ChatPage, facades: FakeFacades) -> None:
    hostile = "<script>alert(1)</script><img src=http://evil/x.png> ![x](http://evil/y.png)"
    hostile += " [a](javascript:alert(1))"
    open_conversation(facades, message(1, "assistant", hostile))
    view = page.transcript.view("m1")
    assert view is not None
    assert view._open is not None
    html = view._open.toHtml()
    assert "<img" not in html
    assert 'href="javascript' not in html
    assert "<script>alert" in view._open.toPlainText()


def test_while_the_model_is_away_the_composer_stays_usable(
    qtbot: QtBot, page: ChatPage, facades: FakeFacades
) -> None:
    open_conversation(facades)
    facades.chat.llm_changed.emit(replace(RUNNING, status="stopped"))
    facades.chat.state_changed.emit(ChatQueueState(is_suspended=True, eta=12.0, waiting=0))
    assert "12 s" in page.composer.hint()
    qtbot.keyClicks(page.composer.prompt, "meanwhile")
    qtbot.keyClick(page.composer.prompt, Qt.Key.Key_Return)
    assert facades.asked("chat", "send")[0][1] == "meanwhile"
    assert facades.asked("chat", "load_model") == []


def test_a_crash_is_told_with_a_button_that_loads_again(
    qtbot: QtBot, page: ChatPage, facades: FakeFacades
) -> None:
    facades.chat.llm_changed.emit(
        replace(RUNNING, status="crashed", error_message="It died.", error_remedy="Try less context.")
    )
    strip = page.messages.strip("llm")
    assert strip is not None
    assert (strip.text(), strip.detail()) == ("It died.", "Try less context.")
    qtbot.mouseClick(strip.action, Qt.MouseButton.LeftButton)
    assert facades.asked("chat", "load_model") == [("guide", {})]
    facades.chat.llm_changed.emit(RUNNING)
    assert page.messages.strip("llm") is None


def test_interrupted_replies_keep_their_text_and_offer_another_try(
    qtbot: QtBot, page: ChatPage, facades: FakeFacades
) -> None:
    open_conversation(facades, message(1, "assistant", "half a rep", state="interrupted"))
    view = page.transcript.view("m1")
    assert view is not None
    assert view._strip is not None
    qtbot.mouseClick(view._strip.action, Qt.MouseButton.LeftButton)
    assert facades.asked("chat", "regenerate") == [("m1",)]


def test_load_and_unload(qtbot: QtBot, page: ChatPage, facades: FakeFacades) -> None:
    button = page.bar.load_button
    assert button.text() == "Load"
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert facades.asked("chat", "load_model") == [("guide", {})]
    facades.chat.llm_changed.emit(replace(RUNNING, status="starting", load_progress=0.4))
    assert "40" in page.bar.state.text()
    assert button.text() == "Cancel"
    facades.chat.llm_changed.emit(RUNNING)
    assert button.text() == "Unload"
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert len(facades.asked("chat", "unload_model")) == 1


def test_options_a_person_set_go_with_the_load(qtbot: QtBot, page: ChatPage, facades: FakeFacades) -> None:
    page.panel.context.setCurrentIndex(page.panel.context.findData(4096))
    page.panel.layers.setValue(12)
    page.panel.cache_type.setCurrentIndex(page.panel.cache_type.findData("q8_0"))
    page.panel.temperature.setValue(0.5)
    qtbot.mouseClick(page.bar.load_button, Qt.MouseButton.LeftButton)
    assert facades.asked("chat", "load_model") == [
        ("guide", {"context_size": 4096, "gpu_layers": 12, "cache_type_k": "q8_0", "cache_type_v": "q8_0"})
    ]
    assert page.panel.sampling() == SamplingParameters(temperature=0.5)
    other = page.ui_state()
    page.panel.layers.setValue(3)
    page.restore_ui(other)
    assert page.panel.layers.value() == 12


def test_long_conversations_draw_their_end_and_more_on_request(
    qtbot: QtBot, page: ChatPage, facades: FakeFacades
) -> None:
    open_conversation(facades, *(message(i, "user", f"number {i}") for i in range(100)))
    assert page.transcript.view("m99") is not None
    assert page.transcript.view("m10") is None
    qtbot.mouseClick(page.transcript._older, Qt.MouseButton.LeftButton)
    assert page.transcript.view("m45") is not None


def test_the_view_follows_the_stream_only_at_its_end(
    qtbot: QtBot, page: ChatPage, facades: FakeFacades
) -> None:
    open_conversation(
        facades, message(1, "user", "go"), message(2, "assistant", "x\n\n" * 200, state="streaming")
    )
    bar = page.transcript.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 500 and bar.value() == bar.maximum())
    facades.chat.delta_received.emit(ChatDelta("c1", "m2", content="y\n\n" * 50))
    qtbot.waitUntil(lambda: bar.value() == bar.maximum())
    bar.setValue(10)
    facades.chat.delta_received.emit(ChatDelta("c1", "m2", content="z\n\n" * 50))
    qtbot.waitUntil(lambda: page.transcript.view("m2").message.content.endswith("z\n\n"))
    assert bar.value() == 10


def test_gauge_and_statistics(page: ChatPage, facades: FakeFacades) -> None:
    facades.chat.llm_changed.emit(RUNNING)
    stats = InferenceStats(100, 20, 80, 42.3, 300.0, 0.2, 1.0)
    open_conversation(facades, message(1, "assistant", "x", stats=stats))
    assert "42.3 tok/s" in page.gauge._speed.text()
    assert page.gauge._text.text() == "120 of 2,048 tokens"


def test_search_delete_and_undo(qtbot: QtBot, page: ChatPage, facades: FakeFacades) -> None:
    facades.chat.conversations_changed.emit((SUMMARY,))
    assert facades.asked("chat", "open") == [("c1",)]
    qtbot.keyClicks(page.list.search, "word")
    qtbot.waitUntil(lambda: facades.asked("chat", "search") == [("word",)])
    facades.chat.search_finished.emit("word", ())
    open_conversation(facades, message(1, "user", "x"))
    said: list[tuple[str, str, object]] = []
    page.announced.connect(lambda *args: said.append(args))
    facades.chat.deleted.emit("c1", "First")
    assert page.transcript.count() == 0
    said[0][2]()  # type: ignore[operator]
    assert facades.asked("chat", "undo_delete") == [("c1",)]


def test_a_failed_intent_is_a_strip(page: ChatPage, facades: FakeFacades) -> None:
    facades.chat.failed.emit(
        Failure("load", "BAD_MODEL_FILE", "The file is truncated.", "Download it again.")
    )
    strip = page.messages.strip("load")
    assert strip is not None
    assert strip.text() == "The file is truncated."


def test_what_could_not_be_sent_stands_in_the_composer_again(
    qtbot: QtBot, page: ChatPage, facades: FakeFacades
) -> None:
    facades.chat.llm_changed.emit(RUNNING)
    open_conversation(facades)
    prompt = page.composer.prompt
    page.composer._on_files(["/pictures/cat.png"])
    qtbot.keyClicks(prompt, "a question")
    qtbot.keyClick(prompt, Qt.Key.Key_Return)
    assert page.composer.text() == ""
    qtbot.keyClicks(prompt, "typed since")
    facades.chat.failed.emit(Failure("send", "DISK_FULL", "The disk is full.", "Free some space."))
    assert page.composer.text() == "a question\n\ntyped since"
    qtbot.keyClick(prompt, Qt.Key.Key_Return)
    assert facades.asked("chat", "send")[-1][1:3] == ("a question\n\ntyped since", ("/pictures/cat.png",))
    other = replace(SUMMARY, id="c2")
    facades.chat.conversation_opened.emit(Conversation(other))
    facades.chat.failed.emit(Failure("send", "DISK_FULL", "The disk is full.", "Free some space."))
    assert page.composer.text() == ""
    assert facades.asked("chat", "set_draft")[-1] == ("c1", "a question\n\ntyped since")


def test_a_conversation_that_cannot_be_made_keeps_its_first_message_out_of_others(
    qtbot: QtBot, page: ChatPage, facades: FakeFacades
) -> None:
    facades.chat.llm_changed.emit(RUNNING)
    qtbot.keyClicks(page.composer.prompt, "a secret")
    qtbot.keyClick(page.composer.prompt, Qt.Key.Key_Return)
    assert facades.asked("chat", "create") == [()]
    facades.chat.failed.emit(Failure("create", "DISK_FULL", "The disk is full.", "Free some space."))
    assert page.composer.text() == "a secret"
    open_conversation(facades)
    assert facades.asked("chat", "send") == []


def test_a_draft_of_a_moment_ago_is_kept_when_another_conversation_is_opened_or_the_window_closes(
    qtbot: QtBot, page: ChatPage, facades: FakeFacades
) -> None:
    open_conversation(facades)
    qtbot.keyClicks(page.composer.prompt, "half a ")
    facades.chat.conversation_opened.emit(Conversation(replace(SUMMARY, id="c2"), draft="older"))
    assert facades.asked("chat", "set_draft") == [("c1", "half a ")]
    assert page.composer.text() == "older"
    qtbot.keyClicks(page.composer.prompt, "!")
    page.prepare_quit()
    assert facades.asked("chat", "set_draft")[-1] == ("c2", "older!")
