/* Edits between words (Damerau-Levenshtein, each pair of neighbours swapped once). */
#include "trainer/base/nearest.h"

#include <string.h>

/* Insertions, deletions, replacements, swaps of neighbours from a to b; both shorter than NEAREST_BYTES. */
static int distance(const char *a, const char *b)
{
    int rows[3][NEAREST_BYTES + 1], *old = rows[0], *last = rows[1], *row = rows[2];
    int n = (int)strlen(b);
    for (int j = 0; j <= n; j++) last[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best) best = last[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && old[j - 2] + 1 < best)
                best = old[j - 2] + 1;
            row[j] = best;
        }
        int *free_row = old;
        old = last, last = row, row = free_row;
    }
    return last[n];
}

void nearest_start(Nearest *n, const char *asked)
{
    size_t length = strlen(asked);
    *n = (Nearest){.least = length < 4 ? 2 : (int)length / 3 + 1}; /* edits of a third of a word make another word */
    if (length >= sizeof n->asked) n->least = 0;
    else memcpy(n->asked, asked, length + 1);
}

void nearest_try(Nearest *n, const char *word)
{
    if (!n->least || strlen(word) >= sizeof n->asked) return;
    int edits = distance(n->asked, word);
    if (edits < n->least) n->least = edits, n->word = word;
}
