/* The end of a model on the device, beyond what tests/kernels/test_cross_entropy.c sees: how often the gradient of the
 * logits is rounded, and the chunks. */
#include "tests/cuda_emulator/arrays.h"

/* One row, x = 1: the logits are the weights and dweight is what the gradient of the logits was rounded to. */
static Floats gradient_of_logits(Dtype d, const Floats &w, int32_t label, float scale, Floats *exact)
{
    int64_t vocab = (int64_t)w.size();
    Array ws(d, w), x(d, Floats(1, 1)), dx(d, 1), logits(DTYPE_F32, w), dw(DTYPE_F32, vocab), loss(DTYPE_F32, 1),
        labels(DTYPE_F32, 1);
    Array plain(DTYPE_F32, vocab);
    k->copy(s, labels.at(), &label, sizeof label), stream_sync(s);
    const int32_t *l = static_cast<const int32_t *>(labels.at());
    k->linear_cross_entropy(s, d, d, loss.floats(), dx.at(), dw.floats(), x.at(), ws.at(), l, 1, 1, vocab, scale, 0, 0,
                            0, false);
    k->cross_entropy(s, loss.floats(), plain.floats(), logits.floats(), l, 1, vocab, scale, 0, 0, 0);
    *exact = plain.values();
    return dw.values();
}

static void the_gradient_of_logits_is_rounded_once_and_overflows_to_infinity(void **)
{
    for (Dtype d : {DTYPE_BF16, DTYPE_F16})
        for (int64_t vocab : {5, 4099, 9000}) { /* in one round of a block's threads, two, and three */
            Floats exact, w = numbers(d, vocab, 5), g = gradient_of_logits(d, w, 3, 0.75f, &exact);
            for (size_t i = 0; i < g.size(); i++)
                if (g[i] != as(d, exact[i])) fail_msg("%zu: %.9g, not %.9g", i, (double)g[i], (double)exact[i]);
        }
    Floats exact, g = gradient_of_logits(DTYPE_F16, {0, 0, 1, 1}, 1, 1e6f, &exact);
    assert_true(g[0] == INFINITY && g[1] == -INFINITY && std::isfinite(exact[0]));
    g = gradient_of_logits(DTYPE_BF16, {0, 0, 1, 1}, 1, 1e6f, &exact);
    assert_true(g[0] == bf16(exact[0]) && std::isfinite(g[0]));
}

/* Chunks: equal, by 256 rows, at most 4096; and a gathered row comes back to its place from each. */
static void chunks_are_equal(void **)
{
    const Dtype d = DTYPE_BF16;
    const int64_t rows = 4400, vocab = 3, hidden = 8;
    std::vector<int32_t> labels((size_t)rows);
    for (size_t i = 0; i < labels.size(); i++) labels[i] = i % 7 ? (int32_t)(i % 3) : -100;
    Floats x = numbers(d, rows * hidden, 1), w = numbers(d, vocab * hidden, 2);
    Array xs(d, x), ws(d, w), ls(DTYPE_F32, rows), loss(DTYPE_F32, rows), dx(d, rows * hidden),
        dw(DTYPE_F32, vocab * hidden);
    k->copy(s, ls.at(), labels.data(), labels.size() * 4), stream_sync(s);
    launched();
    k->linear_cross_entropy(s, d, d, loss.floats(), dx.at(), dw.floats(), xs.at(), ws.at(),
                            static_cast<const int32_t *>(ls.at()), rows, hidden, vocab, 1, 0, 0, 0, false);
    std::string text = launched();
    int found = 0;
    for (size_t i = 0; (i = text.find("cublasLtMatmul 3 2304 8 bf16 to f32\n", i)) != std::string::npos; i++) found++;
    if (found != 2) fail_msg("not two chunks of 2304 rows:\n%s", text.c_str());
    std::vector<double> losses, dxs, dws((size_t)(vocab * hidden));
    for (size_t r = 0; r < (size_t)rows; r++) {
        double z[3] = {0, 0, 0}, sum = 0;
        for (size_t v = 0; v < 3; v++) {
            for (size_t i = 0; i < 8; i++) z[v] += (double)x[r * 8 + i] * w[v * 8 + i];
            sum += std::exp(z[v]);
        }
        bool there = labels[r] >= 0;
        losses.push_back(there ? std::log(sum) - z[labels[r]] : 0);
        for (size_t i = 0; i < 8; i++) dxs.push_back(0);
        for (size_t v = 0; there && v < 3; v++)
            for (size_t i = 0; i < 8; i++) {
                double dz = std::exp(z[v]) / sum - (labels[r] == (int32_t)v);
                dxs[r * 8 + i] += dz * w[v * 8 + i], dws[v * 8 + i] += dz * x[r * 8 + i];
            }
    }
    assert_close("loss", loss.values(), losses, 2e-6);
    assert_close("dx", dx.values(), dxs, 3 * unit(d));
    assert_close("dweight", dw.values(), dws, 0.05); /* of 3771 rounded terms */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_of_logits_is_rounded_once_and_overflows_to_infinity),
        cmocka_unit_test(chunks_are_equal),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
