/* Declaration, layout and initial values of parameters. */
#include "trainer/tensor/parameter.h"

#include <math.h>
#include <string.h>

#include "kernels/philox.h"

enum { ALIGN_ELEMENTS = 16 };
static const int64_t MOST_ELEMENTS = (int64_t)1 << 48; /* a petabyte of f32 */

void parameters_init(Parameters *ps, Arena *arena) { *ps = (Parameters){.arena = arena}; }

Parameter *parameter_declare(Parameters *ps, ParameterSpec spec)
{
    Parameter *p = arena_alloc(ps->arena, sizeof *p);
    Parameter **list = arena_grow(ps->arena, ps->list, &ps->capacity, ps->count + 1, sizeof *list);
    char *name = arena_strdup(ps->arena, spec.name);
    if (!p || !list || !name) {
        ps->error = STATUS_MEMORY;
        return NULL;
    }
    p->spec = spec;
    p->spec.name = name;
    p->index = (int)ps->count;
    p->owner = ps;
    p->count = 1;
    p->frozen = ps->adapters && !spec.trains;
    bool fits = true; /* sizes come from a file */
    for (int i = 0; i < spec.ndim; i++) fits = fits && !__builtin_mul_overflow(p->count, spec.shape[i], &p->count);
    fits = fits && !__builtin_add_overflow(ps->elements, p->count, &ps->elements) && ps->elements <= MOST_ELEMENTS;
    if (!fits) {
        ps->error = STATUS_FORMAT;
        ps->elements = 0;
        p->count = 0;
    }
    p->value = (Tensor){.dtype = DTYPE_F32, .needs_grad = !p->frozen, .param = p, .slot = -1,
                        .rows = spec.ndim > 1 ? spec.shape[0] : 1};
    p->value.cols = p->value.rows ? p->count / p->value.rows : 0;
    ps->list = list;
    ps->list[ps->count++] = p;
    return p;
}

Parameter *parameter_find(const Parameters *ps, const char *name)
{
    for (size_t i = 0; i < ps->count; i++)
        if (strcmp(ps->list[i]->spec.name, name) == 0) return ps->list[i];
    return NULL;
}

void parameter_join(Parameter *p, Parameter *next)
{
    if (!p || !next) return;
    p->behind = next;
    next->follows = true;
}

static bool is_matrix(const Parameter *p) { return p->spec.ndim > 1; }

static int64_t padded(const Parameter *p) { return (p->count + ALIGN_ELEMENTS - 1) / ALIGN_ELEMENTS * ALIGN_ELEMENTS; }

/* At the end of an array, which grows. */
static int64_t place(int64_t *end, const Parameter *p)
{
    int64_t offset = *end;
    *end += padded(p);
    return offset;
}

Status parameters_layout(Parameters *ps)
{
    if (ps->error == STATUS_FORMAT)
        return status_raise(
            STATUS_FORMAT,
            "the sizes in the model's config make more than 2^48 parameters; it is not the config of a model");
    Parameter **trained = ps->error ? NULL : arena_alloc(ps->arena, (ps->count + 1) * sizeof(*trained));
    if (!trained) return status_raise(STATUS_MEMORY, "out of memory: parameters");
    ps->trained = trained;
    for (size_t i = 0; i < ps->count; i++) {
        Parameter *p = ps->list[i];
        if (!p->frozen) ps->trained[ps->num_trained++] = p, ps->trained_elements += p->count;
        else if (is_matrix(p)) p->offset = -1;
        else p->offset = place(&ps->vectors_count, p);
    }
    for (size_t i = ps->num_trained; i-- > 0;)
        for (Parameter *p = trained[i]->follows ? NULL : trained[i]; p; p = p->behind)
            p->offset = place(&ps->flat_count, p);
    return OK;
}

void parameters_view(Parameters *ps, float *weights, float *grads)
{
    ps->weights = weights;
    ps->grads = grads;
    for (size_t i = 0; i < ps->num_trained; i++) {
        Parameter *p = ps->trained[i];
        if (!ps->low) p->value.data = weights + p->offset;
        p->value.grad = grads ? grads + p->offset : NULL;
    }
}

static void view_at(Parameter *p, void *array, Dtype dtype)
{
    p->value.dtype = dtype;
    p->value.data = (char *)array + (size_t)p->offset * dtype_bytes(dtype);
}

void parameters_view_low(Parameters *ps, void *low, void *vectors, Dtype dtype)
{
    ps->low = low;
    if (!low) dtype = DTYPE_F32;
    ps->dtype = dtype;
    for (size_t i = 0; i < ps->count; i++) {
        Parameter *p = ps->list[i];
        if (!p->frozen && (low || ps->weights)) view_at(p, low ? low : ps->weights, dtype);
        else if (!p->frozen) p->value.dtype = dtype;
        else if (!is_matrix(p) && (vectors || ps->vectors)) view_at(p, vectors ? vectors : ps->vectors, dtype);
    }
}

void parameters_view_vectors(Parameters *ps, float *vectors)
{
    ps->vectors = vectors;
    for (size_t i = 0; i < ps->count; i++)
        if (ps->list[i]->frozen && !is_matrix(ps->list[i])) view_at(ps->list[i], vectors, DTYPE_F32);
}

void parameters_bind(Parameters *ps, float *weights, float *grads)
{
    parameters_view(ps, weights, grads);
    for (size_t i = 0; i < ps->num_trained; i++) {
        Parameter *p = ps->trained[i];
        size_t gap = (size_t)(padded(p) - p->count) * sizeof(float);
        memset(weights + p->offset + p->count, 0, gap);
        if (grads) memset(grads + p->offset + p->count, 0, gap);
    }
}

static uint64_t hash_name(const char *name) /* FNV-1a */
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

/* One block of Philox: key (seed, purpose), counter (index, name). */
static Philox numbers_at(uint64_t seed, uint64_t name, uint64_t index)
{
    uint32_t seed32 = (uint32_t)seed ^ (uint32_t)(seed >> 32);
    return philox4x32(seed32, PHILOX_INIT, (uint32_t)index, (uint32_t)(index >> 32), (uint32_t)name,
                      (uint32_t)(name >> 32));
}

/* Four normal numbers (Box and Muller 1958). */
static void normals(float out[4], uint64_t seed, uint64_t name, uint64_t index)
{
    Philox r = numbers_at(seed, name, index);
    for (int i = 0; i < 4; i += 2) {
        double u = ((double)r.v[i] + 1.0) * 0x1p-32, angle = 6.283185307179586 * (double)r.v[i + 1] * 0x1p-32;
        double radius = sqrt(-2.0 * log(u));
        out[i] = (float)(radius * cos(angle));
        out[i + 1] = (float)(radius * sin(angle));
    }
}

/* Uniform in [-1, 1). */
static void uniforms(float out[4], uint64_t seed, uint64_t name, uint64_t index)
{
    Philox r = numbers_at(seed, name, index);
    for (int i = 0; i < 4; i++) out[i] = (float)((double)r.v[i] * 0x1p-31 - 1);
}

void parameter_draw(Parameter *p, uint64_t seed, float *w)
{
    if (p->spec.init.kind != INIT_NORMAL && p->spec.init.kind != INIT_UNIFORM) {
        for (int64_t i = 0; i < p->count; i++) w[i] = p->spec.init.kind == INIT_ONE ? 1.0f : 0.0f;
        return;
    }
    uint64_t name = hash_name(p->spec.name);
    for (int64_t i = 0; i < p->count; i += 4) {
        float four[4];
        (p->spec.init.kind == INIT_NORMAL ? normals : uniforms)(four, seed, name, (uint64_t)i / 4);
        for (int64_t j = i; j < i + 4 && j < p->count; j++) w[j] = four[j - i] * p->spec.init.std;
    }
    if (p->spec.init.zero_row)
        memset(w + (p->spec.init.zero_row - 1) * p->value.cols, 0, (size_t)p->value.cols * sizeof *w);
}

void parameters_begin_update(Parameters *ps)
{
    for (size_t i = 0; i < ps->count; i++) ps->list[i]->grad_written = false;
}
