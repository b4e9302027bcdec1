/* A conversation in messages: what was said, what is forgotten when it becomes too long, and an answer that comes as it
 * is made. `hone chat` puts a terminal before it. */
#ifndef HONE_CLI_CHAT_TALK_H
#define HONE_CLI_CHAT_TALK_H

#include <signal.h>
#include <stdio.h>

#include "trainer/cli/chat.h"
#include "trainer/cli/generation_model.h"

typedef struct Talk {
    GenerationModel model;
    Chat chat;
    const char *system; /* borrowed; NULL: none */
    FILE *out;          /* answers */
    volatile sig_atomic_t *interrupted; /* ends the answer that is being made */

    cJSON *messages;
    Conversation *conversation;
    Encoding encoding;
    int64_t turns;

    Arena *arena; /* of the turn */
    DecodeStream *stream;
    Text piece, answer;
    Status failed; /* inside a hook */
} Talk;

Status talk_begin(Talk *t); /* anew: forgets what was said, but for the system message */
Status talk_load(Talk *t, const char *path); /* goes on with a list of messages */
/* Says a line; the answer goes to t->out as it is made, a newline behind it. A line that cannot be answered is an
 * error, and the conversation is what it was; so it is where nothing was answered before an interrupt. */
Status talk_answer(Talk *t, const char *line);
void talk_close(Talk *t); /* the model too */

#endif
