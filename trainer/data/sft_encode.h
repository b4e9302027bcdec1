/* A row of supervised fine-tuning to ids and labels, as TRL's SFTTrainer prepares them (trl 1.16, sft_trainer.py):
 *
 * Plain texts end with the eos token, added where it is not there; the tokenizer adds its special tokens.
 * Conversations are what the chat template renders, tokenized as that stands. A completion begins where the tokens of
 * prompt and completion leave those of the prompt alone (with the generation prompt). A label is the token itself, or
 * -100: in the prompt with completion_only, outside of what the assistant says with assistant_only.
 *
 * A token is the assistant's if one of its characters is. (TRL leaves out all but the first token of the last
 * character, where a template's mark ends with one of several tokens.) */
#ifndef HONE_DATA_SFT_ENCODE_H
#define HONE_DATA_SFT_ENCODE_H

#include "trainer/data/sft_row.h"
#include "trainer/data/tokenize_rows.h"
#include "trainer/template/chat_template.h"

typedef struct SftEncoder {
    const Tokenizer *tokenizer;
    const ChatTemplate *template; /* NULL: for plain texts alone */
    const cJSON *special_tokens;
    SftColumns columns;
    const char *eos_token;
    bool completion_only, assistant_only;
    int64_t max_length; /* what is longer is cut, and left out where no label remains; -1: neither */
    bool keep_end;      /* of what is cut */
} SftEncoder;

enum { SFT_CUT = 1, SFT_LEFT_OUT = 2, SFT_DIVERGES = 4 /* the prompt's tokens do not begin the whole's */ };

/* A RowEncoder; context: an SftEncoder. Adds flags, n, n ids, n labels. The text: of sft_row_pack. */
Status sft_encode_row(void *encoder, Encoding *scratch, const char *packed, size_t bytes, IdList *out);

#endif
