/* TensorBoard events. Framing: tensorflow's lib/io/record_writer; messages: tensorboard's event.proto,
 * summary.proto, tensor.proto. As torch's SummaryWriter writes them (2.15), and its purge: a session_log START at
 * step s tells readers to forget what is at s and later. */
#include "trainer/callbacks/tensorboard.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/base/arena.h"
#include "trainer/base/file.h"
#include "trainer/callbacks/timing.h"

struct TensorBoard {
    File *file;
    Text records;
};

uint32_t crc32c(const void *data, size_t size)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) { /* bit by bit: a log is small */
        crc ^= ((const unsigned char *)data)[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

uint32_t crc32c_masked(const void *data, size_t size)
{
    uint32_t crc = crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

/* ---- protobuf ---- */
static void add_little_endian(Text *t, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) text_add(t, &(char){(char)(value >> 8 * i)}, 1);
}

static void add_varint(Text *t, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) text_add(t, &(char){(char)(value | 0x80)}, 1);
    text_add(t, &(char){(char)value}, 1);
}

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
static void add_key(Text *t, int field, int wire) { add_varint(t, (uint64_t)(field << 3 | wire)); }

static void add_bytes(Text *t, int field, const char *data, size_t size)
{
    add_key(t, field, WIRE_BYTES);
    add_varint(t, size);
    text_add(t, data, size);
}

/* The message becomes a field of its parent, and is freed. */
static void add_message(Text *t, int field, Text *message)
{
    t->failed |= message->failed;
    if (!t->failed) add_bytes(t, field, message->size ? message->data : "", message->size);
    text_free(message);
}

static void add_int(Text *t, int field, uint64_t value)
{
    if (!value) return; /* proto3 leaves zeros out */
    add_key(t, field, WIRE_VARINT);
    add_varint(t, value);
}

static void add_double(Text *t, int field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    add_key(t, field, WIRE_64);
    add_little_endian(t, bits, 8);
}

static void add_float(Text *t, int field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    add_key(t, field, WIRE_32);
    add_little_endian(t, bits, 4);
}

/* ---- records ---- */
enum { EVENT_WALL_TIME = 1, EVENT_STEP = 2, EVENT_FILE_VERSION = 3, EVENT_SUMMARY = 5, EVENT_SESSION_LOG = 7 };

static void frame(Text *out, Text *event)
{
    Text length = {0};
    add_little_endian(&length, event->size, 8);
    out->failed |= event->failed | length.failed;
    if (!out->failed) {
        text_add(out, length.data, 8);
        add_little_endian(out, crc32c_masked(length.data, 8), 4);
        text_add(out, event->data, event->size);
        add_little_endian(out, crc32c_masked(event->data, event->size), 4);
    }
    text_free(&length);
    text_free(event);
}

void tensorboard_scalar_record(Text *out, double wall_time, int64_t step, const char *tag, float value)
{
    Text event = {0}, summary = {0}, item = {0};
    add_bytes(&item, 1, tag, strlen(tag));
    add_float(&item, 2, value);
    add_message(&summary, 1, &item);
    add_double(&event, EVENT_WALL_TIME, wall_time);
    add_int(&event, EVENT_STEP, (uint64_t)step);
    add_message(&event, EVENT_SUMMARY, &summary);
    frame(out, &event);
}

static void text_record(Text *out, const char *tag, const char *text)
{
    enum { DT_STRING = 7 };
    Text event = {0}, summary = {0}, item = {0}, tensor = {0}, shape = {0}, dim = {0}, metadata = {0}, plugin = {0};
    add_int(&dim, 1, 1);
    add_message(&shape, 2, &dim);
    add_int(&tensor, 1, DT_STRING);
    add_message(&tensor, 2, &shape);
    add_bytes(&tensor, 8, text, strlen(text));
    add_bytes(&plugin, 1, "text", 4);
    add_message(&metadata, 1, &plugin);
    add_bytes(&item, 1, tag, strlen(tag));
    add_message(&item, 8, &tensor);
    add_message(&item, 9, &metadata);
    add_message(&summary, 1, &item);
    add_double(&event, EVENT_WALL_TIME, timing_wall());
    add_message(&event, EVENT_SUMMARY, &summary);
    frame(out, &event);
}

static void start_records(Text *out, int64_t cut_step)
{
    enum { SESSION_START = 1 };
    Text event = {0}, session = {0};
    add_double(&event, EVENT_WALL_TIME, timing_wall());
    add_bytes(&event, EVENT_FILE_VERSION, "brain.Event:2", 13);
    frame(out, &event);
    if (cut_step < 0) return;
    add_int(&session, 1, SESSION_START);
    add_double(&event, EVENT_WALL_TIME, timing_wall());
    add_int(&event, EVENT_STEP, (uint64_t)cut_step + 1);
    add_message(&event, EVENT_SESSION_LOG, &session);
    frame(out, &event);
}

/* All that was added goes to the file in one write. */
static Status flush(TensorBoard *tb)
{
    if (tb->records.failed) return status_raise(STATUS_MEMORY, "%s: out of memory", file_path(tb->file));
    Status st = file_write(tb->file, tb->records.data, tb->records.size);
    tb->records.size = 0;
    return st;
}

Status tensorboard_open(const char *dir, int64_t cut_step, TensorBoard **out)
{
    static _Atomic unsigned opened; /* two in one second are two files */
    Status st = OK;
    Arena *arena = NULL;
    char host[256] = "localhost", *name, *path;
    TensorBoard *tb = calloc(1, sizeof *tb);
    *out = NULL;
    TRY(arena_new(&arena));
    if (gethostname(host, sizeof host - 1) != 0) strcpy(host, "localhost");
    TRY_MEMORY(name = arena_printf(arena, "events.out.tfevents.%010lld.%s.%ld.%u", (long long)timing_wall(), host,
                                   (long)getpid(), atomic_fetch_add(&opened, 1)));
    TRY_MEMORY(path = path_join(arena, dir, name));
    if (!tb) RAISE(MEMORY, "%s: out of memory", path);
    TRY(dir_make(dir));
    TRY(file_create(path, &tb->file));
    start_records(&tb->records, cut_step);
    TRY(flush(tb));
    *out = tb;
    tb = NULL;
done:
    arena_free(arena);
    if (tb) {
        file_close(tb->file);
        text_free(&tb->records);
        free(tb);
    }
    return st;
}

Status tensorboard_text(TensorBoard *tb, const char *tag, const char *text)
{
    Text full = {0};
    if (!tb) return OK;
    text_printf(&full, "%s/text_summary", tag);
    tb->records.failed |= full.failed;
    if (!full.failed) text_record(&tb->records, full.data, text);
    text_free(&full);
    return flush(tb);
}

/* eval_loss: eval/loss. */
static void add_tag(Text *out, const char *key)
{
    static const char *const splits[] = {"eval", "test"};
    out->size = 0;
    for (int i = 0; i < 2; i++)
        if (strncmp(key, splits[i], 4) == 0 && key[4] == '_') {
            text_printf(out, "%s/%s", splits[i], key + 5);
            return;
        }
    text_printf(out, "train/%s", key);
}

Status tensorboard_log(TensorBoard *tb, int64_t step, const LogEntry *e)
{
    Text tag = {0};
    if (!tb) return OK;
    double now = timing_wall();
    for (int i = 0; i < e->count; i++) {
        if (strcmp(e->values[i].key, "step") == 0) continue;
        add_tag(&tag, e->values[i].key);
        if (!tag.failed) tensorboard_scalar_record(&tb->records, now, step, tag.data, (float)e->values[i].value);
    }
    tb->records.failed |= tag.failed;
    text_free(&tag);
    return flush(tb);
}

Status tensorboard_close(TensorBoard *tb)
{
    if (!tb) return OK;
    Status st = file_close(tb->file);
    text_free(&tb->records);
    free(tb);
    return st;
}
