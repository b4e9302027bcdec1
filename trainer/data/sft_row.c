/* See sft_row.h. Packed: for each column of the kind a type, a length and the text with a NUL; type 0: not there. */
#include "trainer/data/sft_row.h"

#include <inttypes.h>
#include <string.h>

#include "trainer/template/messages.h"

enum { MOST_COLUMNS = 4, TEXT = 1 << FIELD_STRING, LIST = 1 << FIELD_LIST, OBJECT = 1 << FIELD_OBJECT,
       MISSING = 1 << FIELD_NULL /* may be null, or not there */ };

typedef struct Column {
    const char *name;
    int types;
} Column;

/* NULL in the place of a name: text_field. */
static const Column columns_of[][MOST_COLUMNS + 1] = {
    [SFT_PROMPT] = {{"prompt", TEXT | LIST}, {"completion", TEXT | LIST}, {"tools", LIST | TEXT | MISSING},
                    {"chat_template_kwargs", OBJECT | MISSING}},
    [SFT_MESSAGES] = {{"messages", LIST}, {"tools", LIST | TEXT | MISSING}, {"chat_template_kwargs", OBJECT | MISSING}},
    [SFT_CONVERSATIONS] = {{"conversations", LIST}, {"tools", LIST | TEXT | MISSING},
                           {"chat_template_kwargs", OBJECT | MISSING}},
    [SFT_INSTRUCTION] = {{"instruction", TEXT}, {"output", TEXT}, {"input", TEXT | MISSING},
                         {"system", TEXT | MISSING}},
    [SFT_TEXT] = {{NULL, TEXT}},
};

static const char *name_of(const SftColumns *c, const Column *column)
{
    return column->name ? column->name : c->text_field;
}

static bool is_last(const SftColumns *c, int i)
{
    const Column *column = &columns_of[c->kind][i];
    return i == MOST_COLUMNS || !column->types;
}

SftColumns sft_columns(const Row *row, const char *text_field)
{
    SftColumns c = {.text_field = text_field};
    const Field *prompt = row_find(row, "prompt");
    if (prompt && row_find(row, "completion")) c.kind = SFT_PROMPT, c.chat = prompt->type == FIELD_LIST;
    else if (row_find(row, "messages")) c.kind = SFT_MESSAGES;
    else if (row_find(row, "conversations")) c.kind = SFT_CONVERSATIONS;
    else if (row_find(row, "instruction") && row_find(row, "output")) c.kind = SFT_INSTRUCTION;
    else if (row_find(row, text_field)) c.kind = SFT_TEXT;
    return c;
}

const char *sft_columns_name(const SftColumns *c)
{
    static const char *const names[] = {"none", "prompt and completion", "messages", "conversations",
                                        "instruction and output"};
    return c->kind == SFT_TEXT ? c->text_field : names[c->kind];
}

bool sft_columns_are_chat(const SftColumns *c)
{
    return c->chat || c->kind == SFT_MESSAGES || c->kind == SFT_CONVERSATIONS || c->kind == SFT_INSTRUCTION;
}

Status sft_columns_refuse(const Row *row, const char *text_field)
{
    Text there = {0};
    for (int i = 0; i < row->count; i++) text_printf(&there, "%s%.60s", i ? ", " : "", row->fields[i].name);
    const Status st = status_raise(
        STATUS_FORMAT, "%s: line %" PRId64 ": the columns are %s; supervised fine-tuning takes messages, prompt and "
        "completion, conversations, instruction and output, or %s (dataset_text_field)",
        row->path, row->line, there.data ? there.data : "none", text_field);
    text_free(&there);
    return st;
}

static Status check_field(const SftColumns *c, const Row *row, const Column *column, const Field *f)
{
    Status st = OK;
    const char *name = name_of(c, column);
    const bool missing = !f || f->type == FIELD_NULL;
    if (missing && (column->types & MISSING)) goto done;
    if (!f) {
        SftColumns other = sft_columns(row, c->text_field);
        if (other.kind != SFT_NONE)
            RAISE(FORMAT, "%s: line %" PRId64 ": no column \"%.60s\", as the first row has it; this one has %s; all "
                  "rows must be of one kind", row->path, row->line, name, sft_columns_name(&other));
        TRY(sft_columns_refuse(row, c->text_field));
    }
    if (!(column->types & 1 << f->type))
        RAISE(FORMAT, "%s: line %" PRId64 ": column \"%.60s\" is %s; it should be %s", row->path, row->line, name,
              field_type_name(f->type),
              column->types & TEXT ? (column->types & LIST ? "a string or a list" : "a string")
                                   : column->types & LIST ? "a list" : "an object");
    if (c->kind == SFT_PROMPT && column->types == (TEXT | LIST) && c->chat != (f->type == FIELD_LIST))
        RAISE(FORMAT, "%s: line %" PRId64 ": column \"%s\" is %s; prompt and completion must be of one kind in all "
              "rows, and the first row's prompt is %s", row->path, row->line, name, field_type_name(f->type),
              c->chat ? "a list of messages" : "a string");
done:
    return st;
}

Status sft_row_pack(const SftColumns *c, const Row *row, Bytes *out)
{
    Status st = OK;
    for (int i = 0; !is_last(c, i); i++) {
        const Column *column = &columns_of[c->kind][i];
        const Field *f = row_find(row, name_of(c, column));
        TRY(check_field(c, row, column, f));
        const bool there = f && f->type != FIELD_NULL;
        const uint64_t bytes = there ? f->bytes : 0;
        if (!bytes_put(out, (char)(there ? f->type : FIELD_NULL)) ||
            !bytes_add(out, (const char *)&bytes, sizeof bytes) || (there && !bytes_add(out, f->text, bytes)) ||
            !bytes_put(out, '\0'))
            TRY(STATUS_MEMORY);
    }
done:
    return st;
}

typedef struct Packed {
    FieldType type;
    const char *text;
    size_t bytes;
} Packed;

/* Our own bytes: they are right. */
static void unpack(const SftColumns *c, const char *bytes, Packed out[MOST_COLUMNS])
{
    for (int i = 0; !is_last(c, i); i++) {
        uint64_t size;
        memcpy(&size, bytes + 1, sizeof size);
        out[i] = (Packed){(FieldType)*bytes, bytes + 1 + sizeof size, (size_t)size};
        bytes += 1 + sizeof size + size + 1;
    }
}

static Status parse(const Packed *p, const char *what, cJSON **out)
{
    return p->type == FIELD_NULL ? OK : json_parse(p->text, p->bytes, what, out);
}

/* {"from": "human", "value": …} as {"role": "user", "content": …} */
static Status rename_members(cJSON *messages)
{
    static const char *const names[][2] = {{"human", "user"}, {"gpt", "assistant"}};
    Status st = OK;
    for (cJSON *m = cJSON_IsArray(messages) ? messages->child : NULL; m; m = m->next) {
        cJSON *from = cJSON_DetachItemFromObjectCaseSensitive(m, "from");
        cJSON *value = cJSON_DetachItemFromObjectCaseSensitive(m, "value");
        for (int i = 0; i < 2 && cJSON_IsString(from); i++)
            if (strcmp(from->valuestring, names[i][0]) == 0 && !cJSON_SetValuestring(from, names[i][1]))
                st = STATUS_MEMORY;
        if (from && !cJSON_AddItemToObject(m, "role", from)) st = STATUS_MEMORY;
        if (value && !cJSON_AddItemToObject(m, "content", value)) st = STATUS_MEMORY;
        if (st) RAISE(MEMORY, "no memory for a message");
    }
done:
    return st;
}

static Status open_tools(const Packed *tools, const Packed *variables, SftRow *out)
{
    Status st = OK;
    TRY(parse(tools, "tools", &out->tools));
    if (out->tools && !cJSON_IsArray(out->tools) && !cJSON_IsNull(out->tools)) RAISE(FORMAT, "tools: not a list");
    TRY(parse(variables, "chat_template_kwargs", &out->variables));
done:
    return st;
}

static Status open_prompt_chat(const Packed *p, SftRow *out)
{
    Status st = OK;
    cJSON *completion = NULL;
    TRY(json_parse(p[0].text, p[0].bytes, "prompt", &out->messages));
    TRY(messages_check(out->messages, "prompt"));
    TRY(json_parse(p[1].text, p[1].bytes, "completion", &completion));
    TRY(messages_check(completion, "completion"));
    out->prompts = cJSON_GetArraySize(out->messages);
    while (completion->child)
        cJSON_AddItemToArray(out->messages, cJSON_DetachItemViaPointer(completion, completion->child));
done:
    cJSON_Delete(completion);
    return st;
}

static bool is_blank(const char *text) { return text[strspn(text, " \t\r\n")] == '\0'; }

static Status open_instruction(const Packed *p, SftRow *out)
{
    Status st = OK;
    Text user = {0};
    if (is_blank(p[0].text)) RAISE(FORMAT, "the instruction is empty");
    if (is_blank(p[1].text)) RAISE(FORMAT, "the output is empty: there is no answer to learn; remove the row");
    text_add(&user, p[0].text, p[0].bytes);
    if (p[2].type != FIELD_NULL && !is_blank(p[2].text)) text_printf(&user, "\n\n%s", p[2].text);
    out->messages = cJSON_CreateArray();
    if (user.failed || !out->messages) RAISE(MEMORY, "no memory for a message");
    if (p[3].type != FIELD_NULL && !is_blank(p[3].text)) TRY(messages_add(out->messages, "system", p[3].text));
    TRY(messages_add(out->messages, "user", user.data));
    out->prompts = cJSON_GetArraySize(out->messages);
    TRY(messages_add(out->messages, "assistant", p[1].text));
done:
    text_free(&user);
    return st;
}

Status sft_row_open(const SftColumns *c, const char *bytes, size_t size, SftRow *out)
{
    Status st = OK;
    Packed p[MOST_COLUMNS] = {{0}};
    (void)size;
    *out = (SftRow){.prompts = -1};
    unpack(c, bytes, p);
    switch (c->kind) {
    case SFT_PROMPT:
        TRY(open_tools(&p[2], &p[3], out));
        if (c->chat) {
            TRY(open_prompt_chat(p, out));
            break;
        }
        if (is_blank(p[1].text)) RAISE(FORMAT, "the completion is empty: there is no answer to learn; remove the row");
        out->prompt = p[0].text, out->completion = p[1].text;
        break;
    case SFT_MESSAGES:
    case SFT_CONVERSATIONS:
        TRY(json_parse(p[0].text, p[0].bytes, sft_columns_name(c), &out->messages));
        if (c->kind == SFT_CONVERSATIONS) TRY(rename_members(out->messages));
        TRY(messages_check(out->messages, sft_columns_name(c)));
        TRY(open_tools(&p[1], &p[2], out));
        break;
    case SFT_INSTRUCTION: TRY(open_instruction(p, out)); break;
    default: out->completion = p[0].text;
    }
done:
    return st;
}

void sft_row_close(SftRow *row)
{
    cJSON_Delete(row->messages);
    cJSON_Delete(row->tools);
    cJSON_Delete(row->variables);
    *row = (SftRow){.prompts = -1};
}
