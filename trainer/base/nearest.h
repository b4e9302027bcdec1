/* Which known word somebody meant who wrote another one: for errors that say "did you mean".
 *
 *     Nearest n;
 *     nearest_start(&n, "n_layers");
 *     for (…) nearest_try(&n, known[i]);
 *     if (n.word) "did you mean `%s`?" */
#ifndef HONE_BASE_NEAREST_H
#define HONE_BASE_NEAREST_H

enum { NEAREST_BYTES = 64 }; /* longer words are near none */

typedef struct Nearest {
    char asked[NEAREST_BYTES];
    int least;        /* edits to `word`; before the first, as many as make another word */
    const char *word; /* the first of the nearest so far, borrowed; NULL: none is near */
} Nearest;

void nearest_start(Nearest *n, const char *asked);
void nearest_try(Nearest *n, const char *word);

#endif
