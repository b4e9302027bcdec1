/* Where the assistant speaks in a rendered conversation. */
#ifndef HONE_DATA_SFT_SPANS_H
#define HONE_DATA_SFT_SPANS_H

#include "trainer/template/chat_template.h"

/* Renders input->messages, all of them, into *text (appended to an empty one), and tells the assistant's places in it:
 * what its {% generation %} blocks write, or, in a template without them, what each of the assistant's messages adds to
 * the text before it, from the end of the generation prompt to the end of the turn. STATUS_UNSUPPORTED: it cannot be
 * told. messages is cut for a moment, and whole again. Free the spans with chat_spans_free. */
Status sft_spans(const ChatTemplate *t, const ChatInput *input, cJSON *messages, Text *text, ChatSpans *spans);

#endif
