/* Canonical decomposition, for normalizers that begin with it. */
#ifndef HONE_TOKENIZER_NORMALIZER_UNICODE_H
#define HONE_TOKENIZER_NORMALIZER_UNICODE_H

#include "trainer/tokenizer/work.h"

Status normalize_nfd(Work *w); /* every piece without an id */

#endif
