/* That messages are a conversation: what a template would render without complaint, and nobody meant. */
#ifndef HONE_TEMPLATE_MESSAGES_H
#define HONE_TEMPLATE_MESSAGES_H

#include "trainer/base/json.h"

/* A list of at least one object, each with a role of those that templates know and a content: a text, a list of blocks,
 * or, beside tool_calls, nothing. An assistant's message says something or calls a tool. STATUS_FORMAT begins with
 * `what` ("messages", "prompt"), and tells the number of the message and what there may be. */
Status messages_check(const cJSON *messages, const char *what);
/* Whether it is the assistant's. */
bool message_is_assistant(const cJSON *message);
/* Adds {"role": role, "content": content} to a list. */
Status messages_add(cJSON *messages, const char *role, const char *content);

#endif
