/* ptx.h. An instruction is its opcode and operands as text; registers are looked up by name. Global addresses are the
 * host's, shared ones begin at 1 << 20 (a mixed-up kind faults). */
#include "tests/cuda_emulator/ptx.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace
{

enum : uint64_t { SHARED_AT = 1 << 20, SHARED_BYTES = 48 << 10, LANES = 32 };

struct Failure {
    std::string text;
};

struct Instruction {
    std::string opcode;
    std::vector<std::string> operands; /* braces and brackets kept */
};

std::string trimmed(const std::string &s)
{
    size_t from = s.find_first_not_of(" \t\n"), to = s.find_last_not_of(" \t\n");
    return from == std::string::npos ? "" : s.substr(from, to - from + 1);
}

/* Commas within braces do not part operands. */
std::vector<std::string> split(const std::string &s)
{
    std::vector<std::string> parts(1);
    int depth = 0;
    for (char c : s) {
        depth += (c == '{') - (c == '}');
        if (c == ',' && !depth)
            parts.emplace_back();
        else
            parts.back() += c;
    }
    for (std::string &part : parts) part = trimmed(part);
    if (parts[0].empty()) parts.clear();
    return parts;
}

std::vector<std::string> elements(const std::string &operand)
{
    if (operand[0] != '{') return {operand};
    return split(operand.substr(1, operand.size() - 2));
}

struct Copy {
    uint64_t to;
    unsigned char data[16];
    int group;
    uint64_t size;
};

class Warp
{
    std::map<std::string, uint64_t> registers[LANES], symbols, parameters;
    std::vector<Copy> copies[LANES];
    int group = 0; /* the one that is being made: cp.async groups are the same for all lanes here */
    uint64_t shared_used = 0;
    alignas(16) unsigned char shared[SHARED_BYTES];

    uint64_t value(int lane, const std::string &operand)
    {
        if (operand == "%tid.x") return (uint64_t)lane;
        if (operand[0] == '%') {
            auto r = registers[lane].find(operand);
            if (r == registers[lane].end()) throw Failure{operand + " is read before it is written"};
            return r->second;
        }
        if (symbols.count(operand)) return symbols[operand];
        char *end;
        uint64_t number = strtoull(operand.c_str(), &end, 0);
        if (*end || end == operand.c_str()) throw Failure{"unknown operand " + operand};
        return number;
    }

    /* [register + offset] */
    uint64_t address(int lane, const std::string &operand)
    {
        std::string inner = operand.substr(1, operand.size() - 2);
        size_t plus = inner.find('+');
        uint64_t base = value(lane, trimmed(inner.substr(0, plus)));
        return plus == std::string::npos ? base : base + (uint64_t)strtoll(inner.c_str() + plus + 1, nullptr, 0);
    }

    unsigned char *memory(bool is_shared, uint64_t at, uint64_t bytes)
    {
        if (at % bytes) throw Failure{"misaligned access"};
        if (!is_shared) return reinterpret_cast<unsigned char *>(at);
        if (at < SHARED_AT || at + bytes > SHARED_AT + SHARED_BYTES) throw Failure{"access outside shared memory"};
        return shared + (at - SHARED_AT);
    }

    void arithmetic(int lane, const std::string &op, const std::vector<std::string> &o)
    {
        uint64_t a = value(lane, o[1]), b = o.size() > 2 ? value(lane, o[2]) : 0, result;
        if (op == "mov.u32" || op == "mov.b32" || op == "mov.f32")
            result = (uint32_t)a;
        else if (op == "mov.u64" || op == "mov.b64" || op.compare(0, 5, "cvta.") == 0)
            result = a;
        else if (op == "cvt.u32.u64")
            result = (uint32_t)a;
        else if (op == "add.s32")
            result = (uint32_t)(a + b);
        else if (op == "add.s64")
            result = a + b;
        else if (op == "mul.lo.s32")
            result = (uint32_t)(a * b);
        else if (op == "mul.wide.u32")
            result = (uint64_t)(uint32_t)a * (uint32_t)b;
        else if (op == "mul.wide.s32")
            result = (uint64_t)((int64_t)(int32_t)a * (int32_t)b);
        else if (op == "mad.lo.s32")
            result = (uint32_t)(a * b + value(lane, o[3]));
        else if (op == "and.b32")
            result = a & b;
        else if (op == "shl.b32")
            result = (uint32_t)(a << b);
        else if (op == "ex2.approx.ftz.f32")
            result = exp2_of((uint32_t)a);
        else
            throw Failure{"unknown instruction " + op};
        registers[lane][o[0]] = result;
    }

    static uint64_t exp2_of(uint32_t bits)
    {
        float x, y;
        memcpy(&x, &bits, 4);
        y = (float)std::exp2((double)x);
        if (y < 0x1p-126f) y = 0;
        memcpy(&bits, &y, 4);
        return bits;
    }

    void move(int lane, const std::string &op, const std::vector<std::string> &o)
    {
        bool load = op.compare(0, 3, "ld.") == 0, is_shared = op.find(".shared") != std::string::npos;
        const std::string &where = o[load ? 1 : 0];
        std::vector<std::string> names = elements(o[load ? 0 : 1]);
        if (load && op.find(".param") != std::string::npos) {
            std::string name = where.substr(1, where.size() - 2);
            if (!parameters.count(name)) throw Failure{"unknown parameter " + name};
            registers[lane][names[0]] = parameters[name];
            return;
        }
        uint64_t size = op.find("64", op.size() - 2) != std::string::npos ? 8 : 4;
        unsigned char *p = memory(is_shared, address(lane, where), size * names.size());
        for (size_t i = 0; i < names.size(); i++) {
            uint64_t v = 0;
            if (load)
                memcpy(&v, p + size * i, size), registers[lane][names[i]] = v;
            else
                v = value(lane, names[i]), memcpy(p + size * i, &v, size);
        }
    }

    void start_copy(int lane, const std::vector<std::string> &o, uint64_t size)
    {
        Copy c = {address(lane, o[0]), {}, group, size};
        uint64_t from = address(lane, o[1]), bytes = o.size() > 3 ? value(lane, o[3]) : size;
        if (value(lane, o[2]) != size || bytes > size) throw Failure{"cp.async of another size"};
        if (bytes) memcpy(c.data, memory(false, from, size), bytes);
        memset(memory(true, c.to, size), 0xF7, size);
        copies[lane].push_back(c);
    }

    void wait(uint64_t left)
    {
        for (auto &list : copies)
            for (size_t i = 0; i < list.size();) {
                if (list[i].group >= group - (int)left)
                    i++;
                else
                    memcpy(memory(true, list[i].to, list[i].size), list[i].data, list[i].size),
                        list.erase(list.begin() + (long)i);
            }
    }

    /* ISA: threads 8i … 8i + 7 hold the row addresses of matrix i; a thread gets elements 2 (l % 4), + 1 of row l / 4,
     * of the transposed matrix with .trans. */
    void load_matrices(const Instruction &in, int count, bool transposed)
    {
        std::vector<std::string> names = elements(in.operands[0]);
        if ((int)names.size() != count) throw Failure{"ldmatrix: number of registers"};
        for (int m = 0; m < count; m++) {
            uint16_t matrix[8][8];
            for (int row = 0; row < 8; row++)
                memcpy(matrix[row], memory(true, address(8 * m + row, in.operands[1]), 16), 16);
            for (int lane = 0; lane < 32; lane++) {
                int row = lane / 4, column = lane % 4 * 2;
                uint32_t low = transposed ? matrix[column][row] : matrix[row][column];
                uint32_t high = transposed ? matrix[column + 1][row] : matrix[row][column + 1];
                registers[lane][names[(size_t)m]] = low | high << 16;
            }
        }
    }

    static double element(uint32_t word, int half, bool bf16)
    {
        uint16_t bits = (uint16_t)(half ? word >> 16 : word);
        if (bf16) return (double)__bfloat162float(__nv_bfloat16(__nv_bfloat16_raw{bits}));
        return (double)__half2float(__half(__half_raw{bits}));
    }

    /* ISA, 9.7.14.5.8: element i of a thread's A is at row groupID (+ 8 unless 0 <= i < 2 or 4 <= i < 6) and column
     * threadID_in_group * 2 + (i & 1) (+ 8 for i >= 4); of B at row threadID_in_group * 2 + (i & 1) (+ 8 for i >= 2)
     * and column groupID; of C at row groupID (+ 8 for i >= 2), column threadID_in_group * 2 + (i & 1). */
    void multiply(const Instruction &in, bool bf16)
    {
        std::vector<std::string> d = elements(in.operands[0]), a = elements(in.operands[1]),
                                 b = elements(in.operands[2]), c = elements(in.operands[3]);
        if (d.size() != 4 || a.size() != 4 || b.size() != 2 || c.size() != 4) throw Failure{"mma: number of registers"};
        std::vector<double> ma(16 * 16), mb(16 * 8), mc(16 * 8);
        for (int lane = 0; lane < 32; lane++) {
            int group_id = lane >> 2, thread = lane & 3;
            for (int i = 0; i < 8; i++) {
                int row = (i < 2 || (i >= 4 && i < 6)) ? group_id : group_id + 8;
                int column = thread * 2 + (i & 1) + (i >= 4 ? 8 : 0);
                ma[(size_t)(row * 16 + column)] = element((uint32_t)value(lane, a[(size_t)i / 2]), i & 1, bf16);
            }
            for (int i = 0; i < 4; i++) {
                int row = thread * 2 + (i & 1) + (i >= 2 ? 8 : 0);
                mb[(size_t)(row * 8 + group_id)] = element((uint32_t)value(lane, b[(size_t)i / 2]), i & 1, bf16);
                uint32_t bits = (uint32_t)value(lane, c[(size_t)i]);
                float x;
                memcpy(&x, &bits, 4);
                mc[(size_t)((i < 2 ? group_id : group_id + 8) * 8 + thread * 2 + (i & 1))] = (double)x;
            }
        }
        for (size_t i = 0; i < 16; i++)
            for (size_t j = 0; j < 8; j++)
                for (size_t k = 0; k < 16; k++) mc[i * 8 + j] += ma[i * 16 + k] * mb[k * 8 + j];
        for (int lane = 0; lane < 32; lane++)
            for (int i = 0; i < 4; i++) {
                float x = (float)mc[(size_t)(((lane >> 2) + (i < 2 ? 0 : 8)) * 8 + (lane & 3) * 2 + (i & 1))];
                uint32_t bits;
                memcpy(&bits, &x, 4);
                registers[lane][d[(size_t)i]] = bits;
            }
    }

  public:
    void parameter(const std::string &name, uint64_t v) { parameters[name] = v; }

    /* .shared .align 16 .b8 NAME[BYTES] */
    void variable(const std::string &line)
    {
        size_t bracket = line.find('['), name = line.rfind(' ', bracket) + 1;
        symbols[line.substr(name, bracket - name)] = SHARED_AT + shared_used;
        shared_used += (strtoull(line.c_str() + bracket + 1, nullptr, 0) + 15) / 16 * 16;
    }

    void run(const Instruction &in)
    {
        const std::string &op = in.opcode;
        if (op == "ldmatrix.sync.aligned.m8n8.x4.shared.b16") return load_matrices(in, 4, false);
        if (op == "ldmatrix.sync.aligned.m8n8.x2.shared.b16") return load_matrices(in, 2, false);
        if (op == "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16") return load_matrices(in, 4, true);
        if (op == "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16") return load_matrices(in, 2, true);
        if (op == "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32") return multiply(in, true);
        if (op == "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32") return multiply(in, false);
        if (op == "cp.async.commit_group") return (void)group++;
        if (op == "cp.async.wait_group") return wait(value(0, in.operands.at(0)));
        if (op == "bar.sync" || op == "ret") return;
        for (int lane = 0; lane < 32; lane++) {
            if (op == "cp.async.cg.shared.global")
                start_copy(lane, in.operands, 16);
            else if (op == "cp.async.ca.shared.global")
                start_copy(lane, in.operands, 4);
            else if (op.compare(0, 3, "ld.") == 0 || op.compare(0, 3, "st.") == 0)
                move(lane, op, in.operands);
            else if (in.operands.size() >= 2)
                arithmetic(lane, op, in.operands);
            else
                throw Failure{"unknown instruction " + op};
        }
    }
};

/* The body of the kernel, `;` by `;`, without comments. */
std::string body_of(const std::string &text, const std::string &kernel)
{
    size_t entry = text.find(".entry " + kernel + "("), from = text.find("\n{", entry), to = text.find("\n}", from);
    if (entry == std::string::npos || from == std::string::npos || to == std::string::npos)
        throw Failure{"no kernel " + kernel};
    std::string body = text.substr(from + 2, to - from - 2), plain;
    for (size_t i = 0; i < body.size(); i++) {
        if (body.compare(i, 2, "//") == 0) i = body.find('\n', i);
        plain += body[i];
    }
    return plain;
}

} // namespace

std::string ptx_run(const std::string &text, const std::string &kernel, const std::vector<uint64_t> &parameters)
{
    Warp *warp = new Warp;
    std::string statement, error;
    for (size_t i = 0; i < parameters.size(); i++)
        warp->parameter(kernel + "_param_" + std::to_string(i), parameters[i]);
    try {
        std::string body = body_of(text, kernel);
        for (size_t at = 0, end; (end = body.find(';', at)) != std::string::npos; at = end + 1) {
            statement = trimmed(body.substr(at, end - at));
            size_t space = statement.find_first_of(" \t");
            if (statement.empty() || statement.compare(0, 5, ".reg ") == 0) continue;
            if (statement.compare(0, 8, ".shared ") == 0)
                warp->variable(statement);
            else
                warp->run({statement.substr(0, space),
                           split(space == std::string::npos ? "" : trimmed(statement.substr(space)))});
        }
    } catch (const Failure &f) {
        error = kernel + ": " + statement + ": " + f.text;
    }
    delete warp;
    return error;
}
