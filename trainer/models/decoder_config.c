/* See decoder_config.h. */
#include "trainer/models/decoder_config.h"

#include <math.h>
#include <string.h>

enum { MOST_LAYERS = 10000 }; /* whose structs alone are some 100 MB: more is a mistake, or meant to hurt */

static Status read_heads(Model *m, const char *where, const DecoderDefaults *d, DecoderSpec *s)
{
    Status st = OK;
    TRY(config_positive(m->config, where, "num_attention_heads", d->heads, &s->heads));
    TRY(config_positive(m->config, where, "num_key_value_heads", d->kv_heads ? d->kv_heads : s->heads, &s->kv_heads));
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(m->config, "head_dim");
    bool derived = !d->head_dim && (!given || cJSON_IsNull(given));
    TRY(config_positive(m->config, where, "head_dim", d->head_dim ? d->head_dim : s->hidden / s->heads, &s->head_dim));
    if (derived && s->hidden % s->heads)
        RAISE(FORMAT, "%s: hidden_size %lld is not a multiple of num_attention_heads %lld", where,
              (long long)s->hidden, (long long)s->heads);
    if (s->heads % s->kv_heads)
        RAISE(FORMAT, "%s: num_attention_heads %lld is not a multiple of num_key_value_heads %lld", where,
              (long long)s->heads, (long long)s->kv_heads);
    if (s->head_dim % 2)
        RAISE(FORMAT, "%s: heads of %lld values; rotary positions turn pairs, so it must be even", where,
              (long long)s->head_dim);
done:
    return st;
}

/* torch counts a negative row from the end. */
static Status read_padding(Model *m, const char *where, int64_t fallback, int64_t *out)
{
    Status st = OK;
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(m->config, "pad_token_id");
    *out = -1;
    if (given ? cJSON_IsNull(given) : fallback < 0) return OK;
    TRY(json_int_or(m->config, where, "pad_token_id", fallback, out));
    if (*out < 0) *out += m->vocab_size;
    if (*out < 0 || *out >= m->vocab_size)
        RAISE(FORMAT, "%s: `pad_token_id` is beyond the vocabulary of %lld", where, (long long)m->vocab_size);
done:
    return st;
}

Status decoder_config_read(Model *m, const char *where, const DecoderDefaults *d, DecoderSpec *s)
{
    Status st = OK;
    double std, eps, dropout;
    TRY(config_positive(m->config, where, "vocab_size", d->vocab_size, &m->vocab_size));
    TRY(config_positive(m->config, where, "max_position_embeddings", d->max_positions, &m->max_positions));
    TRY(config_positive(m->config, where, "num_hidden_layers", d->num_layers, &m->num_layers));
    TRY(config_positive(m->config, where, "hidden_size", d->hidden, &s->hidden));
    TRY(config_positive(m->config, where, "intermediate_size", d->inner, &s->inner));
    TRY(config_activation(m->config, where, d->act_key, d->act, &s->act));
    TRY(json_real_or(m->config, where, "initializer_range", 0.02, &std));
    TRY(json_real_or(m->config, where, "rms_norm_eps", 1e-6, &eps));
    TRY(json_real_or(m->config, where, "attention_dropout", 0, &dropout));
    if (!(eps >= 0 && eps < 1) || !(std >= 0 && std <= 100) || !(dropout >= 0 && dropout < 1))
        RAISE(FORMAT,
              "%s: rms_norm_eps is %g, initializer_range %g, attention_dropout %g; they must be at least 0 and below "
              "1, 100 and 1", where, eps, std, dropout);
    if (m->num_layers > MOST_LAYERS)
        RAISE(UNSUPPORTED, "%s: num_hidden_layers is %lld; hone takes up to %d", where, (long long)m->num_layers,
              MOST_LAYERS);
    TRY(read_padding(m, where, d->pads ? 0 : -1, &s->padding));
    TRY(read_heads(m, where, d, s));
    TRY(rope_config_read(m, where, s->head_dim, &s->rope));
    s->vocab_size = m->vocab_size, s->num_layers = m->num_layers;
    s->std = (float)std, s->eps = (float)eps, s->attention_dropout = (float)dropout;
    s->attention_scale = (float)(1 / sqrt((double)s->head_dim));
    s->embedding_scale = 1;
    m->hidden_size = s->hidden, m->kv_width = s->kv_heads * s->head_dim;
done:
    return st;
}

Status decoder_config_window(Model *m, const char *where, int64_t fallback, int32_t *out)
{
    Status st = OK;
    int64_t window;
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(m->config, "sliding_window");
    *out = 0;
    if (given && cJSON_IsNull(given)) return OK;
    TRY(config_positive(m->config, where, "sliding_window", fallback, &window));
    *out = (int32_t)window;
done:
    return st;
}

Status decoder_config_windows(Model *m, const char *where, int32_t window, bool (*slides)(int64_t layer, int64_t from),
                              int64_t from, const int32_t **out)
{
    Status st = OK;
    int32_t *windows;
    const cJSON *types = cJSON_GetObjectItemCaseSensitive(m->config, "layer_types"), *type;
    if (cJSON_IsNull(types)) types = NULL;
    if (types && (!cJSON_IsArray(types) || cJSON_GetArraySize(types) != m->num_layers))
        RAISE(FORMAT, "%s: layer_types must be a list with an item for each of %lld layers", where,
              (long long)m->num_layers);
    TRY_NEW(m->arena, windows, m->num_layers);
    type = types ? types->child : NULL;
    for (int64_t i = 0; i < m->num_layers; i++, type = type ? type->next : NULL) {
        bool sliding = type ? cJSON_IsString(type) && strcmp(type->valuestring, "sliding_attention") == 0
                            : slides(i, from);
        if (type && !sliding && !(cJSON_IsString(type) && strcmp(type->valuestring, "full_attention") == 0))
            RAISE(UNSUPPORTED, "%s: layer_types has `%s`; hone has sliding_attention and full_attention", where,
                  cJSON_IsString(type) ? type->valuestring : "something that is no text");
        if (type && sliding && !window)
            RAISE(FORMAT, "%s: layer_types has sliding_attention, and there is no sliding_window", where);
        windows[i] = sliding ? window : 0;
    }
    *out = windows;
done:
    return st;
}

Status decoder_config_biases(Model *m, const char *where, DecoderSpec *spec)
{
    bool bias = false;
    Status st = json_bool_or(m->config, where, "attention_bias", false, &bias);
    spec->qkv_bias = spec->o_bias = bias;
    return st;
}

static bool is_late(int64_t layer, int64_t from) { return layer >= from; }

Status decoder_config_last_windows(Model *m, const char *where, int64_t fallback, const int32_t **out)
{
    Status st = OK;
    bool use_window;
    int32_t window = 0;
    int64_t full_layers;
    TRY(json_bool_or(m->config, where, "use_sliding_window", false, &use_window));
    if (use_window) TRY(decoder_config_window(m, where, fallback, &window));
    TRY(json_int_or(m->config, where, "max_window_layers", 28, &full_layers));
    TRY(decoder_config_windows(m, where, window, is_late, full_layers, out));
done:
    return st;
}

Status decoder_config_declare(Model *m, const char *where, const DecoderDefaults *d, const DecoderSpec *s)
{
    Status st = OK;
    bool tied;
    Decoder *decoder = &((DecoderModel *)m)->decoder;
    TRY(json_bool_or(m->config, where, "tie_word_embeddings", d->tied, &tied));
    TRY(decoder_declare(decoder, &m->params, s));
    model_declare_head(m, &decoder->embedding, tied, s->std);
done:
    return st;
}

Tensor *decoder_model_forward(Tape *t, const Model *m, const Batch *batch)
{
    return decoder_forward(t, &((DecoderModel *)m)->decoder, batch); /* whose tables grow: no part of the model */
}

void decoder_model_close(Model *m) { decoder_free(&((DecoderModel *)m)->decoder); }
