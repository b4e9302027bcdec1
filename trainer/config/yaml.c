/* A config file: a flat YAML mapping, read from libyaml's events, or a JSON object. Scalars stay text. Anchors, aliases
 * and tags are refused: they are how a YAML file means more than it shows. */
#include <string.h>
#include <yaml.h>

#include "trainer/base/file.h"
#include "trainer/config/settings.h"

enum { MAX_DEPTH = 32, MAX_CONFIG = 1 << 20 };

typedef struct Reader {
    Settings *s;
    const char *path;
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
} Reader;

static const char *place(Reader *r, const yaml_mark_t *mark)
{
    return arena_printf(r->s->arena, "%s:%zu", r->path, mark->line + 1);
}

static Status syntax_error(Reader *r)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR) return status_raise(STATUS_MEMORY, "%s: out of memory", r->path);
    const yaml_mark_t *mark = p->error == YAML_READER_ERROR ? &p->mark : &p->problem_mark;
    return status_raise(STATUS_USAGE, "%s:%zu: not valid YAML: %s%s%s", r->path, mark->line + 1,
                        p->problem ? p->problem : "unreadable", p->context ? " " : "", p->context ? p->context : "");
}

static Status next(Reader *r)
{
    if (r->has_event) yaml_event_delete(&r->event);
    r->has_event = yaml_parser_parse(&r->parser, &r->event) != 0;
    return r->has_event ? OK : syntax_error(r);
}

/* What YAML has and a config must not. */
static Status refuse_extras(Reader *r)
{
    const yaml_event_t *e = &r->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (e->type == YAML_SCALAR_EVENT) anchor = e->data.scalar.anchor, tag = e->data.scalar.tag;
    if (e->type == YAML_SEQUENCE_START_EVENT) anchor = e->data.sequence_start.anchor, tag = e->data.sequence_start.tag;
    if (e->type == YAML_MAPPING_START_EVENT) anchor = e->data.mapping_start.anchor, tag = e->data.mapping_start.tag;
    size_t line = e->start_mark.line + 1;
    if (e->type == YAML_ALIAS_EVENT || anchor)
        return status_raise(STATUS_USAGE,
                            "%s:%zu: anchors and aliases (&, *) are not read; write the value out, or quote it",
                            r->path, line);
    if (tag)
        return status_raise(STATUS_USAGE, "%s:%zu: the tag `%.80s` is not read; remove it, or quote the value", r->path,
                            line, (const char *)tag);
    return OK;
}

static Status scalar_text(Reader *r, const char **text, bool *quoted)
{
    const char *value = (const char *)r->event.data.scalar.value;
    if (strlen(value) != r->event.data.scalar.length)
        return status_raise(STATUS_USAGE, "%s:%zu: NUL in a value", r->path, r->event.start_mark.line + 1);
    *text = value;
    *quoted = r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return OK;
}

/* The value that begins with the current event; leaves its last event current. */
static Status read_value(Reader *r, int depth, Raw **out)
{
    Status st = OK;
    Arena *arena = r->s->arena;
    Raw *raw = NULL, *item = NULL;
    const char *text = NULL, *key = NULL;
    bool quoted = false;
    TRY(refuse_extras(r));
    if (r->event.type == YAML_SCALAR_EVENT) {
        TRY(scalar_text(r, &text, &quoted));
        *out = raw_scalar(arena, text, quoted);
        TRY_MEMORY(*out);
        goto done;
    }
    if (depth > MAX_DEPTH) RAISE(USAGE, "%s:%zu: nested too deep", r->path, r->event.start_mark.line + 1);
    TRY_NEW(arena, raw, 1);
    raw->kind = r->event.type == YAML_SEQUENCE_START_EVENT ? RAW_LIST : RAW_MAPPING;
    for (;;) {
        TRY(next(r));
        if (r->event.type == YAML_SEQUENCE_END_EVENT || r->event.type == YAML_MAPPING_END_EVENT) break;
        if (raw->kind == RAW_MAPPING) {
            TRY(refuse_extras(r));
            if (r->event.type != YAML_SCALAR_EVENT)
                RAISE(USAGE, "%s:%zu: a key must be a name", r->path, r->event.start_mark.line + 1);
            TRY(scalar_text(r, &text, &quoted));
            for (size_t i = 0; i < raw->count; i++)
                if (strcmp(raw->keys[i], text) == 0)
                    problem(&r->s->problems, place(r, &r->event.start_mark), "`%s` is given twice", text);
            key = arena_strdup(arena, text);
            TRY_MEMORY(key);
            TRY(next(r));
        }
        TRY(read_value(r, depth + 1, &item));
        if (!raw_append(arena, raw, key, item)) RAISE(MEMORY, "%s: out of memory", r->path);
    }
    *out = raw;
done:
    return st;
}

/* The lines of the top mapping; the current event is its start. */
static Status read_keys(Reader *r)
{
    Status st = OK;
    const char *text = NULL, *key, *where;
    bool quoted = false;
    Raw *value = NULL;
    for (;;) {
        TRY(next(r));
        if (r->event.type == YAML_MAPPING_END_EVENT) break;
        TRY(refuse_extras(r));
        where = place(r, &r->event.start_mark);
        TRY_MEMORY(where);
        if (r->event.type != YAML_SCALAR_EVENT) RAISE(USAGE, "%s: a key must be a name", where);
        TRY(scalar_text(r, &text, &quoted));
        key = arena_strdup(r->s->arena, text);
        TRY_MEMORY(key);
        TRY(next(r));
        TRY(read_value(r, 0, &value));
        TRY(settings_add(r->s, key, where, value));
    }
done:
    return st;
}

Status settings_read_yaml(Settings *s, const char *path, const char *text, size_t size)
{
    Status st = OK;
    Reader r = {.s = s, .path = path};
    if (!yaml_parser_initialize(&r.parser)) return status_raise(STATUS_MEMORY, "%s: out of memory", path);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, size);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    TRY(next(&r)); /* stream start */
    TRY(next(&r));
    if (r.event.type == YAML_STREAM_END_EVENT) goto done; /* nothing but comments */
    TRY(next(&r));
    if (r.event.type == YAML_SCALAR_EVENT && r.event.data.scalar.length == 0) {
        TRY(next(&r));
    } else {
        if (r.event.type != YAML_MAPPING_START_EVENT)
            RAISE(USAGE, "%s:%zu: lines of the form `key: value` were expected", path, r.event.start_mark.line + 1);
        TRY(refuse_extras(&r));
        TRY(read_keys(&r));
        TRY(next(&r));
    }
    TRY(next(&r));
    if (r.event.type != YAML_STREAM_END_EVENT)
        RAISE(USAGE, "%s:%zu: a second document; one file is one config", path, r.event.start_mark.line + 1);
done:
    if (r.has_event) yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return st;
}

static Status read_json(Settings *s, const char *path, const char *text, size_t size)
{
    Status st = OK;
    cJSON *object = NULL;
    Raw *value = NULL;
    TRY(json_parse(text, size, path, &object));
    if (!cJSON_IsObject(object)) RAISE(USAGE, "%s: an object of keys and values was expected", path);
    for (const cJSON *c = object->child; c; c = c->next) {
        value = raw_from_json(s->arena, c);
        TRY_MEMORY(value);
        const char *key = arena_strdup(s->arena, c->string);
        TRY_MEMORY(key);
        TRY(settings_add(s, key, path, value));
    }
done:
    cJSON_Delete(object);
    return st == STATUS_FORMAT ? STATUS_USAGE : st;
}

Status settings_read_file(Settings *s, const char *path)
{
    Status st = OK;
    char *text;
    size_t size, length = strlen(path);
    TRY(file_read_all(path, s->arena, MAX_CONFIG, &text, &size));
    bool json = length > 5 && strcmp(path + length - 5, ".json") == 0;
    TRY(json ? read_json(s, path, text, size) : settings_read_yaml(s, path, text, size));
done:
    return st == STATUS_MISSING || st == STATUS_FORMAT || st == STATUS_IO ? STATUS_USAGE : st;
}
