/* Getting the elements of an opened tensor: by pread through a small buffer, or as a map of the file. */
#include <inttypes.h>

#include "trainer/base/file.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/checkpoint/safetensors_internal.h"

enum { PART_BYTES = 32768 };

Status tensor_read(const TensorInfo *t, int64_t first, int64_t count, Dtype as, void *out)
{
    Status st = OK;
    const Safetensors *s = t->file;
    unsigned char part[PART_BYTES];
    if (!convertible(as, t->dtype))
        RAISE(UNSUPPORTED, "%s: tensor %s is %s and cannot be read as %s", s->path, t->name, t->type, dtype_name(as));
    if (first < 0 || count < 0 || first > t->numel || count > t->numel - first)
        RAISE(BUG, "%s: tensor %s: elements %" PRId64 " + %" PRId64 " of %" PRId64, s->path, t->name, first, count,
              t->numel);
    size_t from_bytes = dtype_bytes(t->dtype), to_bytes = dtype_bytes(as);
    uint64_t at = s->data_at + t->begin + (uint64_t)first * from_bytes;
    if (as == t->dtype) {
        TRY(file_read_at(s->file, out, (size_t)count * from_bytes, at));
        goto done;
    }
    int64_t step = (int64_t)(PART_BYTES / from_bytes);
    for (int64_t i = 0; i < count; i += step) {
        int64_t n = count - i < step ? count - i : step;
        TRY(file_read_at(s->file, part, (size_t)n * from_bytes, at + (uint64_t)i * from_bytes));
        convert_elements(as, (char *)out + (size_t)i * to_bytes, t->dtype, part, n);
    }
done:
    return st;
}

Status tensor_map(const TensorInfo *t, const void **data)
{
    Status st = OK;
    Safetensors *s = (Safetensors *)(uintptr_t)t->file; /* the map is made behind a const face, under its lock */
    *data = NULL;
    if (t->begin == t->end) return OK;
    pthread_mutex_lock(&s->map_lock);
    if (!s->map) {
        TRY(file_map(s->path, &s->map, &s->map_bytes));
        if (s->map_bytes != s->data_at + s->data_bytes) {
            file_unmap(s->map, s->map_bytes);
            s->map = NULL;
            RAISE(IO, "%s: was replaced while it was open", s->path);
        }
    }
    *data = (const char *)s->map + s->data_at + t->begin;
done:
    pthread_mutex_unlock(&s->map_lock);
    return st;
}
