/* What the tests of generation share: a model with a generator, and fixtures. Include it after cmocka's includes. */
#ifndef TESTS_GENERATE_TEST_H
#define TESTS_GENERATE_TEST_H

#include <stdlib.h>
#include <string.h>

#include "tests/support/test_model.h"
#include "trainer/base/file.h"
#include "trainer/generate/generate.h"

static inline cJSON *fixture(const char *name)
{
    char path[512];
    cJSON *json;
    snprintf(path, sizeof path, FIXTURES "/generation/%s", name);
    assert_ok(json_read_file(path, &json));
    return json;
}

static inline const cJSON *member(const cJSON *object, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    assert_non_null(value);
    return value;
}

/* Numbers of an array; free it. */
static inline int32_t *integers(const cJSON *array, int64_t *count)
{
    int n = cJSON_GetArraySize(array);
    int32_t *x = calloc((size_t)n + 1, sizeof *x);
    assert_non_null(x);
    *count = n;
    for (const cJSON *item = array->child; item; item = item->next) *x++ = (int32_t)item->valuedouble;
    return x - n;
}

#endif
