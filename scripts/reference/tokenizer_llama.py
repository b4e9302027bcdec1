"""Small tokenizers as llama-type models have them: BPE made by SentencePiece with byte fallback, in the ways in which
their files spell it, and every component of those files in odd combinations. For tokenizer_models.py."""

import json

import tokenizer_encoders
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SPACE = "\u2581"


def sentencepiece(text, vocab_size, across=False, bytes_missing=(), **options):
    """BPE over words that begin with U+2581, or over whole lines (across), with <unk>, <s>, </s> and byte tokens."""
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.pre_tokenizer = None if across else pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    t.normalizer = normalizers.Replace(" ", SPACE)
    lines = [line for line in text.split("\n") if line] + ["  " + w for w in text.split()[:80]] + ["1" * 40, " " * 40]
    special = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256) if b not in bytes_missing]
    size = vocab_size + len(special)  # without limit_alphabet: among equals it takes any
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    t.train_from_iterator(lines, trainer)
    model = json.loads(t.to_str())["model"]
    if SPACE not in model["vocab"]:
        model["vocab"][SPACE] = len(model["vocab"])
    for n in (1, 2) if not across else ():  # runs of spaces, as every such model has them
        run = SPACE * 2 * n
        if run not in model["vocab"]:
            model["vocab"][run] = len(model["vocab"])
            model["merges"].append([SPACE * n, SPACE * n])
    options = {"unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True, **options}
    return models.BPE(vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]], **options)


def decoder(strip=True):
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if strip else []))


def template(t, single, pair, *names):
    ids = [(x, t.token_to_id(x)) for x in names]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)


def llama2(text):
    """Llama 2's own file: normalizers that prepend and replace, no pre-tokenizer."""
    t = Tokenizer(sentencepiece(text, 500))
    t.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    t.decoder = decoder()
    t.add_special_tokens(["<unk>", "<s>", "</s>"])
    t.post_processor = template(t, "<s> $A", "<s> $A <s>:1 $B:1", "<s>")
    return t


def tinyllama(text):
    """The newer spelling: Metaspace that prepends to the first piece only, and does not split."""
    t = Tokenizer(sentencepiece(text, 500))
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="first", split=False)
    t.decoder = decoder()
    t.add_special_tokens(["<unk>", "<s>", "</s>", "<|user|>"])
    t.add_tokens([AddedToken("[INST]", normalized=False), AddedToken(" x", normalized=True)])
    t.post_processor = template(t, "<s> $A", "<s> $A </s>:1 $B:1 </s>:1", "<s>", "</s>")
    return t


def gemma(text):
    """Gemma's: spaces replaced, split before them, merges across lines; newlines and tabs as added tokens."""
    t = Tokenizer(sentencepiece(text, 600, across=True))
    t.normalizer = normalizers.Replace(" ", SPACE)
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    t.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    t.add_tokens([AddedToken("\n" * n, normalized=False) for n in (1, 2, 3)])
    t.add_special_tokens(["<unk>", "<s>", "<start_of_turn>"])
    t.post_processor = template(t, "<s> $A", "<s> $A <s>:1 $B:1", "<s>")
    return t


def t_split(text, scheme, split=True, normalizer=None, **options):
    t = Tokenizer(sentencepiece(text, 400, **options))
    if normalizer is not None:
        t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=split)
    t.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme=scheme)
    return t


def metaspace_late(text):
    """Metaspace after others: prepends where a piece's text begins the caller's."""
    t = Tokenizer(sentencepiece(text, 400))
    t.normalizer = normalizers.Sequence([normalizers.Strip(True, False), normalizers.NFKD()])
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.Metaspace(replacement="_", prepend_scheme="first")]
    )
    t.decoder = decoders.Sequence([decoders.Metaspace("_", "never", True), decoders.ByteFallback()])
    t.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 1))
    t.add_special_tokens(["<s>", "</s>", AddedToken("<m>", lstrip=True, rstrip=True)])
    return t


def letters(text):
    """Lowercase, Strip, StripAccents and BertPreTokenizer, over characters."""
    t = Tokenizer(sentencepiece(text.lower(), 400, bytes_missing=(0xE6, 0xF0)))
    t.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents(), normalizers.Strip()]
    )
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Strip("e", 2, 0)])
    t.add_tokens([AddedToken("The", normalized=True), AddedToken("\u00c9t\u00c9", normalized=True, single_word=True)])
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    return t


def lower_bytes(text, bpe):
    """Normalizers before byte level; the post-processors of old files, trimming twice."""
    t = Tokenizer(bpe)
    t.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(Regex(r"\s{2,}|[xy]"), " ")])
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    t.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace(Regex("[aeiou]+"), "*")])
    t.post_processor = processors.Sequence(
        [processors.RobertaProcessing(("b", 66), ("a", 65)), processors.ByteLevel(trim_offsets=True)]
    )
    return t


def replaced(text):
    """Replace with patterns that match nothing, everything, the start and the end; no transformation after it."""
    t = Tokenizer(sentencepiece(text, 300, fuse_unk=False))
    t.normalizer = normalizers.Sequence(
        [
            normalizers.Strip(True, True),
            normalizers.Replace(Regex("e*"), "ab"),
            normalizers.Replace(Regex(r"^.|\d+$"), ""),
            normalizers.Replace("th", "日本"),
            normalizers.Prepend("é"),
        ]
    )
    t.pre_tokenizer = pre_tokenizers.Split(Regex(r"b\s*"), "merged_with_next")
    t.add_tokens([AddedToken("<s>", normalized=False), AddedToken("an", normalized=False, single_word=True)])
    return t


def unknown(text, **options):
    """No byte tokens at all."""
    t = Tokenizer(sentencepiece(text, 300, bytes_missing=range(256), **options))
    t.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    t.decoder = decoder(strip=False)
    return t


def smollm(bpe):
    """SmolLM2's: each digit alone, then byte level with its own pattern."""
    t = Tokenizer(bpe)
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return t


def some(rng, choices, most):
    return [rng.choice(choices)() for _ in range(rng.randrange(most + 1))]


def random_normalizers(rng):
    n = normalizers
    return some(rng, [
        n.NFC, n.NFD, n.NFKC, n.NFKD, n.Lowercase, n.StripAccents,
        lambda: n.BertNormalizer(*(rng.random() < 0.5 for _ in range(2)), rng.choice([None, True, False]), rng.random() < 0.5),
        lambda: n.Precompiled(tokenizer_encoders.some_charsmap(rng)),
        lambda: n.Strip(rng.random() < 0.6, rng.random() < 0.6),
        lambda: n.Prepend(rng.choice([SPACE, "_ ", "é", "ab"])), lambda: n.Replace(" ", rng.choice([SPACE, "", "__"])),
        lambda: n.Replace(rng.choice(["th", "e", "\n", "日"]), rng.choice(["", "x", " ", "日本", "e\u0301"])),
        lambda: n.Replace(Regex(rng.choice([r"\s+", r"[aeiou]{2}", r"\d", r"\p{Lu}\p{Ll}*", "(?<=t)h"])),
                          rng.choice(["", " ", "Ω"])),
    ], 4)  # fmt: skip


def random_pre_tokenizers(rng):
    p = pre_tokenizers
    flag = lambda: rng.random() < 0.5  # noqa: E731
    behaviors = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    return some(rng, [
        lambda: p.ByteLevel(add_prefix_space=rng.random() < 0.5, use_regex=rng.random() < 0.5),
        lambda: p.Digits(rng.random() < 0.5), lambda: p.Punctuation(rng.choice(behaviors)), p.Whitespace,
        p.WhitespaceSplit, p.BertPreTokenizer,
        lambda: p.Metaspace(rng.choice([SPACE, "_", "é"]), rng.choice(["always", "first", "never"]), flag()),
        lambda: p.Split(rng.choice([" ", "th", "\n", SPACE]), rng.choice(behaviors), rng.random() < 0.3),
        lambda: p.Split(Regex(rng.choice([r"\s+", r"\w+", r"\p{N}{1,3}", r".\b", "e*"])),
                        rng.choice(behaviors), flag()),
    ], 3)  # fmt: skip


def random_decoders(rng):
    d = decoders
    return some(rng, [
        d.ByteLevel, d.ByteFallback, d.Fuse, lambda: d.Metaspace(SPACE, rng.choice(["always", "first", "never"])),
        lambda: d.Replace(rng.choice([SPACE, "e", "Ġ"]), rng.choice([" ", "", "xy"])),
        lambda: d.Replace(Regex(rng.choice(["[aeiou]+", r"\s$", "e*"])), rng.choice(["", "*"])),
        lambda: d.Strip(rng.choice([" ", "e", SPACE]), rng.randrange(3), 0),
        lambda: d.WordPiece(rng.choice(["##", "", "e"]), rng.random() < 0.7),
    ], 4)  # fmt: skip


def random_tokenizer(rng, bases):
    """Any components in any order over one of the models."""
    t = Tokenizer.from_str(json.dumps({"version": "1.0", "added_tokens": [], "model": rng.choice(bases)}))
    t.normalizer = normalizers.Sequence(random_normalizers(rng))
    t.pre_tokenizer = pre_tokenizers.Sequence(random_pre_tokenizers(rng))
    steps = random_decoders(rng)
    if steps:
        t.decoder = decoders.Sequence(steps)
    for content in rng.sample(["<s>", "</s>", "the", " x", "ab", "e", "The\u0301", "  ", "[INST]"], rng.randrange(5)):
        flags = {name: rng.random() < 0.4 for name in ("single_word", "lstrip", "rstrip", "normalized", "special")}
        t.add_tokens([AddedToken(content, **flags)])
    around = (("</s>", 2), ("<s>", 1), rng.random() < 0.5, rng.random() < 0.5)
    ids = [("<s>", 1), ("</s>", 2)]
    join = rng.choice([None, processors.BertProcessing(*around[:2]), processors.RobertaProcessing(*around), *(
        processors.TemplateProcessing(single=a, pair=b, special_tokens=ids)
        for a, b in (("$A", "$A $B"), ("<s> $A", "$B:1 </s> $A:0"), ("<s>:3 $A:2 </s>", "<s> $A <s>:1 $B:1 </s>:1")))
    ])  # fmt: skip
    flags = [rng.random() < 0.5 for _ in range(rng.randrange(3))]
    trims = [processors.ByteLevel(trim_offsets=True, add_prefix_space=flag) for flag in flags]
    steps = trims[:1] + ([join] if join else []) + trims[1:]
    if steps:
        t.post_processor = processors.Sequence(steps)
    return t


def models_of(text, bpe):
    """Name to maker; bpe(vocab_size) makes a byte-level model."""
    made = {
        "llama2": lambda: llama2(text),
        "tinyllama": lambda: tinyllama(text),
        "gemma": lambda: gemma(text),
        "metaspace_late": lambda: metaspace_late(text),
        "letters": lambda: letters(text),
        "lower_bytes": lambda: lower_bytes(text, bpe(400)),
        "replaced": lambda: replaced(text),
        "unknown": lambda: unknown(text),
        "unknown_apart": lambda: unknown(text, fuse_unk=False, byte_fallback=False),
        "left_out": lambda: unknown(text, unk_token=None),
        "smollm": lambda: smollm(bpe(500)),
        "across": lambda: t_split(text, "never", False, across=True),
        "whole": lambda: t_split(text, "always", False, ignore_merges=True),
        "lowercase": lambda: t_split(text, "always", True, normalizers.Lowercase()),
        "strip_accents": lambda: t_split(text, "first", True, normalizers.StripAccents()),
        "nfc_first": lambda: t_split(text, "first", False, normalizers.NFC()),
        "strip": lambda: t_split(text, "first", True, normalizers.Strip(True, True)),
    }
    return made
