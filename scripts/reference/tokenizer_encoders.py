"""Small tokenizers as encoders have them: WordPiece with BERT's normalizer, Unigram with SentencePiece's charsmaps, and
their components in odd combinations. For tokenizer_models.py."""

import base64
import functools
import io
import json
import struct

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SPACE = "\u2581"


def bert(text, vocab_size=500, unk="[UNK]", prefix="##", most=100, decoder=None, **normalizer):
    t = Tokenizer(models.WordPiece(unk_token=unk))
    t.normalizer = normalizers.BertNormalizer(**normalizer)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=special, show_progress=False, continuing_subword_prefix=prefix
    )
    t.train_from_iterator(text.split("\n") + text.split(), trainer)
    model = json.loads(t.to_str())["model"]
    t.model = models.WordPiece(
        vocab=model["vocab"], unk_token=unk, continuing_subword_prefix=prefix, max_input_chars_per_word=most
    )
    t.decoder = decoder or decoders.WordPiece(prefix)
    t.add_special_tokens(special)
    ids = [(x, t.token_to_id(x)) for x in ("[CLS]", "[SEP]")]
    t.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    return t


def bert_dirty(text):
    decoder = decoders.WordPiece("##", False)
    return bert(text, clean_text=False, handle_chinese_chars=False, decoder=decoder)


def bert_old(text):
    """The post-processor of old files; an added token, which the normalizer changes."""
    t = bert(text, strip_accents=False)
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    t.add_tokens([AddedToken("Fluß", normalized=True), AddedToken(" L'é", normalized=False, rstrip=True)])
    return t


@functools.cache
def charsmap(rule):
    """The bytes of a precompiled_charsmap of SentencePiece's: nmt_nfkc, nfkc, nmt_nfkc_cf, nfkc_cf."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d e f g h"] * 20), model_writer=model, vocab_size=14, model_type="unigram",
        normalization_rule_name=rule, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    return proto.normalizer_spec.precompiled_charsmap


def small_charsmap(pairs):
    """A charsmap of a few pairs: a double-array trie laid out one node after the other, in blocks of 256 units."""
    pool, values = b"", {}
    for old, new in pairs.items():
        values[old.encode()] = len(pool)
        pool += new.encode() + b"\0"
    prefixes = sorted({key[:i] for key in values for i in range(len(key) + 1)}, key=lambda p: (len(p), p))
    base = {p: 256 * (i + 1) for i, p in enumerate(prefixes)}
    units = [0] * (256 * (len(prefixes) + 2))

    def unit(p, place):
        offset = base[p] ^ place  # of 256: those units say so by their ninth bit
        return (offset >> 8) << 10 | 1 << 9 | (1 << 8 if p in values else 0)

    units[0] = unit(b"", 0)
    for p in prefixes[1:]:
        place = base[p[:-1]] ^ p[-1]
        # the offset is a multiple of 256 only if the place is: keep the low byte in the base
        base[p] = base[p] | (place & 0xFF)
        units[place] = unit(p, place) | p[-1]
    for p, value in values.items():
        units[base[p]] = 1 << 31 | value
    trie = b"".join(struct.pack("<I", u) for u in units)
    return struct.pack("<I", len(trie)) + trie + pool


def precompiled(charsmap):
    return normalizers.Precompiled(charsmap)


def unigram_model(text, vocab_size, **options):
    t = Tokenizer(models.Unigram())
    t.normalizer = precompiled(charsmap("nmt_nfkc"))
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    if options.get("byte_fallback"):
        special += ["<0x%02X>" % b for b in range(256) if b not in options.pop("bytes_missing", ())]
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=special, show_progress=False, unk_token="<unk>"
    )
    t.train_from_iterator([line for line in text.split("\n") if line] * 3 + text.split(), trainer)
    model = json.loads(t.to_str())["model"]
    vocab = [tuple(v) for v in model["vocab"]]
    return models.Unigram(vocab, model["unk_id"], options.get("byte_fallback", False))


def template(t, single, pair, *names):
    ids = [(x, t.token_to_id(x)) for x in names]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)


def xlm_roberta(text):
    t = Tokenizer(unigram_model(text, 500))
    t.normalizer = normalizers.Sequence(
        [precompiled(charsmap("nmt_nfkc")), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    t.decoder = decoders.Metaspace()
    t.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, special=True)])
    t.post_processor = template(t, "<s> $A </s>", "<s> $A </s> </s> $B </s>", "<s>", "</s>")
    return t


def albert(text):
    t = Tokenizer(unigram_model(text.lower(), 400))
    steps = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD()]
    steps += [normalizers.StripAccents(), normalizers.Lowercase(), precompiled(charsmap("nmt_nfkc"))]
    t.normalizer = normalizers.Sequence(steps)
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.decoder = decoders.Metaspace()
    t.add_special_tokens(["<pad>", "<unk>", "[CLS]", "[SEP]", AddedToken("[MASK]", lstrip=True, special=True)])
    t.post_processor = template(t, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", "[CLS]", "[SEP]")
    return t


def t5(text):
    t = Tokenizer(unigram_model(text, 400))
    t.normalizer = precompiled(charsmap("nmt_nfkc"))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    t.decoder = decoders.Metaspace()
    t.add_special_tokens(["<pad>", "</s>", "<unk>", "<extra_id_0>"])
    t.post_processor = template(t, "$A </s>", "$A </s> $B </s>", "</s>")
    return t


def unigram(text, rule="nfkc", pre=None, **options):
    t = Tokenizer(unigram_model(text, 400, **options))
    t.normalizer = precompiled(charsmap(rule))
    if pre is not None:
        t.pre_tokenizer = pre
    t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="never")])
    t.add_tokens([AddedToken("ﬁn", normalized=True), AddedToken("é\u0301", normalized=False)])
    return t


def unigram_ties(text):
    """Scores that tie, unknown characters within tokens, and the unknown token's own text, twice in the vocabulary."""
    words = ["<unk>", "a", "b", "ab", "ba", "aba", "abab", "the", "th", "e", "x日", "<unk>", "\u0301e", "bb", "ab", " "]
    scores = [-1, -2, -2, -4, -4, -6, -8.5, -3, -1.5, -1.5, -1.25, -30, -2, -4, -3.75, -1]
    t = Tokenizer(models.Unigram(list(zip(words, map(float, scores))), 0, False))
    t.decoder = decoders.Fuse()
    return t


SMALL = {"a": "b", "\u0301": "", "th": "TH ", "\r": "", "日": "日本語", "é": "e", "b\u0301": "", " ": "\u2581", "e": "",
         "x": "\u0301\u0301", "क": "ka", "\u1100": "g", "<": "[[", "\U0001f468": "man"}  # fmt: skip


def odd_charsmap(text):
    """Replacements by more and by fewer characters, by nothing at the start, by marks; of prefixes of graphemes."""
    t = Tokenizer(unigram_model(text, 300))
    t.normalizer = precompiled(small_charsmap(SMALL))
    t.add_special_tokens(["<unk>"])
    return t


def some_charsmap(rng):
    return rng.choice([charsmap("nmt_nfkc"), charsmap("nfkc"), charsmap("nmt_nfkc_cf"), small_charsmap(SMALL)])


GRAPHEMES = "a\u0301\u0600\u00a9\u200d\u00ae\u0915\u094d\u00ad\u0903\u1100\u1161\u11a8\uac00\uac01\U0001f1e9e\r\n"


def graphemes(text):
    """Every character becomes a letter, unless it is in a short grapheme that another begins."""
    t = Tokenizer(models.Unigram([("<unk>", 0.0)] + [(chr(65 + i), -1.0) for i in range(len(GRAPHEMES))], 0, False))
    t.normalizer = precompiled(small_charsmap({c: chr(65 + i) for i, c in enumerate(GRAPHEMES)}))
    t.decoder = decoders.Fuse()
    return t


def models_of(text):
    every = {"byte_fallback": True}
    return {
        "bert": lambda: bert(text),
        "bert_cased": lambda: bert(text, lowercase=False),
        "bert_dirty": lambda: bert_dirty(text),
        "bert_accents": lambda: bert(text, strip_accents=True, lowercase=False, clean_text=False, prefix="", most=7),
        "bert_old": lambda: bert_old(text),
        "xlm_roberta": lambda: xlm_roberta(text),
        "albert": lambda: albert(text),
        "t5": lambda: t5(text),
        "unigram_bytes": lambda: unigram(text, byte_fallback=True, bytes_missing=(0xE6, 0xF0)),
        "unigram_all_bytes": lambda: unigram(text, "nmt_nfkc_cf", pre_tokenizers.Metaspace(prepend_scheme="first"), **every),
        "unigram_ties": lambda: unigram_ties(text),
        "odd_charsmap": lambda: odd_charsmap(text),
        "graphemes": lambda: graphemes(text),
    }
