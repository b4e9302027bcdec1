/* A template's text to tokens, as jinja2's lexer makes them with trim_blocks and lstrip_blocks. */
#ifndef HONE_TEMPLATE_LEXER_H
#define HONE_TEMPLATE_LEXER_H

#include "trainer/base/arena.h"
#include "trainer/template/value.h"

typedef enum TokenType {
    TOKEN_TEXT,
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_PRINT_BEGIN,
    TOKEN_PRINT_END,
    TOKEN_NAME,
    TOKEN_STRING,
    TOKEN_NUMBER,
    TOKEN_OPERATOR,
    TOKEN_END,
} TokenType;

typedef struct Token {
    TokenType type;
    uint32_t line;
    const char *text; /* TEXT, NAME, OPERATOR as written; STRING unescaped */
    size_t size;
    Value number;
} Token;

/* The last token is TOKEN_END. Tokens and texts live in arena. A mistake is an error "line N: …". */
Status lexer_run(const char *text, size_t size, Arena *arena, Token **tokens, size_t *count);

#endif
