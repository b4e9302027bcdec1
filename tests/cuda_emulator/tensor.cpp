/* tensor.h: what the lanes of a warp do together, and the copies of a thread that are under way. */
#include "tests/cuda_emulator/tensor.h"

#include <vector>

namespace emu
{

static inline float wide_bf16(uint32_t bits) { return emu_bits<float>(bits << 16); }

static inline float wide_f16(uint32_t bits)
{
    uint32_t sign = (bits & 0x8000) << 16, rest = (bits & 0x7FFF) << 13;
    if (rest >= 0x0F800000) return emu_bits<float>(sign | rest | 0x7F800000); /* infinity, NaN */
    return emu_bits<float>(emu_bits<uint32_t>(emu_bits<float>(rest) * 0x1p112f) | sign);
}

/* Rows of c are independent of one another, and of 8 columns: what a vector unit likes. */
template <float (*WIDE)(uint32_t)> static inline void mma_of(void *const *lanes)
{
    float a[16][16], b[16][8], c[16][8];
    for (int l = 0; l < WARP; l++) {
        const MmaLane *lane = static_cast<const MmaLane *>(lanes[l]);
        int g = l / 4, t = l % 4;
        for (int i = 0; i < 4; i++) {
            float *to = &a[g + i % 2 * 8][2 * t + i / 2 * 8];
            to[0] = WIDE(lane->a[i] & 0xFFFF), to[1] = WIDE(lane->a[i] >> 16);
            c[g + i / 2 * 8][2 * t + i % 2] = lane->c[i];
        }
        for (int i = 0; i < 2; i++) {
            b[2 * t + 8 * i][g] = WIDE(lane->b[i] & 0xFFFF);
            b[2 * t + 8 * i + 1][g] = WIDE(lane->b[i] >> 16);
        }
    }
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 16; k++)
            for (int j = 0; j < 8; j++) c[i][j] += a[i][k] * b[k][j];
    for (int l = 0; l < WARP; l++) {
        const MmaLane *lane = static_cast<const MmaLane *>(lanes[l]);
        for (int i = 0; i < 4; i++) lane->c[i] = c[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2];
    }
}

void mma_bf16(void *const *lanes) { mma_of<wide_bf16>(lanes); }
void mma_f16(void *const *lanes) { mma_of<wide_f16>(lanes); }

void load_matrices(void *const *lanes)
{
    const MatrixLane *first = static_cast<const MatrixLane *>(lanes[0]);
    for (int l = 0; l < WARP; l++) {
        const MatrixLane *lane = static_cast<const MatrixLane *>(lanes[l]);
        if (lane->count != first->count || lane->transposed != first->transposed)
            report("lanes of a warp meet at different kinds of ldmatrix");
        for (int i = 0; i < lane->count; i++) {
            auto at = [&](int row, int column) {
                return (uint32_t) static_cast<const MatrixLane *>(lanes[8 * i + row])->row[column];
            };
            int g = l / 4, t = l % 4;
            lane->to[i] =
                lane->transposed ? at(2 * t, g) | at(2 * t + 1, g) << 16 : at(g, 2 * t) | at(g, 2 * t + 1) << 16;
        }
    }
}

/* ---- copies ------------------------------ */
struct Copies {
    std::vector<Copy> copies;   /* in order; from `done` on they are under way */
    std::vector<size_t> groups; /* where each group that is under way ends */
    size_t done = 0;
};
static Copies *const copies = new Copies[MOST_THREADS];

void copy_add(const Copy &copy) { copies[current->linear].copies.push_back(copy); }
void copy_commit() { copies[current->linear].groups.push_back(copies[current->linear].copies.size()); }

bool copy_take(unsigned groups_left, Copy *copy)
{
    Copies *c = &copies[current->linear];
    while (c->groups.size() > groups_left) {
        if (c->done < c->groups[0]) {
            *copy = c->copies[c->done++];
            return true;
        }
        c->groups.erase(c->groups.begin());
        if (c->groups.empty() && c->done == c->copies.size()) c->copies.clear(), c->done = 0;
    }
    return false;
}

void copies_end(const Thread *t)
{
    Copies *c = &copies[t->linear];
    if (c->done < c->copies.size())
        report("thread (%u,%u,%u) has returned without waiting for %zu of its cp.async copies", t->index.x, t->index.y,
               t->index.z, c->copies.size() - c->done);
    c->copies.clear(), c->groups.clear(), c->done = 0;
}

} // namespace emu
