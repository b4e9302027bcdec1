/* links: test_support */
/* Every golden file of tests/fixtures/ops (torch, in double) through the ops, forward and gradients, on every backend
 * of backends.h, alone and recomputed, twice on one tape, and with each input frozen. No file and no op of ops.h can be
 * forgotten. */
#include <dirent.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/autograd/golden_ops.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef enum Mode { PLAIN, RECOMPUTED, TWICE, DROPPED, MODES } Mode;
static const char *const mode_names[] = {"plain", "recomputed", "twice", "dropped"};

typedef struct Job {
    const Entry *entry;
    Case *c;
    bool nest;
} Job;

/* The op as a block whose insides are made again, and that in another. */
static Tensor *block(Tape *t, const void *layer, Tensor *x, const Batch *batch)
{
    const Job *job = layer;
    Job inner = {job->entry, job->c, false};
    if (!job->nest) return job->entry->run(job->c);
    static Job kept; /* borrowed by the tape until backward */
    kept = inner;
    return op_recompute(t, block, &kept, x, batch);
}

static bool is_loss(const Case *c) { return case_find(c, "out", "loss") != NULL; }

/* Fills every slot with other tensors: what can be made again loses its data. */
static void drop(Tape *t)
{
    t->began = t->clock; /* as an op does */
    for (int i = 0; i < TAPE_SLOTS; i++) {
        Tensor *other = tape_new_remade(t, DTYPE_F32, 3, 3);
        assert_non_null(other);
        t->k->fill_zero(t->stream, other->data, tensor_bytes(other));
    }
}

static Tensor *forward(const Entry *entry, Case *c, Mode mode, Job *job)
{
    Tape *t = c->tape;
    if (mode == RECOMPUTED) {
        *job = (Job){entry, c, true};
        Tensor *x = c->packed ? &c->inputs[0].tensor : activation(c, c->inputs[0].name);
        return op_recompute(t, block, job, x, &c->batch);
    }
    Tensor *y = entry->run(c);
    if (mode == TWICE) {
        Tensor *again = entry->run(c);
        if (!is_loss(c)) y = op_dropout_add(t, y, again, 0);
    }
    return y;
}

/* The share by which `have` differs from the golden tensor `info`, times factor. */
static double against(const TensorInfo *info, const float *have, double factor)
{
    float *want = case_read(info);
    double share = worst_share(have, want, info->numel, factor, 1e-2);
    free(want);
    return share;
}

static double check_output(Case *c, Tensor *y, double factor)
{
    float *have = backend_host(c->b, y->dtype, tape_data(c->tape, y), tensor_count(y));
    const TensorInfo *info = case_find(c, "out", "y");
    double share;
    if (info) {
        assert_int_equal(info->numel, tensor_count(y));
        share = against(info, have, factor);
    } else {
        double want, sum = 0, scale = (double)case_attr(c, "scale", 0);
        assert_ok(tensor_read(case_find(c, "out", "loss"), 0, 1, DTYPE_F64, &want));
        for (int64_t i = 0; i < y->rows; i++) sum += (double)have[i];
        share = fabs(sum * scale - want) / fabs(want);
    }
    free(have);
    return share;
}

/* Columns of q, k or v of the packed gradient. */
static float *unpack(const Case *c, const char *name, const float *packed, const TensorInfo *info)
{
    int64_t heads = case_find(c, "in", "q")->shape[1], kv_heads = case_find(c, "in", "k")->shape[1],
            size = info->shape[2];
    int64_t at = *name == 'k'   ? 1
                 : *name == 'q' ? kv_heads * size + 3
                                : (kv_heads + heads) * size + 4,
            width = info->shape[1] * size;
    int64_t cols = c->inputs[0].tensor.cols;
    float *part = malloc((size_t)info->numel * sizeof *part + 1);
    for (int64_t r = 0; r < info->shape[0]; r++)
        memcpy(part + r * width, packed + r * cols + at, (size_t)width * sizeof *part);
    return part;
}

static double check_gradient(Case *c, const Input *in, const char *name, double factor)
{
    const TensorInfo *info = case_find(c, "grad", name);
    if (!info) return 0;
    const Tensor *x = &in->tensor;
    if (!x->needs_grad) { /* a parameter's memory is there, and nobody wrote it */
        assert_true(!x->grad || !in->param.grad_written);
        return 0;
    }
    assert_non_null(x->grad);
    float *have = backend_host(c->b, x->param ? DTYPE_F32 : x->dtype, x->grad, tensor_count(x));
    if (c->packed) {
        float *part = unpack(c, name, have, info);
        for (int64_t r = 0; r < x->rows; r++) /* what nobody reads has no gradient */
            assert_true(have[r * x->cols] == 0 && have[(r + 1) * x->cols - 1] == 0);
        free(have);
        have = part;
    } else {
        assert_int_equal(info->numel, tensor_count(x));
    }
    double share = against(info, have, factor);
    free(have);
    return share;
}

/* One run: forward, backward, comparison. Returns the largest share by which anything differs. */
static double run(const Entry *entry, Case *c, Mode mode, const char *frozen)
{
    Tape *t = c->tape;
    Job job;
    c->frozen = frozen;
    c->packed = entry->run == run_packed_attention;
    const TensorInfo *rows = case_find(c, "in", "ids") ? case_find(c, "in", "ids") : NULL;
    for (size_t i = 0; !rows && i < safetensors_count(c->golden); i++) /* x, logits, q or a */
        if (strstr("in.x in.logits in.q in.a", safetensors_at(c->golden, i)->name)) rows = safetensors_at(c->golden, i);
    case_batch(c, rows->shape[0]);
    t->seed = (uint64_t)case_attr(c, "seed", 0);
    uint32_t update = (uint32_t)case_attr(c, "update", 0);

    tape_begin(t, TAPE_TRAIN, &c->batch, update); /* makes the inputs; the next begin forgets what it made */
    assert_non_null(entry->run(c));
    for (int i = 0; i < c->num_inputs; i++) {
        c->inputs[i].param.grad_written = false;
        if (!c->inputs[i].tensor.param) c->inputs[i].tensor.grad = NULL;
    }
    tape_begin(t, TAPE_TRAIN, &c->batch, update);
    t->checkpointing = mode == RECOMPUTED;
    Tensor *y = forward(entry, c, mode, &job);
    if (!y) fail_msg("%s", t->message);
    if (mode == DROPPED) {
        drop(t);
        assert_true(!y->data == (y->maker && y->maker->remake));
    }
    double factor = mode == TWICE ? 2 : 1, worst = is_loss(c) ? check_output(c, y, 1) : check_output(c, y, factor);
    if (mode == DROPPED) drop(t);
    void *dy = NULL;
    const TensorInfo *info = case_find(c, "in", "dy");
    if (info) {
        float *values = case_read(info);
        dy = case_keep(c, backend_floats(c->b, y->dtype, values, info->numel));
        free(values);
    }
    assert_ok(tape_backward(t, y, dy));
    stream_sync(t->stream);
    assert_null(t->last);
    for (int i = 0; i < c->num_inputs; i++) {
        const Input *in = &c->inputs[i];
        const char *names[] = {in->name, NULL, NULL};
        if (c->packed) names[0] = "q", names[1] = "k", names[2] = "v";
        for (int j = 0; j < 3 && names[j]; j++) {
            double share = check_gradient(c, in, names[j], factor);
            if (!(share <= worst)) worst = share;
        }
    }
    case_reset(c);
    return worst;
}

static void check(const Entry *entry, const Backend *b, Tape *t, const char *file)
{
    Case c;
    case_open(&c, b, t, file);
    for (Mode mode = PLAIN; mode < MODES; mode++) {
        if (mode == RECOMPUTED && is_loss(&c)) continue; /* a loss makes its gradients in forward */
        double share = run(entry, &c, mode, NULL);
        if (!(share <= b->tolerance))
            fail_msg("op_%s, %s, %s, %s: differs by %.3g of the largest value", entry->op, file, b->name,
                     mode_names[mode], share);
    }
    for (size_t i = 0; i < safetensors_count(c.golden); i++) {
        const char *name = safetensors_at(c.golden, i)->name;
        if (strncmp(name, "grad.", 5) != 0) continue;
        double share = run(entry, &c, PLAIN, name + 5);
        if (!(share <= b->tolerance))
            fail_msg("op_%s, %s, %s, %s frozen: differs by %.3g of the largest value", entry->op, file, b->name,
                     name + 5, share);
    }
    case_close(&c);
}

static int safetensors_only(const struct dirent *d) { return strstr(d->d_name, ".safetensors") != NULL; }

/* Names without suffix, sorted. */
static int files(struct dirent ***list)
{
    int n = scandir(FIXTURES "/ops", list, safetensors_only, alphasort);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) *strstr((*list)[i]->d_name, ".safetensors") = 0;
    return n;
}

static void forget(struct dirent **list, int n)
{
    while (n) free(list[--n]);
    free(list);
}

static void every_golden_on_every_backend(void **state)
{
    (void)state;
    struct dirent **list;
    int n = files(&list), walked = 0;
    for EACH_BACKEND(i) {
        walked++;
        Stream *stream = backends[i].stream(backends[i].threads);
        Tape tape;
        assert_ok(tape_open(&tape, backend_kernels(i), stream, NULL));
        for (size_t e = 0; e < COUNT(entries); e++)
            for (int f = 0; f < n; f++)
                if (fnmatch(entries[e].files, list[f]->d_name, 0) == 0)
                    check(&entries[e], &backends[i], &tape, list[f]->d_name);
        tape_close(&tape);
        stream_free(stream);
    }
    assert_true(walked > 0);
    forget(list, n);
}

static char *read_source(const char *path)
{
    char full[512];
    static char text[1 << 18];
    snprintf(full, sizeof full, FIXTURES "/../../%s", path);
    FILE *f = fopen(full, "r");
    if (!f) fail_msg("%s is not there", path);
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    return text;
}

/* Is there a test that walks this golden? */
static bool is_claimed(const char *file)
{
    for (size_t e = 0; e < COUNT(entries); e++)
        if (fnmatch(entries[e].files, file, 0) == 0) return true;
    for (size_t e = 0; e < COUNT(elsewhere); e++)
        if (fnmatch(elsewhere[e].files, file, 0) == 0) {
            char quoted[264];
            snprintf(quoted, sizeof quoted, "\"%s\"", file);
            return strstr(read_source(elsewhere[e].test), quoted) != NULL;
        }
    return false;
}

static void every_golden_is_claimed_by_a_test(void **state)
{
    (void)state;
    struct dirent **list;
    int n = files(&list);
    for (int i = 0; i < n; i++)
        if (!is_claimed(list[i]->d_name))
            fail_msg("no test walks the golden file %s: add a line to golden_ops.h", list[i]->d_name);
    forget(list, n);
    assert_false(is_claimed("convolution_plain"));
    assert_false(is_claimed("adamw_forgotten"));
}

/* The first op_NAME( that a header declares and no entry takes, "" when there is none. */
static const char *unclaimed_op(const char *header)
{
    static char name[64];
    for (const char *at = header; (at = strstr(at, "Tensor *op_")); at += 11) {
        size_t n = strcspn(at + 11, "(");
        snprintf(name, sizeof name, "%.*s", (int)n, at + 11);
        bool taken = strcmp(name, "recompute") == 0; /* every op goes through it */
        for (size_t e = 0; e < COUNT(entries); e++) taken |= strcmp(entries[e].op, name) == 0;
        if (!taken) return name;
    }
    return "";
}

static void every_op_has_goldens(void **state)
{
    (void)state;
    const char *missing = unclaimed_op(read_source("trainer/autograd/ops.h"));
    if (*missing) fail_msg("op_%s has no golden file: make one in make_ops.py and add a line to golden_ops.h", missing);
    assert_string_equal(unclaimed_op("Tensor *op_rope(Tape *t);\nTensor *op_convolution(Tape *t);"), "convolution");
    struct dirent **list;
    int n = files(&list);
    for (size_t e = 0; e < COUNT(entries); e++) {
        int matches = 0;
        for (int i = 0; i < n; i++) matches += fnmatch(entries[e].files, list[i]->d_name, 0) == 0;
        if (!matches) fail_msg("op_%s: no file is called %s", entries[e].op, entries[e].files);
    }
    forget(list, n);
}

/* That a wrong op would be noticed: each golden, run by an op that is a little wrong. */
static void (*real_layer_norm)(Stream *, Dtype, void *, float *, float *, const void *, const void *, const void *,
                               int64_t, int64_t, float);

static void wrong_eps(Stream *s, Dtype dtype, void *y, float *mean, float *rstd, const void *x, const void *weight,
                      const void *bias, int64_t rows, int64_t hidden, float eps)
{
    real_layer_norm(s, dtype, y, mean, rstd, x, weight, bias, rows, hidden, eps * 2);
}

static void a_wrong_kernel_is_noticed(void **state)
{
    (void)state;
    Kernels wrong = *kernels_cpu(ISA_BASE);
    real_layer_norm = wrong.layer_norm_forward;
    wrong.layer_norm_forward = wrong_eps;
    Stream *stream = stream_new_cpu(1);
    Tape tape;
    Case c;
    const Entry entry = {"layer_norm", "layer_norm", run_layer_norm};
    assert_ok(tape_open(&tape, &wrong, stream, NULL));
    case_open(&c, &backends[0], &tape, "layer_norm_eps");
    assert_true(run(&entry, &c, PLAIN, NULL) > 100 * backends[0].tolerance);
    case_close(&c);
    tape_close(&tape);
    stream_free(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_golden_on_every_backend),
        cmocka_unit_test(every_golden_is_claimed_by_a_test),
        cmocka_unit_test(every_op_has_goldens),
        cmocka_unit_test(a_wrong_kernel_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
