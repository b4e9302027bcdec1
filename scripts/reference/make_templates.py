#!/usr/bin/env python3
"""tests/fixtures/templates: what transformers' apply_chat_template renders for each template there and each conversation
below. The templates (*.jinja) are written by hand in the styles in use.

    python scripts/reference/make_templates.py

conversations.json: cases by name: messages and, where given, tools, documents, special_tokens, variables,
    add_generation_prompt, continue_final_message.
expected.jsonl: one line for a template and a case: {"template", "case", "text", "spans"} or {"template", "case", "error"};
    spans are code points, of templates with generation blocks. The clock stands at 2024-07-26 09:05:03.
"""

import datetime
import json

from common import FIXTURES, check_versions, write_json

check_versions()
import transformers.utils.chat_template_utils as chat_template_utils  # noqa: E402

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26, 9, 5, 3)


chat_template_utils.datetime = Clock


def said(*turns):
    return [{"role": role, "content": content} for role, content in turns]


def call(name, arguments, identity="abc123XYZ"):
    return {"type": "function", "id": identity, "function": {"name": name, "arguments": arguments}}


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather, as <b>people</b> & 'machines' say: \"now\".",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "City and country, e.g. \"Zürich, CH\""},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "description": "which unit"},
                "days": {"type": ["integer", "string"], "default": 3},
                "places": {"type": "array", "items": {"type": "number"}, "minimum": -1.5, "maximum": 1e20},
                "extra": {"type": "object", "additionalProperties": {"type": "boolean"}, "nullable": True, "x": None},
            },
            "required": ["location"],
        },
    },
}
SUM = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "ADDS two numbers",
        "parameters": {
            "type": "object",
            "properties": {"b": {"type": "integer", "description": "second"}, "a": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
ASK = said(("user", "What is the weather in Zürich?"))
TOOL_TURNS = ASK + [
    {"role": "assistant", "content": "", "tool_calls": [call("get_current_weather", {"location": "Zürich", "days": 2})]},
    {"role": "tool", "name": "get_current_weather", "content": "{\"temperature\": 21.5}", "tool_call_id": "abc123XYZ"},
    {"role": "assistant", "content": "It is 21.5 degrees."},
]
MULTI = said(
    ("user", "Hi!"), ("assistant", "Hello. How can I help?"), ("user", "Count to 3.\nOne per line."),
    ("assistant", "1\n2\n3"), ("user", "Thanks"),
)  # fmt: skip
THINKING = said(
    ("user", "2+2?"),
    ("assistant", "<think>\nTwo and two.\n\n</think>\n\nFour."),
    ("user", "And 3+3?"),
    ("assistant", "<think>Three and three.</think>Six."),
)

CASES = {
    "one": {"messages": said(("user", "Hello"))},
    "prompt": {"messages": said(("user", "Hello")), "add_generation_prompt": True},
    "system": {"messages": said(("system", "You are terse."), ("user", "Hello"), ("assistant", "Hi"))},
    "system_prompt": {
        "messages": said(("system", " You are terse.\n"), ("user", "Hello")),
        "add_generation_prompt": True,
    },
    "multi": {"messages": MULTI, "add_generation_prompt": True},
    "multi_system": {"messages": said(("system", "Be kind")) + MULTI[:4]},
    "spaces": {"messages": said(("user", "  \n x\t\n"), ("assistant", "\n\n y  "), ("user", "\u00a0z\u2003"))},
    "unicode": {"messages": said(("user", "Grüße 日本語 👩‍🚀 \x7f"), ("assistant", "ﬁ ß Σς"))},
    "jinja": {"messages": said(("user", "{{ 7 * 7 }} {% raw %} <|im_end|> & < > ' \" \\n"), ("assistant", "{# no #}"))},
    "empty_text": {"messages": said(("user", ""), ("assistant", ""))},
    "no_messages": {"messages": []},
    "two_users": {"messages": said(("user", "a"), ("user", "b"))},
    "begins_with_assistant": {"messages": said(("assistant", "Hello, you"), ("user", "Hi"))},
    "unknown_role": {"messages": said(("user", "a"), ("narrator", "Meanwhile"))},
    "late_system": {"messages": said(("user", "a"), ("system", "Now in French"), ("assistant", "oui"))},
    "null_content": {"messages": [{"role": "user", "content": None}]},
    "no_content": {"messages": [{"role": "user"}, {"role": "assistant", "content": "?"}]},
    "tools": {"messages": ASK, "tools": [WEATHER], "add_generation_prompt": True},
    "two_tools": {"messages": said(("system", "Use tools.")) + ASK, "tools": [WEATHER, SUM]},
    "tool_turns": {"messages": TOOL_TURNS, "tools": [WEATHER]},
    "tool_answer": {"messages": TOOL_TURNS[:3], "tools": [WEATHER], "add_generation_prompt": True},
    "two_calls": {
        "messages": ASK
        + [
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [call("add", {"a": 1, "b": -2}), call("add", {"a": 1.0, "b": [None, True, {}]}, "short")],
            },
            {"role": "tool", "content": "-1", "tool_call_id": "abc123XYZ"},
            {"role": "tool", "content": {"sum": [1.0, 2]}, "tool_call_id": "abc123XYZ"},
        ],
        "tools": [SUM],
    },
    "string_arguments": {
        "messages": ASK + [{"role": "assistant", "content": None, "tool_calls": [call("add", "{\"a\": 1}")]}],
    },
    "thinking": {"messages": THINKING},
    "reasoning": {
        "messages": said(("user", "2+2?"))
        + [{"role": "assistant", "content": "Four.", "reasoning": "\nTwo and two.\n"}, {"role": "user", "content": "Sure?"}],
        "add_generation_prompt": True,
        "variables": {"enable_thinking": False},
    },
    "reasoning_last": {
        "messages": said(("user", "2+2?")) + [{"role": "assistant", "content": "Four.", "thinking": "Two and two."}],
        "variables": {"enable_thinking": True},
    },
    "parts": {
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Look."}]},
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What is it? "}]},
        ],
    },
    "documents": {
        "messages": said(("user", "Which is tall?")),
        "documents": [{"title": "Tall", "text": "The tower."}, {"title": "Small", "text": "The hut.", "id": 3}],
        "variables": {"controls": {"citations": True, "length": "short"}},
        "add_generation_prompt": True,
    },
    "date_string": {
        "messages": said(("user", "When?")),
        "variables": {"date_string": "1 Jan 2025", "builtin_tools": ["code_interpreter", "brave_search"]},
    },
    "builtin_call": {
        "messages": ASK
        + [{"role": "assistant", "tool_calls": [call("brave_search", {"query": "weather", "place": "Zürich"})]}]
        + [{"role": "ipython", "content": "rain"}],
        "variables": {"builtin_tools": ["brave_search"]},
    },
    "tools_in_system": {"messages": ASK, "tools": [SUM], "variables": {"tools_in_user_message": False}},
    "continued": {"messages": said(("user", "Count."), ("assistant", "1, 2, ")), "continue_final_message": True},
    "continued_whole": {"messages": said(("user", "Count."), ("assistant", "1, 2")), "continue_final_message": True},
}


def render(template, case):
    arguments = dict(TOKENS, **case.get("variables", {}))
    marked = "{%" in template and "generation" in template and "endgeneration" in template
    texts, spans = chat_template_utils.render_jinja_template(
        [json.loads(json.dumps(case["messages"]))],
        tools=case.get("tools"),
        documents=case.get("documents"),
        chat_template=template,
        return_assistant_tokens_mask=marked,
        continue_final_message=case.get("continue_final_message", False),
        add_generation_prompt=case.get("add_generation_prompt", False),
        **arguments,
    )
    # With continue_final_message the last span may reach beyond the text, which was cut.
    return texts[0], [[min(x, len(texts[0])) for x in span] for span in spans[0]] if marked else []


def main():
    folder = FIXTURES / "templates"
    write_json(folder / "conversations.json", {name: dict(case, special_tokens=TOKENS) for name, case in CASES.items()})
    lines = []
    for path in sorted(folder.glob("*.jinja")):
        template = path.read_text(encoding="utf-8")
        for name, case in CASES.items():
            line = {"template": path.name, "case": name}
            try:
                line["text"], line["spans"] = render(template, case)
            except Exception as error:
                line["error"] = str(error).split("Final message to continue")[0]
            lines.append(json.dumps(line, ensure_ascii=False))
    (folder / "expected.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
