"""Small tokenizers of every kind that hone reads, for tokenizer_fixtures.py and tokenizer_fuzz.py."""

import json
import unicodedata

import tokenizer_encoders
import tokenizer_llama
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
DEEPSEEK = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"]

TEXT = """
It was a bright morning in early spring, and the harbour was already loud with carts, gulls and the
quarrels of fishermen. Nobody
noticed the boy who sat on the sea wall with a notebook on his knees; he'd been there since six
o'clock, and he'd counted 1,274 boats.
"What are you writing?" asked the old woman who sold bread. "Numbers," he said, "and the things
that don't fit into numbers." She
laughed and gave him a roll. They're all mad in that family, she thought, but they've never done
any harm. We'll see what comes of it.
def main(argc, argv):\n    for i in range(10):\n        print(i * 2, "done")\n\treturn {"key": [1,
2.5, 3e-4], 'other': None}
Das Mädchen lief über die Straße; der Fluß war grün. L'été
dernier, à l'île, nous étions très heureux. El niño comió piña mañana.
Съешь же ещё этих мягких французских булок, да выпей чаю. Η
γρήγορη αλεπού πηδάει. 日本語の文章を書くのは楽しいです。 我们在学习中文。
שלום עולם. مرحبا بالعالم. नमस्ते दुनिया। สวัสดีชาวโลก
안녕하세요
세계 🙂 👩‍👩‍👧 naïve café résumé ½ ⅓ ① Ⅷ ﬁn.
"""


def corpus():
    return [TEXT] + [unicodedata.name(chr(c), "").lower() for c in range(0x20, 0x600)] + TEXT.split()


def trained(vocab_size, alphabet=True):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    start = sorted(pre_tokenizers.ByteLevel.alphabet()) if alphabet else []
    t.train_from_iterator(
        corpus(), trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=start, show_progress=False)
    )
    return t


def bpe(vocab_size, alphabet=True, **options):
    model = json.loads(trained(vocab_size, alphabet).to_str())["model"]
    return models.BPE(vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]], **options)


def with_pieces(pre_tokenizer):
    t = pieces("x")
    t.pre_tokenizer = pre_tokenizer
    return t


def long_merges():
    """Merges across everything that a pattern would split, so that wrong splits and long words show."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    t.train_from_iterator(corpus() + ["a" * 300, " " * 300, "1" * 300, "ab" * 200, "\n" * 100], trainer)
    t.decoder = decoders.ByteLevel()
    return t


def gpt2():
    t = Tokenizer(bpe(1000))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.post_processor = processors.ByteLevel(trim_offsets=True)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(["<|endoftext|>"])
    return t


def roberta():
    t = Tokenizer(bpe(500))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(["<s>", "</s>", AddedToken("<mask>", lstrip=True, special=True)])
    ids = [(x, t.token_to_id(x)) for x in ("<s>", "</s>")]
    t.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True, add_prefix_space=True),
            processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s>:1 $B:1 </s>:1", special_tokens=ids),
        ]
    )
    return t


def llama3():
    t = Tokenizer(bpe(500, ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(["<|begin_of_text|>", "<|eot_id|>"])
    t.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A",
                pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                special_tokens=[("<|begin_of_text|>", t.token_to_id("<|begin_of_text|>"))],
            ),
        ]
    )
    return t


def ignored_merges():
    """Words of the vocabulary that no merges make: only ignore_merges finds them."""
    state = json.loads(llama3().to_str())
    state["model"]["merges"] = state["model"]["merges"][:100]
    return Tokenizer.from_str(json.dumps(state))


def qwen2():
    t = Tokenizer(bpe(500))
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False, trim_offsets=False),
        ]
    )
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    t.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    t.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("e\u0301te\u0301", normalized=True)])
    return t


FLAGS = ["single_word", "lstrip", "rstrip", "normalized"]


def added_flags(normalizer=normalizers.NFKC()):
    """An added token for each combination of flags, some of them prefixes of others, one of white space."""
    t = Tokenizer(bpe(400))
    t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    t.post_processor = processors.ByteLevel(trim_offsets=True, add_prefix_space=True)
    t.decoder = decoders.ByteLevel()
    for bits in range(16):
        flags = {name: bool(bits >> i & 1) for i, name in enumerate(FLAGS)}
        t.add_tokens([AddedToken("ab%x" % bits, **flags), AddedToken("<%x>" % bits, special=bits % 3 == 0, **flags)])
    t.add_tokens(
        [
            AddedToken("ab", normalized=False),
            AddedToken("\u212b", normalized=True),
            AddedToken("  ", normalized=False),
            AddedToken("the", normalized=False, single_word=True),
            AddedToken("\u00e9", normalized=True),
        ]
    )
    return t


def sequence():
    """Every pre-tokenizer and behaviour in one line."""
    t = Tokenizer(bpe(400))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.NFKC()])
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[\r\n]+"), "merged_with_previous"),
            pre_tokenizers.Split(Regex(r"\p{Lu}"), "merged_with_next"),
            pre_tokenizers.Digits(individual_digits=False),
            pre_tokenizers.Split("--", "contiguous"),
            pre_tokenizers.Split(Regex(r"[.,]|x$"), "removed"),
            pre_tokenizers.Split(Regex(r"\w+|\s"), "isolated", invert=True),
            pre_tokenizers.Punctuation("isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    t.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Fuse()])
    return t


def deepseek():
    t = Tokenizer(bpe(400))
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(p), "isolated") for p in DEEPSEEK]
        + [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    t.decoder = decoders.ByteLevel()
    return t


def o200k():
    t = Tokenizer(bpe(400))
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(O200K), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    t.decoder = decoders.ByteLevel()
    return t


def characters(**options):
    """No byte level: characters, unknown ones, byte fallback for some."""
    pieces = sorted(set(TEXT) - set("Qz日")) + ["<unk>"]
    if options.get("byte_fallback"):
        pieces += ["<0x%02X>" % b for b in range(256) if b not in (0xE6, 0xF0)]
    pieces += ["th", "the", "an", "and", "er"]
    merges = [("t", "h"), ("th", "e"), ("a", "n"), ("an", "d"), ("e", "r")]
    t = Tokenizer(models.BPE(vocab={p: i for i, p in enumerate(pieces)}, merges=merges, unk_token="<unk>", **options))
    t.normalizer = normalizers.NFKD()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Whitespace()])
    t.add_special_tokens(["<unk>"])
    return t


def partial_bytes():
    """Byte level without all bytes in the vocabulary: the missing ones are left out."""
    t = Tokenizer(bpe(300, alphabet=False))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    return t


PATTERNS = [
    LLAMA3,
    QWEN2,
    r"(?i)'s|[a-k]+|\p{Lo}+",
    r"(?i:[skx])+",
    r"[^\S\n]+|\S{2,3}?\b",
    r"\B.",
    r"^\s*|\s+$",
    r"^|$",
    r"\A\w+|\d+\z|\Z",
    r"(?<=\s)\S+",
    r"(?<!\p{L})\p{L}{1,2}+",
    r"\w++\W?|.",
    r"(?>a|ab)c|[a-c&&[^b]]+|\p{M}+",
    r"[\p{P}\p{S}&&[^'.]]+",
    r"a|",
    r"",
    r"\h{2}|\p{Han}+|\p{Hiragana}|\p{Latin}{,3}",
    r"(?:\r\n|[\n\x{85}\u2028])+",
    r"[\]\[^-]|[a\-z]|[]x]+|{|a{x}|}",
    r"(?:ab|a|b)*?c|(a|b){2,}",
    r"\p{^L}+|\P{^Lu}",
    r"\p{Letter}+|\p{ nd }|\p{White_Space}",
    r"[^\p{Cn}\p{Co}]+",
    r".+?(?=\s|$)",
    r"(?!a)\w+|[:;]+",
    r"(?=[&^])\S+|[a&&[^a]]",
]


def pieces(pattern, behavior="isolated", invert=False):
    """Every piece becomes one unknown token, so that the offsets show the splits."""
    t = Tokenizer(models.BPE(vocab={"<unk>": 0}, merges=[], unk_token="<unk>", fuse_unk=True))
    t.pre_tokenizer = pre_tokenizers.Split(pattern, behavior, invert)
    return t


BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]

MODELS = {
    "gpt2_small": gpt2,
    "roberta": roberta,
    "llama3": llama3,
    "ignored_merges": ignored_merges,
    "qwen2": qwen2,
    "added_flags": added_flags,
    "sequence": sequence,
    "deepseek": deepseek,
    "o200k": o200k,
    "characters": characters,
    "characters_fused": lambda: characters(fuse_unk=True),
    "characters_bytes": lambda: characters(byte_fallback=True),
    "added_plain": lambda: added_flags(normalizers.Sequence([])),
    "added_nfd": lambda: added_flags(normalizers.NFD()),
    "partial_bytes": partial_bytes,
    "long_merges": long_merges,
    "whitespace": lambda: with_pieces(pre_tokenizers.Whitespace()),
    "whitespace_split": lambda: with_pieces(pre_tokenizers.WhitespaceSplit()),
    "digits": lambda: with_pieces(pre_tokenizers.Digits(False)),
    "single_digits": lambda: with_pieces(pre_tokenizers.Digits(True)),
    "punctuation": lambda: with_pieces(pre_tokenizers.Punctuation("merged_with_next")),
    "text": lambda: pieces("\n ", "contiguous"),
}
MODELS.update(tokenizer_llama.models_of(TEXT, bpe))
MODELS.update(tokenizer_encoders.models_of(TEXT))
for i, p in enumerate(PATTERNS):
    MODELS["pattern%02d" % i] = lambda i=i, p=p: pieces(Regex(p), BEHAVIORS[i % 5], i % 3 == 0)
