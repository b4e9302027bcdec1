#!/usr/bin/env python3
"""Differential fuzz: random templates through `test_template_reference --lines` and through transformers' environment must
give the same text, or both an error. What hone refuses (STATUS_UNSUPPORTED) is counted, not compared.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/template_fuzz.py build/release/test_template_reference [templates] [seed]
    python scripts/reference/template_fuzz.py build/release/test_template_reference --fixture

The latter writes tests/fixtures/templates/programs.jsonl, some hundred of them for the tests: first a line with the
variables, then {"template", "text"} or {"template", "error": true} a line.
"""

import json
import random
import subprocess
import sys
import warnings

from common import FIXTURES
from make_templates import chat_template_utils

warnings.simplefilter("ignore", SyntaxWarning)
UNSUPPORTED = 7
VALUES = {
    "i": 7, "z": 0, "n": -3, "f": 2.5, "g": -0.0, "s": "Hello, Wörld ß", "e": "", "w": "  a b\tc \n", "u": "ΑΣ ǆx İ", "t": True,
    "o": None, "l": [3, 1, 2], "m": ["b", "A", "c", "a"], "d": {"b": 1, "a": [1, 2], "Key": "x y", "items": 5},
    "r": [{"n": "x", "v": 2, "k": {"q": 1}}, {"n": "Y", "v": 1}, {"n": "z", "v": 2, "k": {"q": 0}}], "q": [[1, 2], [3, 4]],
    "x1": 1e16, "x2": 1e-7, "x3": 123456789012345678,
}  # fmt: skip
NAMES = list(VALUES) + ["missing", "messages", "ns"]
WORDS = ["", "a", "b", " ", "l", "x y", "ß", "Σ", "\\n", ",", "lo", "Hello", "%s", "%d|%5.2f", "{}", "{0}-{1}", "'", "日本", "1", "2.5", " 12 ", "-7", "1_0", "abc def"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or", "~", "~", "+"]
FILTERS = [
    "abs", "attr('items')", "batch(2) | list", "capitalize", "count", "d('x')", "default('y', true)", "dictsort", "first",
    "dictsort(false, 'value')", "dictsort(reverse=true)", "float", "float(1.5)", "format(1, 'a')", "indent", "indent(2, true)",
    "indent('>', blank=true)", "int", "int(5)", "int(0, 16)", "items | list", "join", "join(', ')", "join('-', 'n')", "last",
    "length", "list", "lower", "map('upper') | list", "map(attribute='n') | list", "map(attribute='k.q', default=9) | list", "max",
    "max(attribute='v')", "min", "reject('odd') | list", "rejectattr('k') | list", "replace('a', 'bb')", "replace('', '.')", "reverse | list",
    "replace('l', 'L', 1)", "reverse", "round", "round(1)", "round(0, 'floor')", "round(1, 'ceil')", "safe", "select | list",
    "select('string') | list", "selectattr('v', 'equalto', 2) | list", "selectattr('k') | list", "sort", "sort(reverse=true)",
    "sort(attribute='v')", "sort(attribute='v,n')", "sort(case_sensitive=true)", "string", "sum", "sum('v')", "title", "tojson",
    "tojson(indent=2)", "tojson(ensure_ascii=true)", "tojson(sort_keys=true)", "tojson(separators=(',', ':'))", "trim", "trim('a ')",
    "unique | list", "unique(true) | list", "upper", "wordcount", "selectattr('n', 'in', ['x', 'z']) | map(attribute='v') | join('+')",
]  # fmt: skip
TESTS = [
    "boolean", "callable", "defined", "divisibleby 2", "eq(3)", "equalto 'a'", "even", "false", "float", "ge(2)", "gt 2", "in [1, 'a']",
    "integer", "iterable", "le(2)", "lower", "lt(2)", "mapping", "ne 3", "none", "number", "odd", "sequence", "string", "true",
    "undefined", "upper", "not defined", "not none", "not string", "sameas true",
]  # fmt: skip
METHODS = [
    "capitalize()", "count('l')", "endswith('b')", "endswith(('x', 'ß'))", "find('l')", "find('l', 3)", "format(1, 2)", "format('a', b=2)",
    "index('l')", "isalnum()", "isalpha()", "isdigit()", "islower()", "isnumeric()", "isspace()", "isupper()", "join(m)", "lower()", "lstrip()", "lstrip('He')",
    "partition('l')", "removeprefix('He')", "removesuffix('ß')", "replace('l', 'r')", "replace('l', 'r', 1)", "rfind('l')", "rpartition('l')",
    "rsplit('l', 1)", "rsplit()", "rsplit(None, 1)", "rstrip()", "split()", "split('l')", "split(None, 1)", "split(' ', 1)", "splitlines()", "splitlines(true)",
    "startswith('He')", "startswith('e', 1)", "strip()", "strip('a ')", "title()", "upper()", "get('a')", "get('zz', 4)", "get('b')", "items()", "keys()", "values()",
    "items() | list", "keys() | list", "copy()", "count(1)", "index(2)", "append(1)", "pop()", "update({})", "nothing()", "zz",
]  # fmt: skip


class Maker:
    def __init__(self, rng):
        self.rng = rng

    def word(self):
        quote = self.rng.choice("'\"")
        return quote + self.rng.choice(WORDS).replace(quote, "\\" + quote) + quote

    def expression(self, depth=0):
        r = self.rng
        kind = r.random() if depth < 4 else r.random() * 0.4
        if kind < 0.22:
            return r.choice(NAMES)
        if kind < 0.32:
            return self.word()
        if kind < 0.4:
            return r.choice(["0", "1", "2", "10", "-1", "1.5", "0.1", "3.0", "1e3", "true", "none", "false", "[]", "{}", "()", "0x1f", "1_000"])
        sub = lambda: self.expression(depth + 1)  # noqa: E731
        if kind < 0.56:
            return f"{sub()} | {r.choice(FILTERS)}" if r.random() < 0.5 else f"({sub()}) | {r.choice(FILTERS)}"
        if kind < 0.66:
            return f"({sub()}) {r.choice(OPERATORS)} ({sub()})" if r.random() < 0.6 else f"{sub()} {r.choice(OPERATORS)} {sub()}"
        if kind < 0.74:
            return f"({sub()}).{r.choice(METHODS)}" if r.random() < 0.4 else f"{r.choice('swudlmre')}.{r.choice(METHODS)}"
        if kind < 0.79:
            return f"({sub()} is {r.choice(TESTS)})"
        if kind < 0.83:
            part = lambda: r.choice(["", "0", "1", "-1", "2", "-2", "5", "i"])  # noqa: E731
            return f"({sub()})[{part()}:{part()}{r.choice(['', ':', ':2', ':-1', ':' + part()])}]"
        if kind < 0.88:
            return f"({sub()})[{r.choice(['0', '-1', '1', self.word(), repr('a'), 'i', sub()])}]"
        if kind < 0.91:
            return f"({sub()} if {sub()}{' else ' + sub() if r.random() < 0.8 else ''})"
        if kind < 0.94:
            return "[" + ", ".join(sub() for _ in range(r.randrange(4))) + "]"
        if kind < 0.96:
            return "{" + ", ".join(f"{self.word()}: {sub()}" for _ in range(r.randrange(3))) + "}"
        if kind < 0.98:
            return r.choice(["not ", "-", "+", "not not "]) + sub()
        return r.choice(["range(3)", f"range({sub()})", "range(5, 0, -2)", "dict(a=1)", "namespace(a=2).a", "(1, 2)", "ns.a", "ns.b",
                         "mac(1)", "mac(i, b=s)", "mac()", "strftime_now('%d %b %Y')", "loop.index", "loop.last", "loop.length",
                         "loop.nextitem", "loop.cycle('a', 'b')", "loop.changed(i)", "loop.revindex0", "loop.previtem", "loop.first"])

    def tag(self, body):
        r = self.rng
        return "{%" + r.choice(["", "", "-", "+"]) + f" {body} " + r.choice(["", "", "-", "+"]) + "%}"

    def text(self):
        return "".join(self.rng.choice(["a", " ", "\n", "  ", "\t", "x\n", "é", "\n\n", "{", "}", "%"]) for _ in range(self.rng.randrange(5)))

    def statements(self, depth=0, loop=False):
        return "".join(self.statement(depth, loop) for _ in range(self.rng.randrange(1, 4)))

    def statement(self, depth, loop):
        r = self.rng
        kind = r.random() if depth < 3 else r.random() * 0.5
        inner = lambda inside=loop: self.statements(depth + 1, inside)  # noqa: E731
        # Below the top, a name that is set later in a loop's body hides an input from blocks before it: jinja2's compiler
        # resolves names so; hone does that for the template's own scope alone.
        target = lambda: r.choice(["v1", "v2"] if depth else ["v1", "v2", "i", "s"])  # noqa: E731
        if kind < 0.15:
            return self.text()
        if kind < 0.4:
            return "{{" + r.choice(["", "-", " "]) + " " + self.expression() + " " + r.choice(["", "-"]) + "}}"
        if kind < 0.5:
            what = r.choice([f"set {target()} = {self.expression()}", f"set ns.a = {self.expression()}", "set v1, v2 = l[:2]"])
            return self.tag(what) + ("" if r.random() < 0.6 else "{# note " + r.choice(["", "-"]) + "#}\n")
        if kind < 0.62:
            middle = self.tag(f"elif {self.expression()}") + inner() if r.random() < 0.3 else ""
            other = self.tag("else") + inner() if r.random() < 0.5 else ""
            return self.tag(f"if {self.expression()}") + inner() + middle + other + self.tag("endif")
        if kind < 0.8:
            names = r.choice(["v1", "v1", "i", "v1, v2", "k, v"])
            what = r.choice(["l", "m", "r", "d.items()", "range(3)", "q", "d", "s", self.expression()])
            test = f" if {self.expression()}" if r.random() < 0.25 else ""
            leave = self.tag(f"if {self.expression()}") + self.tag(r.choice(["break", "continue"])) + self.tag("endif")
            other = self.tag("else") + inner() if r.random() < 0.2 else ""
            return self.tag(f"for {names} in {what}{test}") + inner(True) + (leave if r.random() < 0.2 else "") + inner(True) + other + self.tag("endfor")
        if kind < 0.85:
            return self.tag(f"set {target()}{r.choice(['', ' | upper', ' | trim | length'])}") + inner(False) + self.tag("endset")
        if kind < 0.9:
            return self.tag(f"macro mac({r.choice(['a', 'a, b=2', 'a=i, b=a', ''])})") + "<{{ a }}" + inner(False) + ">" + self.tag("endmacro")
        if kind < 0.92:
            return self.tag(f"filter {r.choice(['upper', 'trim', 'replace(1, 2)', 'indent'])}") + inner(False) + self.tag("endfilter")
        if kind < 0.94:
            return self.tag(f"with v1 = {self.expression()}, v2 = i") + inner(False) + self.tag("endwith")
        if kind < 0.96:
            return self.tag(r.choice(["call mac(1)", "call(x) mac(2)"])) + "[{{ x }}" + inner(False) + "]" + self.tag("endcall")
        if kind < 0.98:
            return self.tag("generation") + inner(False) + self.tag("endgeneration")
        return "{% raw %}{{ not }} {% if %}\n{% endraw %}" + self.text()


def reference(case):
    try:
        texts, _ = chat_template_utils.render_jinja_template(
            [json.loads(json.dumps(case["messages"]))], chat_template=case["template"], **json.loads(json.dumps(case["variables"]))
        )
        return texts[0], None
    except Exception as error:  # noqa: BLE001
        return None, f"{type(error).__name__}: {error}"


HEAD = "{% set ns = namespace(a=1) %}{% macro mac(a, b='B') %}({{ a }}{{ b }}{{ caller(b) if caller }}){% endmacro %}"


# What random programs rarely show.
PINNED = [
    "  {% if true %}\n  a\n  {% endif %}\n  b {% if true %} c{% endif %}\n\n  {# d #}\n",
    "\t{{ 1 }}\n  {%+ if 1 %}x{% endif %}\n {%- if 1 -%} y {%- endif %}\n\n{% if 1 +%}\nz{% endif %}\n\n",
    "{% raw %}\n {{ a }}  {%- endraw %}  {% raw -%}  b {% endraw +%}\nc",
    "{# a -#}\n\n x {#- b #}\ny\r\nz\rw",
    "{% for x in [1, 2] %}{% continue %}{% else %}none{% endfor %}",
    "{% for x in [1, 2] %}{% break %}{% else %}none{% endfor %}{% for x in [] %}{% else %}none{% endfor %}",
    "{% for x in [1, 2, 3] if x != 2 %}{{ x }}{% if x == 3 %}{% break %}{% endif %}{% else %}none{% endfor %}",
    "{% for x in [1, 2, 3] if x != 2 %}{{ [loop.index, loop.index0, loop.revindex, loop.revindex0, loop.first, loop.last, "
    "loop.length, loop.previtem, loop.nextitem, loop.depth, loop.cycle('a', 'b')] | list | string }}{% endfor %}",
    "{% for a, b in q %}{{ loop.last }}{% for c in l %}{{ loop.index ~ b }}{% endfor %}{{ loop.changed(1) }}{% endfor %}",
    "{% for x in [1, 2, 3, 4] if x != ns.a %}{{ x }}{% set ns.a = x + 1 %}{% endfor %}",
    "{% for x in [1, 2] %}{{ s }}{% endfor %}{% set s = 'late' %}{{ s }}",
    "{% macro late() %}[{{ s }}{{ i }}]{% endmacro %}{{ late() }}{% set s = 'late' %}{{ late() }}",
    "{% if false %}{% set s = 1 %}{% endif %}{{ s }}{% for x in [1] %}{{ z }}{% endfor %}{% if true %}{% set z = 5 %}{% endif %}{{ z }}",
    "{% for x in l %}{% set v = x %}{% endfor %}{{ v is defined }}{% for x in l %}{% set s = s ~ x %}{{ s }}{% endfor %}{{ s }}",
    "{% set v %}a{% set s = 'inner' %}{{ s }}{% endset %}{{ v }}{{ s }}",
    "{{ [3, 1, 2] | sort(reverse=true) }}{{ ['b', 'A', 'c', 'a', 'B'] | sort }}{{ ['b', 'A', 'a', 'B'] | sort(reverse=true) }}",
    "{{ r | sort(attribute='v', reverse=true) | map(attribute='n') | list }}{{ d | dictsort(reverse=true) | list }}",
    "{{ 'ΑΣ ΑΣΑ Σ' | lower }}{{ 'ß ﬁ ǆ' | upper }}{{ 'ǆx o\\'neil a-b' | title }}{{ 'ǆx o\\'neil a-b'.title() }}",
    "{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 // -2.0 }} {{ -7.5 % 2 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 2 ** -1 }} {{ 1e22 }} {{ 7 / 2 }}",
    "{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ -1.5 | round }} {{ 42.55 | round(1, 'floor') }} {{ 1 | round }}",
    "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 == true }} {{ 'a' in 'abc' not in ['x'] }} {{ not 1 in [1] }} {{ [1, 2] < [1, 3] }}",
    "{{ 'abcdef'[::-1] }} {{ 'äöü'[1] }} {{ 'äöü'[-2:] }} {{ l[5:] }} {{ l[-10:2] }} {{ l[::2] }} {{ range(10)[2:8:3] }} {{ range(10)[::-3] }}",
    "{{ ' a  b '.split() }}{{ ' a  b '.split(' ') }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ' a b c '.rsplit(none, 1) }}{{ ' a b c '.split(none, 1) }}",
    "{{ '%5s|%-5s|%05d|%+d|%.1f|%x|%r|%%' % ('a', 'b', 42, 7, 2.25, 255, 'c') }}{{ '%(b)s' % d }}{{ '{} {}'.format(1, 'x') }}",
    "{{ {'a': 1.0, 'b': [none, true, 1e-7, 'é\\n\\x01'], 3: {}} | tojson }}{{ [] | tojson(indent=2) }}{{ [1, {'a': []}] | tojson(indent=2) }}",
    "{{ ['it\\'s', '\"', 'a\\\\b\\n\\t\\x7f\\xa0é', 1.0, none, true, (1,), {'k': ()}] }}",
    "{% call(x) mac(1, b='z') %}<{{ x }}{{ s }}>{% endcall %}{% filter upper %}a{{ s }}{% endfilter %}{% with s = 1, v = s %}{{ s ~ v }}{% endwith %}",
    "{{ 'a' ~ 1 ~ none ~ missing ~ 1.5 ~ true }}{{ missing is defined }}{{ missing | default('x') }}{{ '' | default('y', true) }}{{ d.zz | d }}",
    "{{ d.items is callable }}{{ d['items'] }}{{ d.get('items') }}{{ l.append is defined }}{{ ns.zz is undefined }}{{ none is none }}",
    "{{ '12' | int + 1 }} {{ '0x1f' | int(0, 16) }} {{ ' 4.9 ' | int }} {{ 'x' | int(-1) }} {{ '1e3' | float }} {{ '1_0' | int }} {{ true | int }}",
    "{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb\n\nc' | indent(2, true, true) }}|{{ 'a\nb' | indent('> ') }}",
]


def make(rng, count):
    cases = []
    for _ in range(count):
        maker = Maker(rng)
        template = HEAD + ("{{ " + maker.expression() + " }}" if rng.random() < 0.5 else maker.statements())
        cases.append({"template": template, "variables": VALUES, "messages": [{"role": "user", "content": "Hi"}]})
    return cases


def ask(program, cases):
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    run = subprocess.run([program, "--lines"], input=lines.encode(), stdout=subprocess.PIPE, check=False)
    return run.stdout.decode().split("\n")


def write_fixture(program):
    """Short programs whose text is not empty, and one error for every ten of them; none that hone refuses."""
    cases = make(random.Random(20240726), 12000)
    lines, texts, errors = [json.dumps({"variables": VALUES}, ensure_ascii=False)], set(), 0
    for body in PINNED:
        text, error = reference({"template": HEAD + body, "variables": VALUES, "messages": []})
        lines.append(json.dumps({"template": HEAD + body, **({"error": True} if error else {"text": text})}, ensure_ascii=False))
        if error:
            print("an error, is it meant?", body, error)
    for case, line in zip(cases, ask(program, cases)):
        text, error = reference(case)
        short = len(case["template"]) < len(HEAD) + 150 and len(text or "") < 200
        if not short or json.loads(line)["status"] == UNSUPPORTED or (text and " at 0x" in text) or len(texts) == 600:
            continue
        if "is not subscriptable" in line or "unhashable type: 'slice'" in line:
            continue
        if error and errors * 10 < len(texts):
            errors += 1
            lines.append(json.dumps({"template": case["template"], "error": True}, ensure_ascii=False))
        elif text and text.strip() and text not in texts:
            texts.add(text)
            lines.append(json.dumps({"template": case["template"], "text": text}, ensure_ascii=False))
    (FIXTURES / "templates" / "programs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    if sys.argv[2:] == ["--fixture"]:
        return write_fixture(sys.argv[1])
    program, count, seed = sys.argv[1], int((sys.argv[2:] or [2000])[0]), int((sys.argv[3:] or [1])[0])
    cases = make(random.Random(seed), count)
    answers = ask(program, cases)
    same = errors = refused = bad = 0
    for case, line in zip(cases, answers):
        if not line:
            print("no answer (a crash?) to", repr(case["template"]))
            return 1
        answer = json.loads(line)
        text, error = reference(case)
        if answer["status"] == UNSUPPORTED or (error and "object at 0x" in error):
            refused += 1
        elif text is not None and " at 0x" in text:
            refused += 1  # an object's address
        elif any(x in answer.get("error", "") for x in ("is not subscriptable", "unhashable type: 'slice'")):
            refused += 1  # jinja2 folds (2)[1:], of constants alone, to undefined; of variables it is an error there too
        elif error and "error" in answer:
            errors += 1
        elif text is not None and answer.get("text") == text:
            same += 1
        else:
            bad += 1
            print(f"template  {case['template']!r}\nreference {text!r} {error}\nhone      {answer.get('text')!r} {answer.get('error')}\n")
    print(f"{same} same texts, {errors} errors in both, {refused} refused, {bad} different")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
