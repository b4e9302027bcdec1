/* Rows of supervised fine-tuning: which columns make an example, and that what they hold is one.
 *
 *   prompt, completion           texts, or lists of messages          (TRL's prompt-completion)
 *   messages [, tools]           a list of {role, content, …}         (TRL's conversational language modelling)
 *   conversations [, tools]      the same, or {from, value}; human and gpt are user and assistant (ShareGPT)
 *   instruction, output [, input] [, system]   texts: a user's message and the assistant's (Alpaca)
 *   text                         plain text; the column that dataset_text_field names
 *
 * tools: a list of JSON schemas, or that as a text. chat_template_kwargs: an object of variables for the template. */
#ifndef HONE_DATA_SFT_ROW_H
#define HONE_DATA_SFT_ROW_H

#include "trainer/base/json.h"
#include "trainer/data/input.h"
#include "trainer/data/readers.h"

typedef enum SftKind { SFT_NONE, SFT_PROMPT, SFT_MESSAGES, SFT_CONVERSATIONS, SFT_INSTRUCTION, SFT_TEXT } SftKind;

typedef struct SftColumns {
    SftKind kind;
    const char *text_field;
    bool chat; /* SFT_PROMPT: of messages */
} SftColumns;

/* By the columns of a row, the first of the list above that are there; SFT_NONE: of no kind. */
SftColumns sft_columns(const Row *row, const char *text_field);
/* In words, for messages: "prompt and completion". */
const char *sft_columns_name(const SftColumns *columns);
bool sft_columns_are_chat(const SftColumns *columns);
/* "there are the columns …; supervised fine-tuning takes …", as an error with file and line. */
Status sft_columns_refuse(const Row *row, const char *text_field);

/* A row's columns, checked for being there and of the right type, as bytes that sft_row_open reads on another thread.
 * Appends. Errors name file and line. */
Status sft_row_pack(const SftColumns *columns, const Row *row, Bytes *out);

typedef struct SftRow {
    cJSON *messages;       /* of the whole conversation; NULL: plain text */
    int prompts;           /* how many of them are the prompt; -1: it is not told apart */
    cJSON *tools, *variables; /* NULL: none */
    const char *prompt, *completion; /* plain text: prompt NULL where there is one text alone. Borrowed */
} SftRow;

/* Errors are without file and line: who calls knows them. Free with sft_row_close, also after an error. */
Status sft_row_open(const SftColumns *columns, const char *bytes, size_t size, SftRow *out);
void sft_row_close(SftRow *row);

#endif
