/* A chat as a pipeline's input: a JSON list of messages, each an object with a role and a content. As transformers'
 * TextGenerationPipeline has it, a chat that ends with the assistant's message is one that the model goes on with. */
#ifndef HONE_CLI_CHAT_H
#define HONE_CLI_CHAT_H

#include "trainer/template/chat_template.h"

typedef struct Chat {
    ChatTemplate *template;
    cJSON *special_tokens;
} Chat;

/* Loads the template of the model's directory where that was not done yet. */
Status chat_open(Chat *chat, const char *model_dir);
void chat_close(Chat *chat);
/* The prompt, added to *text. */
Status chat_prompt(const Chat *chat, const cJSON *messages, Text *text);
/* The messages with the answer, as JSON, added to *out. messages: a JSON text that chat_prompt has accepted. */
Status chat_with_answer(const char *messages, const char *answer, Text *out);

#endif
